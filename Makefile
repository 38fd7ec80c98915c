# `make demo` and `make test` do all the set-up themselves. ARGS="..." passes options on, as in make demo ARGS="--help".
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
# Where this is set, every process of a test run would compile our modules again: half a second for a worker, eight for pytest.
unexport PYTHONDONTWRITEBYTECODE
STAMP := .venv/.installed
PYTEST := $(BIN)/python -m pytest
# What the contract's coverage is measured by: measuring doubles the time of a test, so the others run without.
CONTRACT := tests/unit/contract $(wildcard tests/golden/test_*messages.py tests/golden/test_*cryptography.py) \
  tests/unit/federation/coordinator/test_rules_of_a_plan.py tests/unit/trainer/model/test_calibrate.py
SERVED := $(wildcard tests/conformance tests/simulation tests/integration tests/e2e)
UNIT := unit-services unit-contract unit-federation
ARGS ?=
PARALLEL := $(MAKE) --no-print-directory --jobs=2 --output-sync=target
UNIT_TESTS := $(PYTEST) -m "not slow"
# A choice such as ARGS="-k name" may leave a process without a test.
OR_NONE = || [[ $$? == 5 && -n "$(ARGS)" ]]

.PHONY: help setup demo test test-slow test-storm coverage mutants check lint types imports docs docs-site unit $(UNIT) served bench up down clean lock lock-artifacts

help: ## This list.
	@sed -n -E 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP) ## Everything into .venv: nothing is installed on the machine itself.

$(STAMP): requirements/dev.txt requirements/build.txt requirements/uv.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh
	@touch $@

demo: setup ## The whole system at work; make demo ARGS="--acts 3" tells all three acts
	@$(BIN)/tillguard demo $(ARGS)

test: setup check ## Every check and test that continuous integration runs.

check: ## The same without set-up: this is what continuous integration runs.
	@$(PARALLEL) types $(UNIT) lint imports docs
	@$(MAKE) --no-print-directory served

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

docs:
	$(BIN)/tillguard docs --check

docs-site: setup ## All guides and a reference of every room as web pages in build/docs-site/html.
	@scripts/docs_site.sh

# Two at a time, each of which imports and collects its own files only: what is tested with the same libraries is in one process,
# for to import them takes seconds. The header names the seed of a process's random order.
unit:
	@$(PARALLEL) $(UNIT)

unit-contract:
	$(UNIT_TESTS) $(CONTRACT) --cov=contract --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=98 $(ARGS) $(OR_NONE)

unit-services:
	$(UNIT_TESTS) tests/architecture $(filter-out $(addprefix tests/unit/,contract federation trainer),$(wildcard tests/unit/*)) \
	  $(CONTRACT:%=--ignore=%) $(ARGS) $(OR_NONE)

unit-federation:
	$(UNIT_TESTS) tests/golden tests/unit/federation tests/unit/trainer $(CONTRACT:%=--ignore=%) $(ARGS) $(OR_NONE)

# Three processes, each with servers of its own, which take the files in the order that tests/conftest.py gives them: of two cores, two
# processes leave a fifth idle, for they often wait.
served:
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder -m "not slow" --durations=15 $(SERVED) $(ARGS)

test-slow: setup ## The exhaustive variants as well; takes long.
	TILLGUARD_TEST_PROFILE=thorough $(PYTEST) tests $(ARGS)

test-storm: setup ## Long storms of writers, definitions and kills on real databases; takes an hour.
	$(PYTEST) -m slow tests/e2e/test_capture_storm.py $(ARGS)

# A test that is measured takes twice the time, so the checks do without. Pages are drawn by matplotlib, which no unit test loads: their one
# test file, which needs no server either, is measured too.
coverage: setup ## Branch coverage of every pure file by unit tests, golden files and the page of the demonstration.
	$(BIN)/coverage run --branch --source=. --omit="$$($(BIN)/python scripts/pure_files.py --others),tests/*,scripts/*,build/*" \
	  -m pytest -m "not slow" tests/unit tests/golden tests/integration/demo/test_html_report.py $(ARGS)
	$(BIN)/coverage report --show-missing --skip-covered --fail-under=96

mutants: setup ## Changes in pure files that no unit test notices: make mutants ARGS="contract/statistics/*"
	set -f; scripts/mutants.sh $(ARGS)

bench: setup ## The scoring benchmark: make bench ARGS="--quick"
	$(BIN)/python -m bench.scoring $(ARGS)

up: setup ## Start Kafka, Redis, MariaDB and a Mongo wire server on this machine.
	@$(BIN)/tillguard up $(ARGS)

down: ## Stop them.
	@if [[ -x $(BIN)/tillguard ]]; then $(BIN)/tillguard down; else echo "nothing is installed, so nothing runs"; fi

clean: down ## Remove .venv and caches. Data in .tillguard stays.
	rm -rf .venv build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## Resolve requirements/*.txt again: make lock ARGS="--upgrade"
	scripts/lock.sh $(ARGS)

lock-artifacts: ## Resolve the embedded stack's Java artifacts again.
	$(BIN)/python scripts/lock_artifacts.py
