# portsyncd. `make demo` and `make test` set up what they need themselves.

CARGO ?= cargo
# Tests and the demo need network namespaces. As an ordinary user they run as root of a user namespace of their own.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,unshare --user --net --map-root-user)

.PHONY: help demo test test-page test-monitoring test-alertmanager test-chart bench lint docs setup clean \
        static deb image image-archive chart stage stage-smoke unstage reproducible

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup:
	@.ci/setup redis-server iproute2 openssl

demo: setup ## A switch at work: real kernel, real Redis, in namespaces of its own
	$(CARGO) build --quiet --bins
	target/debug/portsyncd-lab demo $(DEMO_FLAGS)

test: setup ## Every test: real Redis, real links, the real binary
	$(CARGO) build --quiet --bins
	$(AS_ROOT) $(CARGO) test

test-page: setup ## The status page in a real browser; needs Chromium
	@.ci/setup chromium
	$(CARGO) build --quiet --bins
	$(AS_ROOT) $(CARGO) test --test it -- --ignored page::

test-monitoring: setup ## Rules and dashboards against a real Prometheus, the alert engine against promtool
	@.ci/setup prometheus
	$(CARGO) build --quiet --bins
	$(AS_ROOT) $(CARGO) test --test it -- --include-ignored monitoring:: alert_oracle::

test-alertmanager: setup ## Delivery of alerts to a real Alertmanager
	@.ci/setup prometheus-alertmanager
	$(AS_ROOT) $(CARGO) test --test it -- --ignored alertmanager::

test-chart: ## The Helm chart: Helm, Kubernetes' schemas, check-config, promtool, the pods' commands run; as root
	$(CARGO) build --quiet --bins
	helm/check

bench: setup ## Criterion's benches, then whole executables beside the floor: BENCH_FLAGS="--against PROGRAM"
	$(CARGO) bench
	$(CARGO) build --release --quiet --bins
	target/release/portsyncd-lab bench --bin target/release/portsyncd $(BENCH_FLAGS)

lint: ## Format, lints, documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --document-private-items --quiet

# Packages. ARCH=amd64, arm64 or armhf; the latter two need a cross compiler (docs/PACKAGING.md).
ARCH ?= $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)
VERSION := $(shell container/version)
STATIC := target/static/$(ARCH)
IMAGES := target/image/portsyncd-$(VERSION)-$(ARCH).tar target/image/portsyncd-lab-$(VERSION)-$(ARCH).tar

static: ## The static executables
	@.ci/setup binutils gcc $(if $(filter amd64,$(ARCH)),musl-tools)
	container/static --arch $(ARCH) --out $(STATIC)

deb: static ## The Debian packages, into target/deb
	container/deb/build --binary $(STATIC)/portsyncd --lab $(STATIC)/portsyncd-lab --arch $(ARCH) --version $(VERSION) --out target/deb

image-archive: static ## The images as archives, into target/image; needs no container engine
	@.ci/setup jq ca-certificates
	container/image/build --static $(STATIC) --arch $(ARCH) --version $(VERSION) --out target/image

image: image-archive ## The images, loaded into docker or podman
	container/image/load $(IMAGES)

chart: ## The Helm chart's archive, into target/dist
	helm/package --version $(VERSION) --out target/dist

stage: image ## A switch in containers: Redis, fake ports, portsyncd, Prometheus, Alertmanager, Grafana
	container/staging/stage

stage-smoke: ## Whether a running staging does what it should
	@.ci/setup jq curl iproute2
	container/staging/smoke

unstage: ## End the staging
	container/staging/unstage

reproducible: ## Build twice, in other folders with other numbers of jobs, and compare every byte
	@.ci/setup binutils gcc musl-tools jq ca-certificates
	container/reproducible --arch $(ARCH)

clean: ## Remove what was built
	$(CARGO) clean
