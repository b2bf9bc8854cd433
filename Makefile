# The servers that tests need: see internal/testenv/run.
WITH_SERVERS := go run ./internal/testenv/run --
# The linter, with gofumpt in it, in a folder of the project's own.
BIN := $(CURDIR)/.bin
GOLANGCI_LINT := v2.15.0
GAZELLE := v0.53.0
BUILDIFIER := v0.0.0-20260904073137-eaa4d125b423
FUZZTIME ?= 10s
# SQLite is C made Go: pointers of it are checked in vain, for a third of the time.
RACE = -race -gcflags=modernc.org/...=-d=checkptr=0
# What fuzz runs: all fuzz targets of a package at a time.
FUZZ = $(shell grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)

# What the program says of itself. It and what it is shipped in depend on these
# and on the source alone, not on where, when or by whom they are made.
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT = $(shell git rev-parse HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
GO_BUILD = CGO_ENABLED=0 go build -trimpath -buildvcs=false \
	-ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.commitTime=$(SOURCE_DATE_EPOCH)'
# The machine that an image is for.
GOARCH ?= amd64
LINUX_PROGRAM = dist/linux-$(GOARCH)/build-tracker
# The image maker runs on this machine.
IMAGE_TOOL := env -u GOOS -u GOARCH go run ./internal/image/run

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

.PHONY: run
run: build ## build and serve on the embedded stores, with a week of made-up builds and more as time goes
	@examples/run.sh

.PHONY: build
build: ## build the program, ./build-tracker
	$(GO_BUILD) -o build-tracker ./cmd/build-tracker

.PHONY: image
image: $(LINUX_PROGRAM) ## make the container image dist/build-tracker.tar and check it; GOARCH=arm64 for another machine
	$(IMAGE_TOOL) build --version '$(VERSION)' --revision '$(COMMIT)' --source-date-epoch '$(SOURCE_DATE_EPOCH)' $< dist/build-tracker.tar
	$(IMAGE_TOOL) check image_test.yaml dist/build-tracker.tar

.PHONY: sbom
sbom: $(LINUX_PROGRAM) ## write what the program is made of, dist/build-tracker.cdx.json, as CycloneDX
	$(IMAGE_TOOL) sbom --version '$(VERSION)' --source-date-epoch '$(SOURCE_DATE_EPOCH)' $< dist/build-tracker.cdx.json

.PHONY: rootfs
rootfs: $(LINUX_PROGRAM) ## write the files of the image to dist/rootfs, for the Dockerfile
	$(IMAGE_TOOL) rootfs $< dist/rootfs

.PHONY: $(LINUX_PROGRAM)
$(LINUX_PROGRAM):
	GOOS=linux GOARCH=$(GOARCH) $(GO_BUILD) -o $@ ./cmd/build-tracker

.PHONY: test
test: ## run every test with -race, on embedded stores and on real PostgreSQL and Redis
	$(WITH_SERVERS) go test $(RACE) -timeout 20m ./...

.PHONY: test-short
test-short: ## run the tests that need neither PostgreSQL nor Redis
	go test -short $(RACE) -timeout 20m ./...

.PHONY: bench
bench: ## measure against baselines, in some 35 minutes: docs/benchmarks.md
	$(WITH_SERVERS) go run ./internal/bench

.PHONY: bench-quick
bench-quick: ## the same with little data, in about a minute
	$(WITH_SERVERS) go run ./internal/bench --quick

.PHONY: lint
lint: $(BIN)/golangci-lint-$(GOLANGCI_LINT) $(BIN)/gazelle-$(GAZELLE) $(BIN)/buildifier-$(BUILDIFIER) ## check style, imports, formatting and BUILD.bazel files
	$< run ./...
	$(BIN)/gazelle-$(GAZELLE) -repo_root . -external static -mode diff
	$(BIN)/buildifier-$(BUILDIFIER) -mode check -lint warn -r .

.PHONY: generate
generate: $(BIN)/gazelle-$(GAZELLE) $(BIN)/buildifier-$(BUILDIFIER) ## write the BUILD.bazel files, and what docs have from the code
	$< -repo_root . -external static
	$(BIN)/buildifier-$(BUILDIFIER) -mode fix -lint fix -r .
	go test . -run TestMetricsAreDocumented -update
	go test ./docs -run "TestConfigurationListsEveryVariable|TestAnalyticsListsEveryColumn" -update

.PHONY: fmt
fmt: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## format all Go files, with gofumpt
	$< fmt ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	@set -e; for dir in $(FUZZ); do \
		for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$dir; \
		done; \
	done

.PHONY: clean
clean: ## remove what was built; ./data stays
	rm -rf build-tracker dist $(BIN)

$(BIN)/golangci-lint-$(GOLANGCI_LINT):
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	mv $(BIN)/golangci-lint $@

$(BIN)/gazelle-$(GAZELLE):
	GOBIN=$(BIN) go install github.com/bazelbuild/bazel-gazelle/cmd/gazelle@$(GAZELLE)
	mv $(BIN)/gazelle $@

$(BIN)/buildifier-$(BUILDIFIER):
	GOBIN=$(BIN) go install github.com/bazelbuild/buildtools/buildifier@$(BUILDIFIER)
	mv $(BIN)/buildifier $@
