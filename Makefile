# Every target sets up what it needs: python3 (3.11 or later) and a package index are all that is asked of a machine.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# the public measurements that tests and the demo read in place; without them the demo fetches what it needs
TESTBEDS := $(abspath ../shared/testbeds)
export FORETELL_TESTBEDS ?= $(if $(wildcard $(TESTBEDS)),$(TESTBEDS),)

.PHONY: setup demo test test-slow lint format bench results clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: setup
	$(BIN)/foretell demo

test: setup
	$(BIN)/pytest -n 2

test-slow: setup
	$(BIN)/pytest -n 2 -m slow

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/refits.py
	$(BIN)/python benchmarks/starts.py
	$(BIN)/python benchmarks/forecast.py

results: setup
	$(BIN)/python benchmarks/results.py
	$(BIN)/python benchmarks/intervals.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
