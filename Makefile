# Croft. Two commands do everything on a fresh machine: `make demo` and `make test`.
# What they need beyond git, Rust, make and a C compiler, .ci/setup.sh installs and says so.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

SETUP := .ci/setup.sh
ENV := . target/setup/env.sh
# CI treats warnings as errors; a developer's editor does not have to.
CLIPPY := cargo clippy --workspace --all-targets --locked -- -D warnings
FAST := $(addprefix -p ,croft-proto croft-domain croft-trust croft-vetting croft-link croft-tpm croft-confine)

.PHONY: help setup demo test check lint bench fmt

help: ## What there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install what is missing (cmake, libclang, PostgreSQL, Ansible, model_signing, API clients, CycloneDX, tinyproxy, swtpm); idempotent
	@$(SETUP) build store playbooks oms clients bom proxy tpm

demo: ## The main job end to end in a fresh temporary state; KEEP=1 leaves it running
	@$(SETUP) build
	@$(ENV) && echo "demo: building release binaries (6 to 10 minutes the first time on 2 cores, then seconds)" \
	  && cargo build --release --locked --workspace --bins && exec target/release/croft-demo

test: ## Every test, unit to end to end
	@$(SETUP) build store playbooks oms clients bom proxy tpm
	@$(ENV) && echo "test: building everything (about 5 minutes the first time on 2 cores)" \
	  && cargo build --locked --workspace --bins && cargo test --locked --workspace

check: ## Fast: no llama.cpp, no root
	@$(SETUP) oms proxy tpm
	cargo fmt --all --check
	cargo clippy $(FAST) --all-targets --locked -- -D warnings
	@$(ENV) && cargo test --locked $(FAST)
	cargo check --locked -p croft-controller -p croftctl -p croft-node -p croft

lint: ## Formatting, clippy, Ansible
	@$(SETUP) build playbooks
	cargo fmt --all --check
	@$(ENV) && $(CLIPPY)
	@$(ENV) && .ci/lint-playbooks.sh

bench: ## Benchmarks; figures go into docs/BENCHMARKS.md
	@$(SETUP) build
	@$(ENV) && cargo build --release --locked --workspace --bins && cargo bench --locked -p croft-domain -p croft-trust -p croft-node -p croft-e2e
	@$(ENV) && cargo bench --locked -p croft-worker --bench engine

fmt: ## Format
	cargo fmt --all
