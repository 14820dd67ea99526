# Each target sets up what it needs first: system packages, .venv, pinned Python packages (tools/setup_*.sh).

PYTHON := .venv/bin/python
PYTEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile

venv: ## install what is missing: system packages, .venv, pinned Python packages
	@tools/setup_system.sh
	@tools/setup_python.sh

demo: venv ## compile our digits model for Cortex-M55, run it on QEMU, compare with LiteRT
	$(PYTHON) tools/demo.py

lint: venv ## ruff and mypy
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

test: lint ## lint, then every test
	$(PYTHON) -m pytest -n $(PYTEST_WORKERS) --dist worksteal
