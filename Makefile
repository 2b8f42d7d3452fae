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
# -o: what a test leaves running for a while must not hold it.
ALONE := flock -o /run/rtshield-tests.lock

# Packages whose tests touch no kernel setting run under the race detector and in
# parallel; all others share the one host and take turns (-p 1).
PURE  = $(shell $(GO) list ./... | grep -E '/(internal|spec|runtime)(/|$$)')
OTHER = $(shell $(GO) list ./... | grep -vE '/(internal|spec|runtime)(/|$$)')

# Prerequisites below are an order (setup, then build), also under make -j.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help setup build man shared packages runc containerd crio image image-programs kubernetes k8stest k8sbench k8s demo latency test vmtest vmtest-systemd vmtest-suites vmtest-kubernetes fuzz reference bench lint fmt fmt-check clean install uninstall

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

# In a module of its own, too: the registry's answer to "which versions are there" is not needed for what go.mod names. Without
# GPG, btrfs and OSTree, whose C libraries it would want.
crio: ## build the CRI-O that the tests drive through its CRI, into bin/crio
	@mkdir -p $(BIN)/crio
	cd integration/crio/programs && $(GO) build -buildvcs=false -trimpath -ldflags '-s -w' -o $(BIN)/crio/ \
		-tags 'containers_image_ostree_stub containers_image_openpgp exclude_graphdriver_btrfs seccomp' tool && \
		cc -std=c99 -Os -static -o $(BIN)/crio/pinns $$($(GO) list -m -f '{{.Dir}}' github.com/cri-o/cri-o)/pinns/src/*.c

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

PODSTART := -run '^$$' -bench PodStart -benchtime 20x -timeout 30m .

k8sbench: build runc containerd kubernetes ## time the start of 20 pods with runc and with rtshield, in turns (as root, minutes)
	cd integration/kubernetes && $(CLUSTER) test $(PODSTART)
	@echo "The same with all of the cluster's own processes on the reserved CPUs, all but the last:"
	cd integration/kubernetes && taskset -c 0-$$(($$(nproc) - 2)) env $(CLUSTER) test $(PODSTART)

k8s: build runc containerd kubernetes ## run that kubelet and API server until Ctrl-C (as root)
	cd integration/kubernetes && $(CLUSTER) run ./up

demo: setup build runc ## run one container under load three ways, and compare (as root)
	@$(STATIC) -o $(BIN)/probe ./integration/demo/probe
	@$(STATIC) -o $(BIN)/demo ./integration/demo
	@$(ALONE) $(BIN)/demo $(DEMOFLAGS)

latency: setup build runc ## what the shield is worth on this machine, with its own policy file (as root, minutes)
	@$(STATIC) -o $(BIN)/latency ./integration/latency
	@$(ALONE) $(BIN)/latency $(LATENCYFLAGS)

test: setup build runc containerd crio fmt-check ## run all tests, on this host and on kernels in VMs (as root)
	$(GO) vet ./...
	@$(STATIC) -o $(BIN)/testsum ./scripts/testsum
	@GO=$(GO) scripts/fuzz.sh 2000x
	@RTSHIELD_VM=1 RTSHIELD_TEST_RUNC=$(BIN)/runc RTSHIELD_TEST_CONTAINERD=$(BIN)/containerd \
		RTSHIELD_TEST_CRIO=$(BIN)/crio RTSHIELD_BIN=$(BIN)/rtshield GO=$(GO) \
		$(BIN)/testsum -race $(PURE) -- -count=1 -p 1 -timeout 80m $(OTHER)

vmtest: setup build runc ## boot real-time kernels in VMs, and write what holds on each to docs/kernels.md (minutes)
	RTSHIELD_VM=1 RTSHIELD_TEST_RUNC=$(BIN)/runc RTSHIELD_BIN=$(BIN)/rtshield \
		RTSHIELD_VM_TABLE=$(CURDIR)/docs/kernels.md $(GO) test -count=1 -timeout 60m -v ./integration/vm

vmtest-systemd: setup build runc ## the same with systemd, Docker and irqbalance in the VMs (minutes)
	RTSHIELD_VM_SYSTEMD=1 RTSHIELD_TEST_RUNC=$(BIN)/runc RTSHIELD_BIN=$(BIN)/rtshield \
		RTSHIELD_VM_TABLE=$(CURDIR)/docs/kernels-systemd.md $(GO) test -count=1 -timeout 90m -v ./integration/vm -args -vm.limit 40m

vmtest-suites: setup build runc ## play what integration/differential plays on this host in a VM with cgroup v2 (minutes)
	RTSHIELD_VM_SUITES=1 RTSHIELD_TEST_RUNC=$(BIN)/runc RTSHIELD_BIN=$(BIN)/rtshield \
		$(GO) test -count=1 -timeout 90m -v ./integration/vm -run TheHostsSuites -args -vm.limit 60m

vmtest-kubernetes: setup build runc containerd kubernetes ## lead pods through a real kubelet in a VM with cgroup v2 (many minutes)
	RTSHIELD_VM_KUBERNETES=1 $(CLUSTER) test -count=1 -timeout 150m -v ./integration/vm -run AKubelet -args -vm.limit 60m

# FUZZTIME is for each target, PATTERN chooses some.
FUZZTIME ?= 10m

fuzz: ## run every fuzz target for FUZZTIME=10m, one line each
	@GO=$(GO) scripts/fuzz.sh $(FUZZTIME) $(PATTERN)

reference: ## write docs/reference.md from the code
	$(GO) test -count=1 ./internal/manual -run TheReference -args -update

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

# What is the same for every processor, below bin/ as below PREFIX. The pages and completions are the program's own words.
SHARED := share/man/man8/rtshield.8 share/man/man5/rtshield.toml.5 share/bash-completion/completions/rtshield \
	share/zsh/site-functions/_rtshield share/fish/vendor_completions.d/rtshield.fish lib/systemd/system/rtshield-reconcile.service

man: build ## write the man pages to bin/share/man
	@mkdir -p $(BIN)/share/man/man5 $(BIN)/share/man/man8
	$(BIN)/rtshield help rtshield.8 >$(BIN)/share/man/man8/rtshield.8
	$(BIN)/rtshield help rtshield.toml.5 >$(BIN)/share/man/man5/rtshield.toml.5

shared: man
	@mkdir -p $(addprefix $(BIN)/,$(dir $(SHARED)))
	@$(BIN)/rtshield completion bash >$(BIN)/share/bash-completion/completions/rtshield
	@$(BIN)/rtshield completion zsh >$(BIN)/share/zsh/site-functions/_rtshield
	@$(BIN)/rtshield completion fish >$(BIN)/share/fish/vendor_completions.d/rtshield.fish
	@sed 's|@bindir@|$(PREFIX)/bin|' packaging/rtshield-reconcile.service >$(BIN)/lib/systemd/system/rtshield-reconcile.service

install: shared ## install to $(DESTDIR)$(PREFIX): programs, man pages, completions, and a unit that is not enabled
	install -D -m 0755 $(BIN)/rtshield $(DESTDIR)$(PREFIX)/bin/rtshield
	install -m 0755 $(BIN)/rtshield-plot $(DESTDIR)$(PREFIX)/bin/rtshield-plot
	ln -sf rtshield $(DESTDIR)$(PREFIX)/bin/rtshield-fifo
	ln -sf rtshield $(DESTDIR)$(PREFIX)/bin/rtshield-rr
	@for file in $(SHARED); do install -D -m 0644 $(BIN)/$$file $(DESTDIR)$(PREFIX)/$$file || exit; done

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/rtshield-fifo $(DESTDIR)$(PREFIX)/bin/rtshield-rr \
		$(DESTDIR)$(PREFIX)/bin/rtshield-plot $(DESTDIR)$(PREFIX)/bin/rtshield $(addprefix $(DESTDIR)$(PREFIX)/,$(SHARED))

# Later ones want modules that not every module proxy has.
NFPM_VERSION := v2.45.2
NFPM         ?= $(BIN)/nfpm-$(NFPM_VERSION)/nfpm

$(NFPM):
	GOBIN=$(@D) CGO_ENABLED=0 $(GO) install -buildvcs=false -trimpath -ldflags '-s -w' github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)

# A version that is none yet, such as a commit's, comes before all that are. What depends on the clock has the commit's time.
ARCHES            ?= amd64 arm64
PACKAGE_VERSION    = $(shell echo '$(VERSION)' | sed -E 's/^v//; /^[0-9]+\./!s/^/0~/; s/-/+/g')
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

packages: $(NFPM) ## build .deb and .rpm for amd64 and arm64 into bin/packages
	@$(MAKE) --no-print-directory shared PREFIX=/usr
	@gzip -9nkf $(BIN)/share/man/man*/*.[58]
	@rm -rf $(BIN)/packages && mkdir -p $(BIN)/packages
	@for arch in $(ARCHES); do \
		GOARCH=$$arch $(MAKE) --no-print-directory build BIN=$(BIN)/$$arch || exit; \
		for format in deb rpm; do \
			BIN=$(BIN) ARCH=$$arch PACKAGE_VERSION=$(PACKAGE_VERSION) SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) \
				$(NFPM) package -f packaging/nfpm.yaml -p $$format -t $(BIN)/packages || exit; \
		done; \
	done
