# `make` lists what there is. As root: `make demo` shows it, `make test` proves it.

PREFIX  ?= /usr/local
DESTDIR ?=
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

BIN := $(CURDIR)/bin

# -buildvcs=false: a clone that belongs to another user than the builder (sudo,
# CI) makes git, and with it the build, fail; VERSION says what was built.
STATIC := CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '-s -w'

# The verbs of a container are counted in milliseconds: without this tag
# urfave/cli initialises a markdown library at each start, 0.4 ms.
TAGS := urfave_cli_no_docs

# One at a time on a host: the suites take the same lock (integration/testhost).
ALONE := flock /run/rtshield-tests.lock

# Packages whose tests touch no kernel setting run under the race detector and in
# parallel; all others share the one host and take turns (-p 1).
PURE  = $(shell $(GO) list ./... | grep -E '/(internal|spec|runtime)(/|$$)')
OTHER = $(shell $(GO) list ./... | grep -vE '/(internal|spec|runtime)(/|$$)')

# Prerequisites below are an order (setup, then build), also under make -j.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help setup build runc containerd image image-programs kubernetes k8stest k8sbench k8s demo latency test vmtest vmtest-systemd fuzz bench lint fmt fmt-check clean install uninstall

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what build and tests need (Debian, as root)
	@scripts/setup.sh

build: ## build bin/rtshield and bin/rtshield-plot, static
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -tags $(TAGS) \
		-ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/rtshield ./cmd/rtshield
	$(STATIC) -o $(BIN)/rtshield-plot ./cmd/rtshield-plot

# With the tags of runc's own Makefile, so that `make bench` does not compare
# with a runc that is slower than the one people have.
runc: ## build bin/runc from the version in go.mod
	@mkdir -p $(BIN)
	$(GO) build -buildvcs=false -trimpath -tags 'seccomp urfave_cli_no_docs' \
		-o $(BIN)/runc github.com/opencontainers/runc

# A module of its own: what it requires is nothing of ours.
CONTAINERD := v2.4.2

containerd: ## build the containerd that the tests drive through its CRI, into bin/containerd
	@mkdir -p $(BIN)/containerd
	GOBIN=$(BIN)/containerd CGO_ENABLED=0 $(GO) install -buildvcs=false -trimpath -ldflags '-s -w' \
		$(addprefix github.com/containerd/containerd/v2/cmd/,$(addsuffix @$(CONTAINERD),containerd ctr containerd-shim-runc-v2))

# Static, also runc with its seccomp: the image has no libraries.
IMAGE ?= rtshield-node:$(VERSION)

image-programs: build
	@mkdir -p $(BIN)/image
	@cp $(BIN)/rtshield LICENSE $(BIN)/image/
	CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath \
		-ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/image/rtshield-node ./cmd/rtshield-node
	CGO_ENABLED=1 $(GO) build -buildvcs=false -trimpath -tags 'seccomp urfave_cli_no_docs netgo osusergo' \
		-ldflags '-s -w -linkmode external -extldflags "-static"' -o $(BIN)/image/runc github.com/opencontainers/runc

image: image-programs ## build the installer's image for Kubernetes, IMAGE=rtshield-node:VERSION, with docker (deploy/README.md)
	docker build --network=none -t $(IMAGE) -f deploy/Dockerfile $(BIN)/image

# Kubernetes as its authors release it, in a module of its own: what it requires is nothing of ours. etcd is Debian's.
VERSIONED := k8s.io/component-base/version

kubernetes: ## build the kubelet, kube-apiserver and kubectl of the tests, into bin/kubernetes (ten minutes, once)
	@scripts/setup.sh etcd-server
	@mkdir -p $(BIN)/kubernetes
	cd integration/kubernetes/programs && version=$$($(GO) list -m -f '{{.Version}}' k8s.io/kubernetes) && \
		CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -o $(BIN)/kubernetes/ \
		-ldflags "-s -w -X $(VERSIONED).gitVersion=$$version -X $(VERSIONED).gitMajor=1 -X $(VERSIONED).gitMinor=$$(echo $$version | cut -d. -f2)" tool

# The suites take the lock themselves, and build a program that is not named.
CLUSTER := RTSHIELD_BIN=$(BIN)/rtshield RTSHIELD_TEST_RUNC=$(BIN)/runc RTSHIELD_TEST_CONTAINERD=$(BIN)/containerd \
	RTSHIELD_TEST_KUBERNETES=$(BIN)/kubernetes $(GO)

k8stest: image-programs runc containerd kubernetes ## test deploy/, and rtshield below a real kubelet and API server (as root)
	cd integration/manifests && RTSHIELD_IMAGE=$(BIN)/image $(GO) vet ./... && \
		RTSHIELD_IMAGE=$(BIN)/image $(ALONE) $(GO) test -count=1 -timeout 10m ./...
	cd integration/kubernetes && $(GO) vet ./... && $(CLUSTER) test -count=1 -p 1 -timeout 20m ./...

k8sbench: build runc containerd kubernetes ## time the start of 20 pods with runc and with rtshield, in turns (as root, minutes)
	cd integration/kubernetes && $(CLUSTER) test -run '^$$' -bench PodStart -benchtime 20x -timeout 30m .

k8s: build runc containerd kubernetes ## run that kubelet and API server until Ctrl-C (as root)
	cd integration/kubernetes && $(CLUSTER) run ./up

demo: setup build runc ## run one container under load three ways, and compare (as root)
	@$(STATIC) -o $(BIN)/probe ./integration/demo/probe
	@$(STATIC) -o $(BIN)/demo ./integration/demo
	@$(ALONE) $(BIN)/demo $(DEMOFLAGS)

latency: setup build runc ## what the shield is worth on this machine, with its own policy file (as root, minutes)
	@$(STATIC) -o $(BIN)/latency ./integration/latency
	@$(ALONE) $(BIN)/latency $(LATENCYFLAGS)

test: setup build runc containerd fmt-check ## run all tests, on this host and on kernels in VMs (as root)
	$(GO) vet ./...
	@$(STATIC) -o $(BIN)/testsum ./scripts/testsum
	@GO=$(GO) scripts/fuzz.sh 2000x
	@RTSHIELD_VM=1 RTSHIELD_TEST_RUNC=$(BIN)/runc RTSHIELD_TEST_CONTAINERD=$(BIN)/containerd \
		RTSHIELD_BIN=$(BIN)/rtshield GO=$(GO) \
		$(BIN)/testsum -race $(PURE) -- -count=1 -p 1 -timeout 80m $(OTHER)

vmtest: setup build runc ## boot real-time kernels in VMs, and write what holds on each to docs/kernels.md (minutes)
	RTSHIELD_VM=1 RTSHIELD_TEST_RUNC=$(BIN)/runc RTSHIELD_BIN=$(BIN)/rtshield \
		RTSHIELD_VM_TABLE=$(CURDIR)/docs/kernels.md $(GO) test -count=1 -timeout 60m -v ./integration/vm

vmtest-systemd: setup build runc ## the same with systemd, Docker and irqbalance in the VMs (minutes)
	RTSHIELD_VM_SYSTEMD=1 RTSHIELD_TEST_RUNC=$(BIN)/runc RTSHIELD_BIN=$(BIN)/rtshield \
		RTSHIELD_VM_TABLE=$(CURDIR)/docs/kernels-systemd.md $(GO) test -count=1 -timeout 90m -v ./integration/vm -args -vm.limit 40m

# FUZZTIME is for each target, PATTERN chooses some.
FUZZTIME ?= 10m

fuzz: ## run every fuzz target for FUZZTIME=10m, one line each
	@GO=$(GO) scripts/fuzz.sh $(FUZZTIME) $(PATTERN)

bench: setup build runc ## time rtshield against plain runc, in pairs (as root)
	@$(STATIC) -o $(BIN)/bench ./integration/bench
	@$(ALONE) $(BIN)/bench $(BENCHFLAGS)

lint: fmt-check ## go vet, and golangci-lint where it is installed
	$(GO) vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; \
	else echo "golangci-lint is not installed: only gofmt and go vet ran"; fi

fmt: ## gofmt every file
	gofmt -w .

fmt-check:
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not gofmt'ed (make fmt):" $$files >&2; exit 1; }

clean: ## remove bin/
	rm -rf $(BIN)

install: build ## install to $(DESTDIR)$(PREFIX)/bin, with the links rtshield-fifo, rtshield-rr
	install -D -m 0755 $(BIN)/rtshield $(DESTDIR)$(PREFIX)/bin/rtshield
	install -m 0755 $(BIN)/rtshield-plot $(DESTDIR)$(PREFIX)/bin/rtshield-plot
	ln -sf rtshield $(DESTDIR)$(PREFIX)/bin/rtshield-fifo
	ln -sf rtshield $(DESTDIR)$(PREFIX)/bin/rtshield-rr

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/rtshield-fifo $(DESTDIR)$(PREFIX)/bin/rtshield-rr \
		$(DESTDIR)$(PREFIX)/bin/rtshield-plot $(DESTDIR)$(PREFIX)/bin/rtshield
