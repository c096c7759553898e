# Needs Python 3.11 or newer and make; everything else is installed into .venv.
#   make run     the example application (PORT=8000)
#   make admin   make somebody who signed up there an administrator (NAME=mira)
#   make test    every test, with coverage
#   make check   format, lint, import contracts, types
#   make docs    the documentation, into site/
#   make budget  record anew what a protected request may cost in calls
#   make conformance  the page that holds us against OWASP ASVS, written anew
#   make screenshots  take the pictures of the documentation anew, in Chromium
#   make bench   the measurements, into docs/explanation/benchmarks.md (QUICK=1, PARTS="protected refresh")

PY ?= python3
PORT ?= 8000
WORKERS ?= auto

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help run admin test check docs bench budget conformance screenshots clean

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

admin: .venv/.run
	@$(BIN)/python -m example_app.make_admin '$(NAME)'

test: .venv/.ok
	@$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term

check: .venv/.ok
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

docs: .venv/.ok
	$(BIN)/mkdocs build --strict

# The measurements have an environment of their own, with everybody they compare.
.benchmarks/venv/.ok: .venv/.python benchmarks/requirements.txt pyproject.toml
	$(BIN)/python -m venv --clear .benchmarks/venv
	.benchmarks/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	.benchmarks/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

bench: .benchmarks/venv/.ok
	.benchmarks/venv/bin/python -m benchmarks $(if $(QUICK),--quick) $(PARTS)

# What a protected request may cost, written down anew; look at the difference before committing it.
budget: .venv/.ok
	RECORD_BUDGET=1 $(BIN)/python -m pytest -q -n 0 tests/test_budget.py

# What shows each row of OWASP ASVS: tests/docs/asvs.toml and the suite, as a page.
conformance: .venv/.ok
	$(BIN)/python -m tests.docs.conformance

# The pictures of the documentation; look at them before committing.
screenshots: .venv/.ok
	RECORD_SCREENSHOTS=1 $(BIN)/python -m pytest -q -n 0 -m browser -k sqlite

clean:
	rm -rf .venv .benchmarks .nox site dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
