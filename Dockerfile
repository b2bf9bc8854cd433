# syntax=docker/dockerfile:1

# The image of `make image`, made by a container engine instead: the same files
# and the same configuration.
#
#   docker build --build-arg VERSION=$(git describe --tags --always --dirty) \
#     --build-arg COMMIT=$(git rev-parse HEAD) \
#     --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) -t build-tracker .

ARG GO_VERSION=1.26.8

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETARCH=amd64
ARG VERSION=
ARG COMMIT=
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    make rootfs GOARCH=$TARGETARCH VERSION=$VERSION COMMIT=$COMMIT SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH && \
    mkdir /owned && mv dist/rootfs/data /owned/

FROM scratch
COPY --from=build --chown=0:0 /src/dist/rootfs/ /
COPY --from=build --chown=65532:65532 /owned/ /

ARG VERSION=devel
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="build-tracker" \
      org.opencontainers.image.description="Tracks Buildkite's builds: what failed, since when, and who should know" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/build-tracker/build-tracker" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
ENV PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    DATA_DIR="/data" \
    PORT="8080"
VOLUME ["/data"]
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/build-tracker"]
CMD ["serve"]
