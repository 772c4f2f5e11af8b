# `make run` and `make test` set up everything they need.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SAM_VENV ?= .venv-sam
SAM := $(SAM_VENV)/bin/sam
export AUDIT_VENV ?= .venv-audit
CHECKOV := $(AUDIT_VENV)/bin/checkov
# Arguments for pytest: make test ARGS="tests/unit -k guard"
ARGS ?=
# pip checks every file against the hash in the lock and reports its progress.
INSTALL := scripts/install.py

export SAM_CLI_TELEMETRY := 0
# Keeps compiled files even if the shell disables them: otherwise each process of a test run would compile all tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install install-dev run migrate compose docker-build \
	quick test test-crash test-python test-browser test-containers test-long mutants bench cost check format openapi lock sam-build \
	sam-local clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "urlsum needs Python 3.11 or newer; choose one: make PYTHON=/path/to/python3.13 …" >&2; exit 1; }
	@echo "Creating $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: selfhost/requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing the packages of the service …"
	@$(BIN)/python $(INSTALL) selfhost/requirements.txt
	@echo "Installing the command urlsum …"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: requirements.txt $(VENV)/.installed
	@echo "Installing the developer tools …"
	@$(BIN)/python $(INSTALL) requirements.txt
	@touch $@

# The SAM CLI pins other versions of boto3 and requests than urlsum, so it has its own environment.
$(SAM): requirements-sam.txt
	@echo "Creating $(SAM_VENV) for the SAM CLI …"
	@$(PYTHON) -m venv $(SAM_VENV)
	@echo "Installing the SAM CLI …"
	@$(SAM_VENV)/bin/python $(INSTALL) requirements-sam.txt
	@touch $@

# 300 MB, and only `make check` needs them.
$(CHECKOV): requirements-audit.txt
	@echo "Creating $(AUDIT_VENV) for checkov, bandit and pip-audit …"
	@$(PYTHON) -m venv $(AUDIT_VENV)
	@$(AUDIT_VENV)/bin/python $(INSTALL) requirements-audit.txt
	@touch $@

install: $(VENV)/.installed ## Create .venv with the pinned packages of the service

install-dev: $(VENV)/.installed-dev $(SAM) ## Add the pinned developer tools

# Only `make run` allows loopback, so that a newcomer can hash a file served on the same machine. Make exports what its
# command line sets: `make run PORT=8000`.
run: install ## Serve on http://127.0.0.1:5000 with SQLite and an embedded worker (PORT=… changes the port)
	@exec $(BIN)/python -m selfhost.server --allow-loopback

migrate: install ## Migrate the database of DATABASE_URI to the newest schema
	@$(BIN)/python -m selfhost.migrate

compose: ## Serve on http://localhost:8000 in containers: server, RQ workers, MySQL and Redis
	@docker compose up --build

# The image is named after the service that urlsum replaces, so that its commands work unchanged.
docker-build: ## Build the image tc:latest (URLSUM_IMAGE=… names it otherwise)
	@docker build -t $${URLSUM_IMAGE:-tc:latest} .

# axe-core checks the accessibility of the pages. Without it those tests are skipped, with a message.
BROWSER := tests/e2e/browser
AXE := $(BROWSER)/node_modules/.package-lock.json
$(AXE): $(BROWSER)/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "Installing axe-core …"; \
		npm ci --prefix $(BROWSER) --ignore-scripts --no-audit --no-fund --silent && touch $@; \
	else false; fi || echo "npm could not install axe-core: its checks of the pages are skipped."

# Four processes for each of two cores, because tests wait: for a deliberately slow origin, a lease, a process. Eight
# keep two cores busy to the end (ten took 2 % longer). A file stays in one process, which starts the
# moto, the browser or the server that its tests share. Files run in the order of their names: slow ones (contract, e2e)
# before the thousands of tests/unit, which fill the time that the last slow ones leave idle.
WORKERS ?= 8
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# ARGS mostly name a file or two, so pytest then runs in one process: starting the others would take longer.
TESTS = $(or $(ARGS),$(PARALLEL))

# These tests compute more than they wait, so they get fewer processes. The folder that waits most comes first.
QUICK := $(addprefix tests/,integration/worker integration/web infrastructure unit)
quick: install $(VENV)/.installed-dev ## Check style, import rules and types; run the fast tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet $(PARALLEL) -n 3 -m "not slow and not crash and not long and not sam and not docker" $(QUICK)

test: install $(VENV)/.installed-dev $(AXE) ## Run the tests that need no containers, including those of the pages if Chromium is installed
	@$(BIN)/python -m pytest $(TESTS)

# urlsum depends on Python's ssl, ipaddress, sqlite3, email, asyncio, argparse and the OpenSSL beneath hashlib. Their
# messages and decisions differ between versions, and these tests reach them. Left out: urlsum's own logic above them
# (faults, work), other programs (servers, e2e) and template.yaml; DynamoDB and MySQL, which `make test-containers`
# shows on the Python of Lambda and of the image.
DEPENDS_ON_PYTHON := tests/unit tests/contract $(addprefix tests/integration/,cli guard origin web) \
	$(addprefix tests/integration/worker/test_,handler.py public_texts.py selfhost.py worker.py)
test-python: install $(VENV)/.installed-dev ## Run the tests whose result can depend on Python (PYTHON=… VENV=… chooses one)
	@$(BIN)/python -m pytest $(PARALLEL) -k "not dynamodb and not mysql" $(DEPENDS_ON_PYTHON)

test-browser: install $(VENV)/.installed-dev $(AXE) ## Run the tests of the pages in a headless Chromium; screenshots go to screenshots/
	@URLSUM_TEST_SCREENSHOTS=yes $(BIN)/python -m pytest -m "browser and not long" $(or $(ARGS),$(BROWSER))

# Each file has its own containers, networks and ports, and waits for them most of the time.
CONTAINER_TESTS := $(addprefix tests/e2e/test_,compose.py compose_faults.py deployment.py image.py sam_local.py) tests/infrastructure/test_layer.py
test-containers: sam-build docker-build ## Run the tests that use containers; needs a Docker engine
	@$(BIN)/python -m pytest -m "(sam or docker) and not long" $(or $(ARGS),-n 3 --dist loadfile $(CONTAINER_TESTS))

# These fill both cores by themselves, and judge how soon a killed task goes on: eight at a time they would judge each other.
test-crash: install $(VENV)/.installed-dev ## Kill, stop and flood whole deployments
	@$(BIN)/python -m pytest -m "crash and not long" $(or $(ARGS),-n 2 --dist loadfile tests/e2e tests/integration/worker)

test-long: install $(VENV)/.installed-dev ## Run the tests that take minutes
	@$(BIN)/python -m pytest -m long $(ARGS)

# Not in the gate: a full run takes hours. The tools have their own folder, so they cannot change the developer's
# packages.
MUTANTS := build/mutants
$(MUTANTS)/.installed: requirements-mutants.txt $(VENV)/.installed-dev
	@echo "Installing the tools that make mutants …"
	@rm -rf $(MUTANTS)
	@PIP_TARGET=$(MUTANTS) $(BIN)/python $(INSTALL) requirements-mutants.txt
	@touch $@

mutants: $(MUTANTS)/.installed ## Put faults into the code; list those that no test notices (SAMPLE=300 SEED=1 tries so many)
	@PYTHONPATH=$(MUTANTS) nice -n 10 $(BIN)/python -m scripts.mutants $(SAMPLE:%=--sample %) $(SEED:%=--seed %) $(ARGS)

bench: install-dev ## Benchmark against curl, rclone and aria2 (ARGS="http memory" selects cases)
	@$(BIN)/python -m bench.run $(ARGS)

cost: install-dev ## Write docs/cost.md from prices, measured times and template.yaml
	@$(BIN)/python -m bench.cost

check: install-dev $(CHECKOV) ## Check style, types, import rules, template, API description and known weaknesses
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m scripts.openapi --check
	@$(SAM) validate --lint
	@$(BIN)/python -m scripts.lint_template
	@$(CHECKOV) --config-file .checkov.yaml
	@$(AUDIT_VENV)/bin/bandit --quiet --configfile pyproject.toml --recursive src functions selfhost
	@$(BIN)/python -m scripts.audit

format: install-dev ## Format the sources in the project's style
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

openapi: install-dev ## Write docs/openapi.json
	@$(BIN)/python -m scripts.openapi

# Needs uv (https://docs.astral.sh/uv/) on PATH. Each lock serves every Python from 3.11 on and has the hashes of all
# files of a version. A pin stays until its .in file changes it. The developer's lock comes first and constrains the
# other two, so that tests run on exactly the deployed versions.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --no-header --generate-hashes
lock: ## Pin every dependency of the .in files, with hashes
	@$(LOCK) requirements.in --output-file requirements.txt
	@$(LOCK) --constraint requirements.txt --no-annotate selfhost/requirements.in --output-file selfhost/requirements.txt
	@$(LOCK) --constraint requirements.txt --no-annotate src/requirements.in --output-file src/requirements.txt
	@$(LOCK) requirements-sam.in --output-file requirements-sam.txt
	@$(LOCK) requirements-audit.in --output-file requirements-audit.txt
	@$(LOCK) --no-deps requirements-mutants.in --output-file requirements-mutants.txt
	@$(subst 3.11,3.13,$(LOCK)) --no-annotate docker/mail/requirements.in --output-file docker/mail/requirements.txt

# Local containers need this machine's architecture; a deployment needs ARCHITECTURE=arm64. `sam build` alone leaves
# only sources, which every cold start would compile.
ARCHITECTURE ?= $$(uname -m | sed s/aarch64/arm64/)
sam-build: install-dev ## Build the functions and the layer into .aws-sam/ (ARCHITECTURE=arm64 to deploy)
	@SAM_VENV=$(SAM_VENV) $(BIN)/python -m scripts.sam_build --architecture $(ARCHITECTURE)

sam-local: sam-build ## Serve the built functions in containers against a local AWS
	@$(BIN)/python -m scripts.sam_local

clean: ## Remove everything that can be rebuilt; tasks (data/) and emails (outbox/) stay
	@rm -rf $(VENV) $(SAM_VENV) $(AUDIT_VENV) $(BROWSER)/node_modules screenshots .aws-sam build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
