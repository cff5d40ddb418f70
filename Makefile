# The Customer API's commands. All they need is make and Python 3.11 or newer.

PYTHON ?= python3
# `make run` is for trying the service, unless it is told whose tokens to believe, or which servers
# to call, or a file may tell.
DEVELOPMENT ?= $(if $(ISSUER)$(TWC_ISSUER)$(UPSTREAMS)$(TWC_UPSTREAMS)$(TWC_DEVELOPMENT)$(TWC_SETTINGS_FILE)$(wildcard settings.toml),,true)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := install --no-build-isolation --constraint constraints.txt
# Says its first argument, and shows how far the command behind it is.
SHOWN := $(PYTHON) -m tools.install
SHOWN_PIP := -m pip --disable-pip-version-check
# Bytecode is written because tests start many processes, which would compile it each.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --dist worksteal
CONTRACT := $(wildcard protos/* protos/openapi/*.py protos/twc/customer/v2/*.proto)
CONTRACT_WHEEL := build/contract/twc_customer_v2-*.whl
COMPILER := build/compiler
CLIENTS := build/clients
CHECKERS := build/checkers
RELEASED := protos/released.binpb
ENGINE = $(if $(shell command -v podman),podman,docker)
VERSION = $(shell $(BIN)/python -c 'from importlib.metadata import version; print(version("twc-customer-server"))')

.DEFAULT_GOAL := help
.PHONY: help run settings demo migrate backup restore copy token test coverage clients checkers test-unit test-images attack soak prove-import scale bench lint format wheel images contract lock release-contract clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# make runs a recipe of one plain command without a shell, so that signals reach the command.
run settings demo migrate backup restore copy: export DEVELOPMENT := $(DEVELOPMENT)

# Only where Python is to run inside Envoy.
INPROCESS := $(if $(filter inprocess,$(SERVE) $(TWC_SERVE)),$(VENV)/inprocess)

run: $(VENV)/contract $(INPROCESS) ## Set up what is needed and serve; Ctrl-C stops
	@$(BIN)/python -m twc_customer_gateway

settings: $(VENV)/contract ## Print the settings in effect, and where each comes from
	@$(BIN)/python -m twc_customer_gateway settings

demo: export TENANT := $(or $(TENANT),demo)
demo: $(VENV)/demo $(VENV)/contract ## Fill a tenant of the running service with 3,000 customers; TENANT=demo
	@$(BIN)/python -m bench.demo

migrate: $(VENV)/contract ## Bring the database to the newest version
	@$(BIN)/python -m twc_customer_server migrate

backup: $(VENV)/contract ## Back up the SQLite database, in use or not, as in: make backup FILE=today.db
	@$(BIN)/python -m twc_customer_server backup -- '$(subst ','\'',$(FILE))'

restore: $(VENV)/contract ## Replace the SQLite database, of a service that is stopped, by the backup FILE
	@$(BIN)/python -m twc_customer_server restore -- '$(subst ','\'',$(FILE))'

copy: $(VENV)/contract ## Copy all data from SQLite to the PostgreSQL of DATABASE_URL, and compare
	@$(BIN)/python -m twc_customer_server copy

# Checked before anything is installed.
ifneq ($(filter token,$(MAKECMDGOALS)),)
ifndef TENANT
$(error TENANT is missing: make token TENANT=acme)
endif
endif

ifneq ($(filter backup restore,$(MAKECMDGOALS)),)
ifndef FILE
$(error FILE is missing: make $(firstword $(MAKECMDGOALS)) FILE=backup.db)
endif
endif

token: override export DEVELOPMENT := true
token: $(VENV)/contract ## Print a token of development, as in: make -s token TENANT=acme
	@$(BIN)/python -m twc_customer_server token -- '$(subst ','\'',$(TENANT))'

test: $(VENV)/dev $(VENV)/contract $(VENV)/inprocess clients checkers ## Run every test; with SERVE=inprocess on Python inside Envoy
	@$(PYTEST)

coverage: $(VENV)/dev $(VENV)/contract $(VENV)/inprocess clients checkers ## Run every test; branch coverage of server/ and client/ must round to 98 %
	@$(PYTEST) --cov --cov-report=term --cov-fail-under=97.5

# tests/clients runs clients that others have written.
clients: $(CLIENTS)/python-ready $(CLIENTS)/node-ready ## Install foreign clients for their tests, with a Node.js of their own

# tests/deploy checks deploy/ by programs of others.
checkers: $(CHECKERS)/ready ## Install what checks deploy/

test-unit: $(VENV)/dev $(VENV)/contract ## Run the fast tests
	@$(PYTEST) --numprocesses logical tests/unit

test-images: $(VENV)/dev $(VENV)/contract ## Build the images and run them, with Debian's mmdebstrap, buildah, podman and crun
	@IMAGES=1 $(PYTEST) --numprocesses 1 tests/deploy/test_images.py

attack: $(VENV)/dev $(VENV)/contract ## Attack a service; ONLY=name, SECONDS=5, QUICK=1, WRITE=1 into the docs
	@$(BIN)/python -m tests.security $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)') \
		$(if $(SECONDS),--seconds '$(SECONDS)') $(if $(WRITE),--write)

soak: $(VENV)/dev $(VENV)/contract ## Prove what is promised, for hours; ARGS='kills --rounds 10', --help lists all
	@$(BIN)/python -m tests.soak $(ARGS)
	@$(if $(ARGS),,OPENAPI_EXAMPLES=1200 RULE_EXAMPLES=2000 $(PYTEST) --timeout 7200 \
		tests/gateway/test_openapi.py tests/gateway/test_bad_input.py tests/api/test_boundary.py \
		tests/unit tests/rules)

prove-import: $(VENV)/bench $(VENV)/contract ## Import 200,000 customers and compare; KILL=client or KILL=server midway
	@$(BIN)/python -m bench.prove_import --kill '$(KILL)'

scale: $(VENV)/bench $(VENV)/contract ## Measure at growing sizes: ROWS=1000000 DATABASE=postgresql; WRITE=1 into the docs
	@$(BIN)/python -m bench.scale $(if $(ROWS),--rows $(ROWS)) $(if $(DATABASE),--database $(DATABASE)) \
		$(if $(WRITE),--write)

bench: $(VENV)/bench $(VENV)/contract ## Measure side by side with other frameworks; QUICK=1 in under 3 minutes
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)')

lint: $(VENV)/dev $(VENV)/contract build/third_party/google ## Check style, types and the contract
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/python -m tools.sync_client --check
	@$(BIN)/buf format --diff --exit-code protos
	@$(BIN)/buf lint
	@$(BIN)/buf breaking protos --against $(RELEASED)

format: $(VENV)/dev build/third_party/google ## Format code and contract, make the synchronous client
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format --quiet
	@$(BIN)/python -m tools.sync_client
	@$(BIN)/buf format --write protos

wheel: $(VENV)/contract ## Build the wheels of contract, server and client into dist/
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist $(CONTRACT_WHEEL) . ./client

# Podman's own format has no place for the check of health.
images: export BUILDAH_FORMAT := docker
images: wheel ## Build the images of containers from dist/; ENGINE=docker, BASE=another image of Python
	@for target in server gateway; do \
		$(ENGINE) build --file deploy/Containerfile --target $$target $(if $(BASE),--build-arg BASE='$(BASE)') \
			--tag twc-customer-$$target:$(VERSION) . || exit; \
	done

contract: $(VENV)/contract ## Write descriptors, OpenAPI and .proto files of the contract into dist/contract/
	@$(BIN)/python -m tools.contract dist/contract

lock: $(VENV)/dev ## Pin the newest versions that server and client admit
	@$(PIP) install uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
		--no-header --no-annotate --no-emit-find-links \
		--find-links build/contract --no-emit-package twc-customer-v2 \
		pyproject.toml client/pyproject.toml --output-file constraints.txt

release-contract: $(VENV)/dev build/third_party/google ## Make the contract what later ones must not break
	@$(BIN)/buf build protos --exclude-source-info --output $(RELEASED)

clean: ## Remove all that these commands made, but for the data
	@rm -rf $(VENV) build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with PYTHON=..." >&2; exit 1; }
	@$(SHOWN) 'Creating $(VENV)' $(PYTHON) -m venv $(VENV)

# Comes last in an environment: one without it was broken off.
$(VENV)/bin/pip: | $(VENV)/bin/python
	@test -e $@ || $(SHOWN) 'Creating $(VENV) anew' $(PYTHON) -m venv --clear $(VENV)

# Sizes are of what is downloaded, and what it takes on disk.
$(VENV)/serve: constraints.txt pyproject.toml client/pyproject.toml | $(VENV)/contract-wheel
	@$(SHOWN) 'Installing the build backend into $(VENV)' \
		$(BIN)/python $(SHOWN_PIP) install --constraint constraints.txt hatchling
	@$(SHOWN) 'Installing what serving needs into $(VENV) (gRPC, Envoy, drivers; about 70 MB, 300 MB on disk, a minute)' \
		$(BIN)/python $(SHOWN_PIP) $(INSTALL) --find-links build/contract --editable '.[build,gateway]'
	@$(SHOWN) 'Installing the command line twc-customers into $(VENV)' \
		$(BIN)/python $(SHOWN_PIP) $(INSTALL) --find-links build/contract --editable ./client
	@touch $@

$(VENV)/demo: $(VENV)/serve
	@$(SHOWN) 'Installing what the demo needs into $(VENV) (Faker; 2 MB, some seconds)' \
		$(BIN)/python $(SHOWN_PIP) $(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/dev: $(VENV)/serve
	@$(SHOWN) 'Installing what testing needs into $(VENV) (about 65 MB, 250 MB on disk, a minute)' \
		$(BIN)/python $(SHOWN_PIP) $(INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/inprocess: gateway/inprocess-requirements.txt | $(VENV)/serve
	@$(SHOWN) 'Installing what runs Python inside Envoy into $(VENV) (8 MB, some seconds)' \
		$(BIN)/python $(SHOWN_PIP) install --no-deps --requirement $<
	@touch $@

$(VENV)/bench: $(VENV)/serve
	@$(SHOWN) 'Installing what the benchmark needs into $(VENV) (about 60 MB, a minute)' \
		$(BIN)/python $(SHOWN_PIP) $(INSTALL) --editable '.[bench]'
	@touch $@

$(VENV)/contract: $(VENV)/contract-wheel $(VENV)/serve
	@$(SHOWN) 'Installing the contract into $(VENV)' \
		$(BIN)/python $(SHOWN_PIP) $(INSTALL) --no-deps --force-reinstall $(CONTRACT_WHEEL)
	@touch $@

$(VENV)/contract-wheel: $(CONTRACT) $(COMPILER)/ready | $(VENV)/bin/pip
	@rm -rf build/contract
	@$(SHOWN) 'Compiling the contract' $(COMPILER)/bin/python $(SHOWN_PIP) wheel \
		--no-build-isolation --no-deps --wheel-dir build/contract ./protos
	@touch $@

# The compiler is older than the server's protobuf, so that the contract's wheel
# admits older runtimes: it has an environment of its own.
$(COMPILER)/ready: protos/pyproject.toml | $(VENV)/bin/pip
	@$(SHOWN) 'Creating $(COMPILER)' $(PYTHON) -m venv --clear $(COMPILER)
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("$<", "rb"))["build-system"]["requires"], sep="\n")' \
		> $(COMPILER)/requirements.txt
	@$(SHOWN) "Installing the contract's compiler into $(COMPILER) (about 11 MB, 60 MB on disk, some seconds)" \
		$(COMPILER)/bin/python $(SHOWN_PIP) install --requirement $(COMPILER)/requirements.txt
	@touch $@

# buf takes imports from folders of its workspace only, so it is shown Google's
# published .proto files as the Python packages bring them.
build/third_party/google: $(VENV)/serve
	@mkdir -p $(@D)
	@ln -sfn "$$($(BIN)/python -c 'import google.api; print(google.__path__[0])')" $@

$(CLIENTS)/python-ready: tests/clients/python/requirements.txt tests/clients/python.gen.yaml $(VENV)/contract \
		| build/third_party/google
	@echo "Installing clients in Python into $(CLIENTS) ..." >&2
	@$(PYTHON) -m venv $(CLIENTS)/python
	@$(CLIENTS)/python/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	@$(BIN)/buf generate protos --template tests/clients/python.gen.yaml 2>$(CLIENTS)/generator.log \
		|| { cat $(CLIENTS)/generator.log >&2; exit 1; }
	@touch $@

$(CLIENTS)/node-ready: tests/clients/node/package-lock.json tests/clients/node/package.json \
		examples/javascript/buf.gen.yaml $(CLIENTS)/python-ready
	@echo "Installing clients in JavaScript into $(CLIENTS) ..." >&2
	@cp tests/clients/node/package*.json $(@D)
	@PATH="$(CURDIR)/$(CLIENTS)/python/bin:$$PATH" \
		npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@PATH="$(CURDIR)/$(@D)/node_modules/.bin:$(CURDIR)/$(@D)/python/bin:$$PATH" \
		$(BIN)/buf generate . --template examples/javascript/buf.gen.yaml --output $(@D) \
		--path protos/twc --path build/third_party/google/rpc/error_details.proto
	@touch $@

$(CHECKERS)/ready: tests/deploy/requirements.txt | $(VENV)/bin/pip
	@$(SHOWN) 'Creating $(CHECKERS)' $(PYTHON) -m venv $(CHECKERS)
	@$(SHOWN) 'Installing what checks deploy/ into $(CHECKERS) (about 60 MB, 280 MB on disk, a minute)' \
		$(CHECKERS)/bin/python $(SHOWN_PIP) install --requirement $<
	@touch $@
