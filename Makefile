# The one face for people. `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
SCRIPTS := scripts/setup scripts/check-commits .ci/run .githooks/pre-commit

.PHONY: help run demo test check bench fuzz coverage audit example

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## build everything and start the gateway on embedded defaults
	@scripts/setup run
	@echo "building Tollgate; the first build takes some minutes, later ones seconds"
	cargo run --profile quick

demo: ## walk through the main job against simulated providers, and show what happened
	@scripts/setup run
	@echo "building Tollgate and then walking through the main job; the first build takes some minutes"
	@cargo run --profile quick -- demo

test: ## every test
	@scripts/setup test
	cargo test --workspace --no-fail-fast

wire: ## the golden cases of conversion through the whole gateway (ONLY=regex for some)
	@scripts/setup test
	cargo build --quiet
	.venv/bin/python -B tests/wire/run.py $(if $(ONLY),--only '$(ONLY)')

check: ## format, lints with warnings denied, licences, unused dependencies, script syntax
	@scripts/setup check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny --log-level error check licenses bans sources
	cargo machete --with-metadata .
	@for script in $(SCRIPTS); do bash -n $$script || exit 1; done

audit: ## known vulnerabilities of dependencies (fetches the advisory database)
	@scripts/setup check
	cargo deny check advisories

bench: ## measure the codecs, and the gateway against nginx, bare Pingora and bare hyper, side by side
	@scripts/setup bench
	cargo bench -p tollgate-dialect --bench codec
	scripts/bench

fuzz: ## look for inputs that break a decoder, a minute for each
	@scripts/setup fuzz
	scripts/fuzz

coverage: ## line coverage of the Rust code; fails below 80 %
	@scripts/setup coverage
	LLVM_COV=/usr/bin/llvm-cov-19 LLVM_PROFDATA=/usr/bin/llvm-profdata-19 \
		cargo llvm-cov --workspace --fail-under-lines 80

example: ## write tollgate.example.yaml, its schema and the table of providers anew from the code
	UPDATE_EXAMPLE=1 cargo test --quiet --bin tollgate example
	UPDATE_EXAMPLE=1 cargo test --quiet -p tollgate-domain --test providers_page
