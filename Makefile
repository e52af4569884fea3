# Everything a person or a machine does with this repository. `make help` lists it.
# `run` builds what ships, once: speed is what it is for. Everything else (test, check, CI) shares the dev
# profile with optimised dependencies, so that no dependency is compiled twice.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run test check fmt lint docs deny advisories bench release image fixtures golden readme

ARGS ?=
IMAGE ?= kinora

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building needs and this machine lacks
	@.ci/setup

run: setup ## build the program that ships and start it; ARGS="--config my.toml" adds settings
	cargo run --release --locked --bin kinora -- serve $(ARGS)

# Doc examples first, the integration tests last, and all of them even if one fails. The closing line
# sums what the runner reported; a run that executed nothing is a failure.
test: ## run every test
	@.ci/setup tests
	@{ status=0; \
	   cargo test --doc --no-fail-fast || status=1; \
	   cargo test --lib --bins --tests --no-fail-fast || status=1; \
	   exit $$status; } 2>&1 | awk ' \
		{ print; fflush() } \
		/^test result: / { passed += $$4; failed += $$6; ignored += $$8 } \
		END { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored; exit passed == 0 }'

check: setup fmt lint docs deny test ## everything that CI does

fmt: ## is the source formatted?
	cargo fmt --check

lint: setup ## clippy on every target, warnings denied
	cargo clippy --all-targets -- -D warnings

docs: setup ## build the documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

deny: ## licences, banned crates and sources of all dependencies
	.ci/deny --locked check bans licenses sources

advisories: ## known vulnerabilities of all dependencies; needs github.com
	.ci/deny --locked check advisories

bench: setup ## measure the hot paths with the release profile
	cargo bench $(ARGS)

release: setup ## build the program that ships: target/release/kinora
	cargo build --release --locked

image: ## build the container image
	docker build --tag $(IMAGE) .

fixtures: setup ## render the sample and test pictures anew
	cargo run --example fixtures

golden: setup ## rewrite the golden pictures; review the difference before you commit
	KINORA_GOLDEN=write cargo test --test it golden

readme: setup ## write the tables of README.md from the code
	KINORA_README=write cargo test --test it docs::
