# portsyncd. `make demo` and `make test` set up what they need themselves.

CARGO ?= cargo
# Tests and the demo need network namespaces. As an ordinary user they run as root of a user namespace of their own.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,unshare --user --net --map-root-user)

.PHONY: help demo test test-page test-monitoring test-alertmanager test-chart chart bench lint docs setup clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

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
	$(AS_ROOT) $(CARGO) test --test page

test-monitoring: setup ## Rules and dashboards against a real Prometheus, the alert engine against promtool
	@.ci/setup prometheus
	$(CARGO) build --quiet --bins
	$(AS_ROOT) $(CARGO) test --test monitoring --test alert_oracle

test-alertmanager: setup ## Delivery of alerts to a real Alertmanager
	@.ci/setup prometheus-alertmanager
	$(AS_ROOT) $(CARGO) test --test alertmanager

chart: ## The Helm chart's archive, into target/dist
	helm/package --version "$$(sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)" --out target/dist

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
	$(CARGO) clippy --test page --test monitoring --test alertmanager --test alert_oracle --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --document-private-items --quiet

clean: ## Remove what was built
	$(CARGO) clean
