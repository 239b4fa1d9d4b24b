# Every target sets up what it needs: python3 (3.11 or later) and a package index are all that is asked of a machine.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# the public measurements that tests and the demo read in place; without them the demo fetches what it needs
TESTBEDS := $(abspath ../shared/testbeds)
export FORETELL_TESTBEDS ?= $(if $(wildcard $(TESTBEDS)),$(TESTBEDS),)

.PHONY: setup demo first-quarter test test-slow test-browser site lint format bench results ladder fixtures fuzz clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: setup
	$(BIN)/foretell demo
	$(if $(FORETELL_TESTBEDS),$(BIN)/foretell demo --olmo)

# a newcomer's first steps in an environment of their own, with the versions that every check was run with, timed
first-quarter:
	PYTHON=$(PYTHON) PIP_CONSTRAINT=$(abspath constraints.txt) examples/first_quarter.sh

test: setup
	$(BIN)/pytest -n 2

test-slow: setup
	tests/cluster/slurm.sh start
	$(BIN)/pytest -n 2 -m slow; code=$$?; tests/cluster/slurm.sh stop; exit $$code

# the report in a real browser, at rest and served; what is missing is installed (Debian's chromium as root, node, npm)
test-browser: setup
	tests/browser/install.sh
	$(BIN)/python tests/browser/check_report.py
	$(BIN)/python tests/browser/check_serve.py

# the documentation as a site: python3 -m http.server -d build/site, or open build/site/index.html; it asks no network
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	! grep -rlE '<(script|link|img)[^>]*(src|href)="?https?://' build/site --include='*.html'

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

LADDER := build/ladder
# texts, corpus, seven rungs, their study, then the target: about three hours on two cores; stopped, it goes on
ladder: setup
	examples/ladder/fetch.sh $(LADDER)/packages
	test -d $(LADDER)/texts || $(BIN)/python examples/ladder/texts.py $(LADDER)/packages $(LADDER)/texts
	test -d $(LADDER)/corpus || $(BIN)/foretell corpus build code=$(LADDER)/texts/code kernel=$(LADDER)/texts/kernel \
		dictionary=$(LADDER)/texts/dictionary factbook=$(LADDER)/texts/factbook \
		--longest 4000 --held-out 0.04 -o $(LADDER)/corpus
	$(BIN)/foretell train examples/ladder/ladder.toml

# the small files that readers are tested on, made again by the real tools, each in an environment of its own
fixtures: setup
	tests/fixtures/make_fixtures/run_all.sh .fixtures $(abspath $(BIN)/python)

FUZZ_SECONDS ?= 60
FUZZED := lm-eval lm-eval-results wandb wandb-csv wandb-json tensorboard mlflow trainer olmo-core torchtitan lightning \
	levanter every-eval-ever formula
fuzz: setup
	$(BIN)/pip install --quiet atheris
	for kind in $(FUZZED); do \
		$(BIN)/python tests/fuzz/fuzz_readers.py $$kind -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=3000 || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fixtures
