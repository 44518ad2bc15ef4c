# Every task of the project, one line each: `make` lists them. ARGS="..." is passed on where a target says so.

SHELL := /bin/bash
.DEFAULT_GOAL := help
ARGS ?=
SECONDS ?= 600
SEED ?= 1
BIN := .venv/bin
UV := .venv-tools/bin/uv
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

.PHONY: help ready demo demo-cluster up down test dbs check fmt format-check lint types imports docs docs-check check-release bench probe probe-objects probe-volumes probe-cluster bench-cluster tempest image lock clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

ready: ## install what is missing (Debian packages when root, the locked Python packages); nothing to do takes no time
	@tools/bootstrap

demo: ready ## start the cloud, boot a server by openstacksdk, log in to it by SSH, show where the time went
	@$(BIN)/python -m pileus.demo $(ARGS)

demo-cluster: ready ## a cloud of three hosts in namespaces: join, boot, talk over VXLAN, lose a host; as root, 3 minutes
	@$(BIN)/python -m pileus.demo_cluster $(ARGS)

up: ready ## start the cloud and leave it running
	@$(BIN)/pileus up --detach $(ARGS)

down: ## stop the cloud; guests run on and are found again (ARGS=--purge leaves no trace)
	@$(BIN)/pileus down $(ARGS)

test: ready ## all tests (ARGS: for pytest); as root the real drivers, networks and guests, too
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

dbs: ready ## all tests that open a database on PostgreSQL, then on MariaDB, each started and stopped for it (ARGS: for pytest)
	@tools/dbs postgresql $(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)
	@tools/dbs mariadb $(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: ready format-check lint types imports docs-check test ## all that must hold: format, lint, types, imports, reference, tests

check-release: check ## what CI runs before a release: check, interop and smoke tests of OpenStack, the probes (SECONDS each)
	@$(BIN)/python -m tests.conformance.tempest --list interop-2022.11,interop-2020.06,smoke
	@$(MAKE) --no-print-directory probe

fmt: ready ## format the code, sort the imports
	@$(BIN)/ruff format && $(BIN)/ruff check --select I --fix -q

format-check: ready
	@$(BIN)/ruff format --check

lint: ready ## look for mistakes with ruff
	@$(BIN)/ruff check

types: ready ## check the types with mypy
	@$(BIN)/mypy

imports: ready ## check who may import whom
	@$(BIN)/lint-imports

docs: ready ## write the generated reference
	@$(BIN)/python -m pileus.docs

docs-check: docs
	@test -z "$$(git status --porcelain -- docs/reference)" || { git status --short -- docs/reference; \
		git --no-pager diff --stat -- docs/reference; echo 'docs/reference is not what the code says: commit what make docs wrote'; exit 1; }

bench: ready ## measure the cloud (ARGS: for benchmarks/run.py)
	@$(BIN)/python benchmarks/run.py $(ARGS)

probe: probe-objects probe-volumes probe-cluster ## all three probes, one after the other (SECONDS=600 each, SEED=1)

probe-objects: ready ## kill nodes of a real storage cluster at random and check that nothing acknowledged is lost (SECONDS=600 SEED=1)
	@$(BIN)/python -m tests.object_store.storage.probe --seconds $(SECONDS) --seed $(SEED)

probe-volumes: ready ## kill what serves volumes at random and check that nothing that was acknowledged is lost (SECONDS=600 SEED=1)
	@$(BIN)/python -m tests.volume.probe --seconds $(SECONDS) --seed $(SEED)

probe-cluster: ready ## kill the parts of a cloud of three hosts at random and check that it keeps what it promised (SECONDS=600 SEED=1; ARGS=--real)
	@$(BIN)/python -m tests.cluster.probe --seconds $(SECONDS) --seed $(SEED) $(ARGS)

bench-cluster: ready ## measure a cloud of 500 fake hosts with 10,000 servers on PostgreSQL (ARGS: for benchmarks/cluster.py)
	@$(BIN)/python benchmarks/cluster.py $(ARGS)

tempest: ready ## run OpenStack's own tests against a fresh cloud (LIST=smoke,interop-2022.11|all..., REGEX=tempest.api.volume)
	@$(BIN)/python -m tests.conformance.tempest $(ARGS)

image: ready ## build the guest image alone: build/guest.qcow2
	@$(BIN)/python -m pileus.guest build build/guest.qcow2 --kernel-dir build

lock: ready ## write requirements/*.txt anew after a change in pyproject.toml (ARGS=--upgrade: everything newer)
	@$(COMPILE) $(ARGS) --all-extras --group dev pyproject.toml -o requirements/dev.txt
	@$(COMPILE) $(ARGS) pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	@echo uv | $(COMPILE) $(ARGS) - -o requirements/tools.txt

clean: ## remove the virtual environments and caches, but not the cloud's state
	@rm -rf .venv .venv-tools .venv-tempest .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
