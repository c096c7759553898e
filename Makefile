# Needs Python 3.11 or newer and make; everything else is installed into .venv.
#   make run     the example application (PORT=8000)
#   make test    every test, with coverage
#   make check   format, lint, import contracts, types
#   make docs    the documentation, into site/
#   make bench   the measurements

PY ?= python3
PORT ?= 8000
WORKERS ?= auto

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help run test check docs bench clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

# The environment. Made anew only if .venv is missing or of a Python that is too old.
.venv/.python:
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed; name one: make PY=python3.11 ...' >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  $(PY) -m venv --clear .venv
	@touch $@

# What the example needs, and nothing more.
.venv/.run: .venv/.python pyproject.toml constraints.txt
	$(PIP) --editable '.[example]'
	@touch $@

# Everything.
.venv/.ok: .venv/.python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch .venv/.run $@

run: .venv/.run
	$(BIN)/python -m uvicorn example_app.main:app --host 127.0.0.1 --port $(PORT)

test: .venv/.ok
	@$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term

check: .venv/.ok
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

docs: .venv/.ok
	$(BIN)/mkdocs build --strict

bench: .venv/.ok
	$(PIP) --requirement benchmarks/requirements.txt
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv site dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
