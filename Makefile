# Every task of this repository. `make help` lists them.
PYTHON ?= python3
VENV := .venv
COMPAT := .venv-compat
PEERS := .venv-peers
BIN := $(VENV)/bin
SERVICE ?= pfs
NAME ?= change
KILLS ?= 200
EXAMPLES ?= 100
SEED ?= 20260101

.PHONY: help setup compat peers protos fmt check test soak bench demo ci lock migration clean

help: ## list the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready protos ## make .venv with everything needed, from pip alone
	@$(BIN)/python -m compileall -q services deploy clients/python/datamill

$(VENV)/.ready: requirements/lock.txt pyproject.toml clients/python/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "datamill needs Python 3.11 or later; say make PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	$(BIN)/python protos/generate.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat -e clients/python
	$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "datamill_servers.pth").write_text("$(CURDIR)\n")'
	touch $@

compat: $(COMPAT)/.ready ## make .venv-compat, where foreign clients live for tests/compat

$(COMPAT)/.ready: requirements/compat-lock.txt
	test -x $(COMPAT)/bin/python || $(PYTHON) -m venv $(COMPAT)
	$(COMPAT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/compat-lock.txt
	touch $@

peers: $(PEERS)/.ready ## make .venv-peers, where what we are measured against lives

$(PEERS)/.ready: requirements/peers-lock.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers-lock.txt
	touch $@

protos: $(VENV)/.ready ## generate the client's wire modules
	@$(BIN)/python protos/generate.py

fmt: $(VENV)/.ready ## format the code and sort the imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

check: setup ## format, lint, types, import rules and protos; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/check.py

test: setup compat ## tests against real processes, but the long ones; as many at once as there are cores, four at most
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

soak: setup ## the long tests; kill PFS 200 times on each kind of database and store, run its model, a minute without NATS: KILLS= EXAMPLES= SEED=
	SOAK_KILLS=$(KILLS) SOAK_SEED=$(SEED) $(BIN)/python -m pytest -s tests/system/soak
	MODEL_EXAMPLES=$(EXAMPLES) MODEL_SEED=$(SEED) $(BIN)/python -m pytest -s --timeout 7200 tests/system/model
	DATAMILL_AWAY=60 $(BIN)/python -m pytest tests/system/outages tests/system/jobs/lives/test_crashes.py
	DATAMILL_KILL_DATUMS=5000 $(BIN)/python -m pytest -s -m long --timeout 7200 tests

bench: setup peers ## measure against peers in the same run
	$(BIN)/python -m benchmarks

demo: setup ## the image-quality example, end to end
	$(BIN)/python -m deploy.demo

ci: ## what runs on every change
	bash .ci/run

lock: $(VENV)/.ready ## pin the newest versions, with hashes
	$(BIN)/python -m pip install --quiet pip-tools
	for each in dev:lock compat:compat-lock peers:peers-lock; do \
	  $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	    -o requirements/$${each#*:}.txt requirements/$${each%:*}.in || exit 1; \
	done

migration: setup ## write a schema revision: make migration SERVICE=pfs NAME=what_changed
	$(BIN)/python -m services.kit.storage.revisions services.$(SERVICE).storage $(NAME)

clean: ## remove everything that setup and runs have made
	rm -rf $(VENV) $(COMPAT) $(PEERS) clients/python/datamill/wire clients/python/*.egg-info demo-result
