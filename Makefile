# The servers that tests need: see internal/testenv/run.
WITH_SERVERS := go run ./internal/testenv/run --
# The linter, with gofumpt in it, in a folder of the project's own.
BIN := $(CURDIR)/.bin
GOLANGCI_LINT := v2.15.0
GAZELLE := v0.53.0
FUZZTIME ?= 10s
# What fuzz runs: all fuzz targets of a package at a time.
FUZZ = $(shell grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

.PHONY: run
run: build ## build and serve on the embedded stores, and say how to post a failed build
	@addr="$${LISTEN_ADDR:-}"; \
	if [ -z "$$addr" ]; then if [ -n "$${PORT:-}" ]; then addr=":$$PORT"; else addr=127.0.0.1:8080; fi; fi; \
	case "$$addr" in :*|0.0.0.0:*) addr="127.0.0.1:$${addr##*:}";; esac; \
	printf '%s\n' "" "Post a failed build, then look at it:" "" \
	"  curl -s -H 'Content-Type: application/json' -H 'X-Buildkite-Event: build.finished' -d \"\$$(sed s/2026-01-01/\$$(date -u +%F)/ examples/build.finished.json)\" http://$$addr/buildkite" \
	"  curl -s http://$$addr/api/builds/acme/web/42" ""
	@exec ./build-tracker serve

.PHONY: build
build: ## build the program, ./build-tracker
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o build-tracker ./cmd/build-tracker

.PHONY: test
test: ## run every test with -race, on embedded stores and on real PostgreSQL and Redis
	$(WITH_SERVERS) go test -race -timeout 20m ./...

.PHONY: test-short
test-short: ## run the tests that need neither PostgreSQL nor Redis
	go test -short -race -timeout 20m ./...

.PHONY: lint
lint: $(BIN)/golangci-lint-$(GOLANGCI_LINT) $(BIN)/gazelle-$(GAZELLE) ## check style, imports, formatting and BUILD.bazel files
	$< run ./...
	$(BIN)/gazelle-$(GAZELLE) -repo_root . -external static -mode diff

.PHONY: generate
generate: $(BIN)/gazelle-$(GAZELLE) ## write the BUILD.bazel files
	$< -repo_root . -external static

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
	rm -rf build-tracker $(BIN)

$(BIN)/golangci-lint-$(GOLANGCI_LINT):
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	mv $(BIN)/golangci-lint $@

$(BIN)/gazelle-$(GAZELLE):
	GOBIN=$(BIN) go install github.com/bazelbuild/bazel-gazelle/cmd/gazelle@$(GAZELLE)
	mv $(BIN)/gazelle $@
