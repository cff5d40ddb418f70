# The Customer API's commands. All they need is make and Python 3.11 or newer.

PYTHON ?= python3
# `make run` is for trying the service, unless it is told whose tokens to believe.
DEVELOPMENT ?= $(if $(ISSUER),false,true)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --no-build-isolation --constraint constraints.txt
# Bytecode is written because tests start many processes, which would compile it each.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 \
	--dist worksteal
CONTRACT := $(wildcard protos/*) $(wildcard protos/twc/customer/v2/*.proto)
RELEASED := protos/released.binpb

.DEFAULT_GOAL := help
.PHONY: help run migrate copy token test test-unit prove-import bench lint format wheel lock release-contract clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/contract ## Set up what is needed and serve; Ctrl-C stops
	@DEVELOPMENT=$(DEVELOPMENT) $(BIN)/python -m twc_customer_gateway

migrate: $(VENV)/contract ## Bring the database to the newest version
	@DEVELOPMENT=$(DEVELOPMENT) $(BIN)/python -m twc_customer_server migrate

copy: $(VENV)/contract ## Copy all data from SQLite to the PostgreSQL of DATABASE_URL, and compare
	@DEVELOPMENT=$(DEVELOPMENT) $(BIN)/python -m twc_customer_server copy

token: $(VENV)/contract ## Print a token of development, as in: make -s token TENANT=acme
	@DEVELOPMENT=true $(BIN)/python -m twc_customer_server token -- '$(subst ','\'',$(or $(TENANT),$(error TENANT is missing: make token TENANT=acme)))'

test: $(VENV)/dev $(VENV)/contract ## Run every test, with branch coverage of server/ and client/
	@$(PYTEST) --cov --cov-report=term

test-unit: $(VENV)/dev $(VENV)/contract ## Run the fast tests
	@$(PYTEST) tests/unit

prove-import: $(VENV)/dev $(VENV)/contract ## Import 200,000 customers and compare; KILL=client or KILL=server midway
	@$(BIN)/python -m bench.prove_import --kill '$(KILL)'

bench: $(VENV)/bench $(VENV)/contract ## Measure side by side with other frameworks; QUICK=1 in under 3 minutes
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)')

lint: $(VENV)/dev $(VENV)/contract build/third_party/google ## Check style, types and the contract
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/buf format --diff --exit-code protos
	@$(BIN)/buf lint
	@$(BIN)/buf breaking protos --against $(RELEASED)

format: $(VENV)/dev build/third_party/google ## Format code and contract
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format --quiet
	@$(BIN)/buf format --write protos

wheel: $(VENV)/contract ## Build the wheel of messages and stubs into dist/
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist ./protos

lock: $(VENV)/dev ## Pin the newest versions that pyproject.toml admits
	@$(PIP) install uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
		--no-header --no-annotate \
		pyproject.toml --output-file constraints.txt

release-contract: $(VENV)/dev build/third_party/google ## Make the contract what later ones must not break
	@$(BIN)/buf build protos --exclude-source-info --output $(RELEASED)

clean: ## Remove all that these commands made, but for the data
	@rm -rf $(VENV) build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/serve: constraints.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what serving needs into $(VENV) ..." >&2
	@$(PIP) install --constraint constraints.txt hatchling
	@$(INSTALL) --editable '.[build,gateway]'
	@touch $@

$(VENV)/dev: $(VENV)/serve
	@echo "Installing what testing needs into $(VENV) ..." >&2
	@$(INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/bench: $(VENV)/dev
	@echo "Installing what the benchmark needs into $(VENV) ..." >&2
	@$(INSTALL) --editable '.[bench]'
	@touch $@

$(VENV)/contract: $(CONTRACT) $(VENV)/serve
	@echo "Compiling the contract ..." >&2
	@$(INSTALL) --no-deps --force-reinstall ./protos
	@touch $@

# buf takes imports from folders of its workspace only, so it is shown Google's
# published .proto files as the Python packages bring them.
build/third_party/google: $(VENV)/serve
	@mkdir -p $(@D)
	@ln -sfn "$$($(BIN)/python -c 'import google.api; print(google.__path__[0])')" $@
