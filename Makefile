# `make` tells what there is. Every target sets up what it needs by itself; set up already, that costs nothing.
.DEFAULT_GOAL := help
.PHONY: help setup demo test live check bench lock clean

VENV ?= .venv
PYTHON ?=
PY := $(VENV)/bin/python

# Named by content, as a checkout moves time stamps; by place, as a virtual environment cannot be moved.
INSTALLED := $(VENV)/installed-$(shell { cat pyproject.toml constraints.txt scripts/setup.sh; pwd; echo "$(PYTHON)"; } | cksum | cut -d' ' -f1)

help:  ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  Options: PYTHON=python3.12 (which interpreter), VENV=.venv (where), ARGS='-k blob' (for test, demo and bench)"

setup: $(INSTALLED) ; @:

$(INSTALLED): ; @PYTHON="$(PYTHON)" sh scripts/setup.sh "$(VENV)" "$@"

demo: $(INSTALLED)  ## Run the example pipeline in Airflow on an embedded workspace, with live progress
	@$(PY) -m dags_examples.demo $(ARGS)

test: $(INSTALLED)  ## Run all tests
	@$(PY) -m pytest -n auto --dist loadgroup $(ARGS)

live: $(INSTALLED)  ## Run the contract suites on real services, named by environment variables (see docs/live.md)
	@$(PY) -m tests.live $(ARGS)

check: $(INSTALLED)  ## Format, lint, types and who may import whom
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy --strict
	@$(VENV)/bin/lint-imports --no-logo

bench: $(INSTALLED)  ## Measure against other clients, side by side
	@$(PY) -m pip install -qq -c constraints.txt --group bench
	@$(PY) -m benchmarks $(ARGS)

lock: $(INSTALLED)  ## Resolve constraints.txt again; pins that still fit stay (ARGS=--upgrade renews them)
	@$(PY) -m pip install -qq -c constraints.txt --group lock
	@$(VENV)/bin/uv pip compile pyproject.toml --all-extras --group bench --group build --group checks --group examples --group lock \
		--group tests --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --quiet \
		-o constraints.txt $(ARGS)

clean:  ## Remove the virtual environment, caches and what the demo left
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	@rm -rf .demo .work .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist
	@find . -name __pycache__ -prune -exec rm -rf {} +
