# Tidemark's commands. Each one installs what it needs into .venv first, from requirements.lock, and only when that changed.
#
#   variables   ONCE=1  MAIL=path  REPORT=path (make run)   WORKERS=3 (make test, make simulate)   PORT=8080  HOST=127.0.0.1 (make serve)   PYTHON=python3.12

SHELL := /bin/sh
.SHELLFLAGS := -ec
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test serve check bench bench-cold bench-cache bench-webhook push push-burst months crash simulate mutants lock clean

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PORT ?= 8080
HOST ?= 127.0.0.1
WORKERS ?= 3

export ONCE MAIL REPORT SEEDS PROVIDER SEED WORKERS
export PYTHONUNBUFFERED := 1
# A user's own settings of Python must not reach into the environment; without byte code all starts compile everything anew.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## start the local stack, sync two mailboxes, print the report, keep serving (ONCE=1 stops there)
	@exec $(PY) -m infra.local.run

test: $(INSTALLED) ## run every test; core, protocol and sync must be covered to the last branch
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest -n $(WORKERS) --dist worksteal
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

serve: $(INSTALLED) ## serve every function from one process on HOST:PORT, configured by the environment
	@exec $(PY) -m functions.app --host $(HOST) --port $(PORT)

check: $(INSTALLED) ## format, lint, types, architecture and house rules
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy shared functions infra tests
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) -m pytest -q tests/test_house.py

bench: $(INSTALLED) ## measure Tidemark beside its peers, print the ratios, write them as JSON
	@exec $(PY) -m tests.benchmarks

bench-cold: $(INSTALLED) ## measure push-webhook's cold start beside an empty function (ROUNDS=15)
	@exec $(PY) -m tests.benchmarks.cold

bench-cache: $(INSTALLED) ## replay what users read, the warmer beside caches that foresee nothing (DAYS=7 SEED=31)
	@exec $(PY) -m tests.benchmarks.cache

bench-webhook: $(INSTALLED) ## measure what a receiver that is down costs the syncs meanwhile (ROUNDS=3)
	@exec $(PY) -m tests.benchmarks.webhook

push: $(INSTALLED) ## deliver messages one by one, tell how soon pushes bring them into the log (COUNT=200 GAP_S=1.2)
	@exec $(PY) -m tests.benchmarks.push

push-burst: $(INSTALLED) ## measure the slowest answer to fifty pushes at once, cold start included (ROUNDS=7)
	@exec $(PY) -m tests.benchmarks.burst

months: $(INSTALLED) ## 30 virtual days with hourly pings, lost and doubled pushes, restarts; both providers
	@DAYS=30 $(PY) -m pytest -q tests/sync/test_renewal.py -k days_of

crash: $(INSTALLED) ## kill the real functions at every step of their I/O in turn, print flows and steps (FLOW="first sync")
	@exec $(PY) -m tests.crash

simulate: $(INSTALLED) ## the sync over hostile worlds in memory (SEEDS=10000 PROVIDER=gmail|outlook; SEED=n traces one)
	@PYTHONHASHSEED=0 $(PY) -m tests.simulation

mutants: $(INSTALLED) ## put faults into core, protocol and sync, count what the tests notice (SAMPLE=1000 SEED=1 ONLY='shared.core.*')
	@exec $(PY) -m tests.mutation

lock: $(INSTALLED) ## resolve pyproject.toml anew into requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check uv  # needed here only, and 20 MB: not in the lock
	@$(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --upgrade --quiet \
		--group dev pyproject.toml --output-file requirements.lock

clean: ## remove what was installed and built
	@rm -rf $(VENV) build .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Prints the interpreter's own path, or fails. It is asked from / because .python-version, which names the version that is
# deployed, makes pyenv refuse to run another.
IF_NEW_ENOUGH := import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)

# functions-framework started by hand must find `shared`, wherever it is started from.
SEE_THE_PROJECT := import pathlib, sysconfig; \
	pathlib.Path(sysconfig.get_path("purelib"), "tidemark.pth").write_text("$(CURDIR)\n")

# The lock holds the whole resolution, so pip need not resolve again (--no-deps). The stamp is written last: an install that
# was cut off is done again.
$(INSTALLED): requirements.lock
	@test -x $(PY) || { \
		for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
			found=$$(cd / && "$$python" -c '$(IF_NEW_ENOUGH)' 2>/dev/null) && break; \
		done; \
		test -n "$${found:-}" || { echo "Tidemark needs Python 3.11 or newer; set PYTHON=/path/to/python" >&2; exit 1; }; \
		echo "Creating $(VENV) with $$found"; \
		"$$found" -m venv $(VENV); \
	}
	@echo "Installing requirements.lock"
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock
	@$(PY) -c '$(SEE_THE_PROJECT)'
	@touch $@
