# All that is needed is python3 (3.10 or later, with its venv module) and make.
# What a target needs is installed into .venv the first time, and again after pyproject.toml has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# Without a bound, uv prefers the newest FastAPI to the newest Airflow, which wants an older one.
AIRFLOW ?= apache-airflow>=3.3
# What pytest says about each test: failures and errors; -ra says as well why tests were skipped.
REPORT ?= -rfE

# Seconds for which things break, and what else the soak takes, such as SOAK_OPTIONS='--every 2'; --help lists them.
SOAK_SECONDS ?= 3600
SOAK_OPTIONS ?=

# Options of the benchmarks, such as BENCH='dense --runs 3'; BENCH=--help lists them.
BENCH ?=

# Airflow starts a process for each task: without compiled files, each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# Processes that tests run in: more than two cores have work for, as two of them mostly wait for their Airflows.
PROCESSES ?= 4

.PHONY: help demo demo-ui bench test pytest soak lint format docs clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target what; do \
		printf '%-16s %s\n' "$$target" "$$what"; done

demo: $(READY)  ## Watch three TDengine 2.4 databases arrive in a 3.3 server (a minute)
	@$(BIN)/python -m airflow_provider_tdengine.demo

demo-ui: $(READY)  ## The same by hand: Airflow in your browser, until Ctrl-C
	@$(BIN)/python -m airflow_provider_tdengine.demo --ui

bench: $(READY)  ## Measure migrations, on simulated servers or on your own
	@$(BIN)/python -m benchmarks $(BENCH)

test: $(READY)  ## Check style and types, and run all tests
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: $(READY)
	@$(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadscope --no-loadscope-reorder --durations 20 $(REPORT)

soak: $(READY)  ## Break servers, lines and an Airflow that migrates, for an hour (SOAK_SECONDS)
	@$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS) $(SOAK_OPTIONS)

lint: $(READY)  ## Check style and types
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary

format: $(READY)  ## Format the code, and fix what can be fixed
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet

docs: $(READY)  ## Build the documentation as a site, into .site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:  ## Remove all that was installed or made
	@rm -rf $(VENV) .demo .site .pytest_cache .mypy_cache .ruff_cache .hypothesis .bench.json
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is older than 3.10; give a newer one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) (a minute or two, the first time only) ..."
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	@UV_SYSTEM_CERTS=1 VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --editable '.[dev]' '$(AIRFLOW)' || \
		{ echo "uv could not; pip tries (slower) ..."; $(BIN)/python -m pip install --quiet --editable '.[dev]' '$(AIRFLOW)'; }
	@touch $@
