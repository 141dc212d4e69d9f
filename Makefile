# Every target works from a fresh clone with Python 3.11 or newer: `make demo`, then `make dev`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
.DEFAULT_GOAL := help

.PHONY: help install demo dev test lint format bench soak lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## Create .venv with the locked dependencies; .venv/bin/ingest is the command

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "The venv module is missing (on Debian: apt-get install python3-venv)." >&2; exit 1; }

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

demo: install  ## Import, deduplicate and tag the sample feeds; prints what each step counted
	@$(BIN)/ingest demo

dev: install  ## Database, Dagster UI (http://127.0.0.1:3000) and daemon until Ctrl-C
	@exec $(BIN)/ingest dev

test: $(VENV)/.installed-dev lint  ## Lint, types, import contracts and the fast test suite
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not soak"

lint: $(VENV)/.installed-dev  ## ruff, mypy and import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev  ## Every benchmark beside its peers, into docs/benchmarks.md; takes most of an hour
	@$(BIN)/python -m benchmarks

soak: $(VENV)/.installed-dev  ## The long fault and scale suites, into soak-report.md
	@$(BIN)/python -m pytest -q -m soak --timeout 3600 -p tests.soak_report --soak-report soak-report.md

lock: $(BIN)/python  ## Resolve the dependencies anew (needs uv)
	@for extra in "requirements.lock --extra build" "requirements-dev.lock --extra build --extra dev" \
	  "deploy/image/requirements.lock --extra build --extra celery --extra k8s"; do \
	  uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-strip-extras --quiet --custom-compile-command "make lock" --output-file $$extra; \
	done

clean:  ## Remove the environment; data under .ingestion stays
	@rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache
