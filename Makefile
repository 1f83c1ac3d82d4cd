# One command each, on a machine with Python 3.10 or newer and make: everything is set up in .venv first.
# (fadtk's models need Python 3.10 to 3.12; on a later one their tests skip, saying so.)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test check benchmark format clean

help:  ## This list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/ready  ## Main job: FAD against DDIM steps from the shipped weights, with table and figure.
	$(BIN)/python -m experiments.ddim_steps --output demo

test: $(VENV)/ready  ## All tests.
	$(BIN)/python -m pytest

check: $(VENV)/ready  ## Lint, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/ready  ## Throughput on this machine.
	$(BIN)/python -m pytest --benchmark-only

format: $(VENV)/ready  ## Format the code, and mend what the linter can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test,fadtk]"
	touch $@

clean:  ## Remove .venv and the tools' caches.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
