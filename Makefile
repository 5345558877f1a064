# Warren. `make help` lists the targets; README.md starts with `make run`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/warrenedge/warren/shared/version.Version=$(VERSION)
IMAGE_TAG = $(subst +,-,$(VERSION))
# Of gRPC without golang.org/x/net/trace: it brings html/template, with which the linker has to keep every exported
# method of every type. The connector is a quarter smaller without, on disk and in memory.
TAGS    := grpcnotrace
# All that is built without the race detector is built as the programs are, so that each package is compiled once for all targets.
ALIKE    = CGO_ENABLED=0 GOFLAGS="$$(go env GOFLAGS) -trimpath -tags=$(TAGS)"
TOOLS   := $(CURDIR)/.bin
export PATH := $(TOOLS):$(PATH)

# Tools are built from pinned versions into .bin and never appear in go.mod.
BUF         := github.com/bufbuild/buf/cmd/buf@v1.75.0
PROTOC_GO   := google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
PROTOC_GRPC := google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
SQLC        := github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1
TEMPL       := github.com/a-h/templ/cmd/templ@v0.3.977
OAPI        := github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What bench-tunnel compares with, built the same way.
FRP    := github.com/fatedier/frp@v0.61.0
CHISEL := github.com/jpillora/chisel@v1.10.1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the four programs into bin/; needs only Go
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/ ./controlplane/cmd/... ./dataplane/cmd/...

.PHONY: image
image: build ## build container images of the programs with Docker or Podman: warren-control, warren-node, warren-connector
	@engine=$${ENGINE:-$$(command -v docker || command -v podman)} || { echo 'neither docker nor podman is here' >&2; exit 1; }; \
	deploy/container/layout bin bin/image; \
	for name in warren-control warren-node warren-connector; do \
		$$engine build --quiet --target $$name --tag $$name:$(IMAGE_TAG) --tag $$name:latest -f deploy/container/Containerfile bin/image; \
	done

.PHONY: deb
deb: build ## build Debian packages of the programs into bin/deb
	deploy/deb/build bin bin/deb '$(VERSION)'

.PHONY: run
run: ## build, then start a whole cluster on this machine; Ctrl-C ends it
	@since=$$(date +%s%N); $(MAKE) --no-print-directory build; test/packages run; \
		exec env WARREN_UP_SINCE=$$since bin/warren up $(UP)

# Without vet, of which lint runs more: as a part of tests it type-checks once more whatever they import.
.PHONY: test
test: ## unit and integration tests with the race detector, against real PostgreSQL and Valkey or Redis
	@test/packages test
	go test -race -vet=off -timeout 20m ./...

.PHONY: e2e
e2e: build ## end-to-end tests: real programs on hosts made of network namespaces; needs root
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make e2e makes network namespaces: run it as root' >&2; exit 1; fi
	@test/packages e2e
	$(ALIKE) go test -count=1 -vet=off -timeout 20m -tags netns,$(TAGS) ./dataplane/tunnel/ ./test/lab/
	$(ALIKE) go test -count=1 -vet=off -timeout 20m -tags e2e,$(TAGS) -run '^TestBrowser' ./controlplane/web/ ./controlplane/console/
	$(ALIKE) go test -count=1 -vet=off -timeout 60m -tags e2e,$(TAGS) ./test/e2e/

.PHONY: screenshots
screenshots: build ## take the pictures of the console that README shows, of a cluster with data; needs root
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make screenshots needs root, as the end-to-end tests do' >&2; exit 1; fi
	@test/packages e2e
	@mkdir -p controlplane/console/pictures
	WARREN_PICTURES=$(CURDIR)/controlplane/console/pictures go test -count=1 -tags e2e -run '^TestBrowserConsole$$' ./test/e2e/

.PHONY: lab
lab: build ## a cluster on network namespaces to break by hand, LAB="-nodes 5" for its size; needs root; Ctrl-C ends it
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make lab makes network namespaces: run it as root' >&2; exit 1; fi
	@test/packages e2e
	@go build -o bin/ ./test/lab/cmd/warren-lab && exec bin/warren-lab $(LAB)

.PHONY: lint
lint: $(TOOLS)/staticcheck $(TOOLS)/buf ## gofmt, vet, staticcheck, buf lint
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt these: $$out" >&2; exit 1; fi
	$(ALIKE) go vet -tags e2e,netns,$(TAGS) ./...
	$(ALIKE) staticcheck -tags e2e,netns,$(TAGS) ./...
	cd api && buf lint

.PHONY: generate
generate: $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc $(TOOLS)/sqlc $(TOOLS)/templ $(TOOLS)/oapi-codegen ## write all generated code anew
	cd api && buf generate
	cd controlplane/store && sqlc generate
	$(ALIKE) go generate ./...
	$(ALIKE) go generate ./controlplane/apiclient/typed # once more: from what the one before has written of the API

.PHONY: generate-check
generate-check: generate ## fail if generated code is not what generate writes
	@git status --porcelain -- api controlplane/store/internal controlplane/rest controlplane/web controlplane/console controlplane/apiclient | { ! grep .; } || \
		{ echo 'generated code differs: run make generate, commit what it writes' >&2; exit 1; }

.PHONY: check
check: lint generate-check test e2e ## everything that CI runs

.PHONY: bench
bench: ## print benchmark figures, one JSON line each
	go test -run '^$$' -bench . -skip '^Benchmark(Ordeal|Access.*|RequestLog|ThousandOrders|Manifests)$$' -benchtime 1s ./... | grep -E '^\{|^Benchmark'

.PHONY: bench-tunnel
bench-tunnel: build $(TOOLS)/peers/frps $(TOOLS)/peers/chisel ## print figures of tunnels beside their peers in the same run, one JSON line each; needs root
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make bench-tunnel makes network namespaces: run it as root' >&2; exit 1; fi
	@test/packages e2e
	@go test -run '^$$' -bench '^BenchmarkNetstack$$' -benchtime 1000x ./dataplane/tunnel/ | grep '^{'
	@go build -o bin/bench-tunnel ./test/bench/tunnel && exec bin/bench-tunnel -peers $(TOOLS)/peers $(BENCH)

.PHONY: bench-failover
bench-failover: build ## print what clients see when parts of a cluster die, one JSON line each; needs root
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make bench-failover makes network namespaces: run it as root' >&2; exit 1; fi
	@test/packages e2e
	@go test -run '^$$' -bench '^BenchmarkOrdeal$$' -benchtime 1x -timeout 30m ./dataplane/streams/ ./dataplane/tunnel/ | grep '^{'
	@go build -o bin/bench-failover ./test/bench/failover && exec bin/bench-failover $(BENCH)

.PHONY: bench-cert
bench-cert: build ## print what certificates cost at Pebble, beside lego's own workflow in the same run, and until five nodes serve them, one JSON line each; needs root
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make bench-cert makes network namespaces: run it as root' >&2; exit 1; fi
	@test/packages e2e
	@go test -run '^$$' -bench '^BenchmarkPlan$$' -benchtime 1x -timeout 20m ./controlplane/orders/ | grep '^{'
	@go test -run '^TestRenewalInformationOfMany$$' -timeout 40m ./controlplane/orders/ -certificates 10000
	@go test -run '^$$' -bench '^BenchmarkThousandOrders$$' -benchtime 1x -timeout 40m ./test/ordering/ | grep '^{'
	@go build -o bin/bench-cert ./test/bench/cert && exec bin/bench-cert $(BENCH)

.PHONY: bench-access
bench-access: ## print what policies and people who sign in cost: to apply, to decide, of a request, of others; one JSON line each
	@go test -run '^$$' -bench '^BenchmarkSignIn$$' -benchtime 1x ./controlplane/web/ | grep '^{'
	@go test -run '^$$' -bench '^BenchmarkAccess' -benchtime 1x ./dataplane/apply/ ./dataplane/gate/ | grep '^{'
	@go test -run '^$$' -bench '^BenchmarkAccess' -benchtime 2s ./shared/policy/ | grep '^{'

.PHONY: bench-log
bench-log: ## print what the request log costs a node: requests with and without it, a record; one JSON line each
	@go test -run '^$$' -bench '^BenchmarkRequestLog$$' -benchtime 1x ./dataplane/httpproxy/ ./dataplane/tell/ | grep '^{'

.PHONY: bench-web
bench-web: ## print what pages of the console cost the server with 10,000 services, one JSON line each
	@go test -run '^$$' -bench '^BenchmarkRender$$' -benchtime 1x ./controlplane/console/ | grep '^{'

.PHONY: bench-apply
bench-apply: ## print how long a thousand objects take to apply, again, and dry, one JSON line
	@go test -run '^$$' -bench '^BenchmarkManifests$$' -benchtime 1x ./controlplane/rest/ | grep '^{'

.PHONY: bench-expose
bench-expose: build ## print how long "warren expose" takes until its URL answers, and "warren doctor" until it has looked, one JSON line each
	@test/packages run
	@go build -o bin/bench-expose ./test/bench/expose && exec bin/bench-expose $(BENCH)

.PHONY: bench-idle
bench-idle: build ## print what two thousand idle sites cost a node, one JSON line; needs root
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make bench-idle makes network namespaces: run it as root' >&2; exit 1; fi
	@go build -o bin/bench-idle ./test/bench/idle && exec bin/bench-idle $(BENCH)

.PHONY: bench-upgrade
bench-upgrade: build ## print what clients see while every program is upgraded from OLD=<revision>, one JSON line an order; needs root
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make bench-upgrade makes network namespaces: run it as root' >&2; exit 1; fi
	@test/packages e2e
	@go build -o bin/bench-upgrade ./test/bench/upgrade && exec bin/bench-upgrade -old '$(OLD)' $(BENCH)

.PHONY: bench-link
bench-link: ## print what the lab's links cost, Gbit/s and CPU per GB; needs root
	@if [ "$$(id -u)" -ne 0 ]; then echo 'make bench-link makes network namespaces: run it as root' >&2; exit 1; fi
	go test -tags netns -run '^$$' -bench Link -benchtime 2000x ./test/lab/ | grep Gbit/s

$(TOOLS)/buf: ; GOBIN=$(TOOLS) go install $(BUF)
$(TOOLS)/protoc-gen-go: ; GOBIN=$(TOOLS) go install $(PROTOC_GO)
$(TOOLS)/protoc-gen-go-grpc: ; GOBIN=$(TOOLS) go install $(PROTOC_GRPC)
$(TOOLS)/sqlc: ; GOBIN=$(TOOLS) go install $(SQLC)
$(TOOLS)/templ: ; GOBIN=$(TOOLS) go install $(TEMPL)
$(TOOLS)/oapi-codegen: ; GOBIN=$(TOOLS) go install $(OAPI)
$(TOOLS)/staticcheck: ; GOBIN=$(TOOLS) go install $(STATICCHECK)

# In a module of its own: "go install" asks for a list of versions, which not every module proxy has.
PEER = @mkdir -p $(TOOLS)/peers; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; cd "$$tmp"; go mod init peers 2>/dev/null; \
	dir=$$(go mod download -json $(1) | sed -n 's/.*"Dir": "\(.*\)",*/\1/p'); cd "$$dir"; CGO_ENABLED=0 go build -o $(TOOLS)/peers/ $(2)
$(TOOLS)/peers/frps: ; $(call PEER,$(FRP),./cmd/frps ./cmd/frpc)
$(TOOLS)/peers/chisel: ; $(call PEER,$(CHISEL),.)
