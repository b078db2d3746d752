# Everything is installed into this checkout, from the lock files in it.
# Needed beforehand: git, make and a Python 3.11 to 3.13 with venv.
.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:

PY := .venv/bin/python
SETUP := tools/python tools/setup.py
export PATH := $(CURDIR)/build/bin:$(PATH)
# Suites of `make test` (all when empty): unit contracts forge hostile wheel e2e; and further arguments for what a target runs.
SUITE ?=
ARGS ?=

.PHONY: help setup setup-demo demo test check format bench fuzz fuzz-http fuzz-parsers fuzz-loaders mutate guards audit abi lock brownie kill faults reorgs load peers clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: ## install everything that the other targets use
	@$(SETUP) all

setup-demo:
	@$(SETUP) demo

demo: setup-demo ## train, sell, deliver, use and audit a model on a chain of this machine
	@$(PY) -m steelyard.demo $(ARGS)

test: setup ## run all tests; SUITE="unit forge" for some, ARGS="-k word" for their runner
	@$(PY) tools/suites.py $(SUITE) $(if $(ARGS),-- $(ARGS))

check: setup ## formatting, linters, types, documentation, and that the ABIs belong to the sources
	@$(PY) tools/check.py

format: setup ## format the Python and the Solidity
	@echo "format: Python"; $(PY) -m ruff format --quiet . && $(PY) -m ruff check --quiet --fix-only .
	@echo "format: Solidity"; build/bin/forge fmt

bench: setup ## measure speed and gas against peers; writes build/bench.json
	@echo "bench: at least five interleaved rounds, medians"; $(PY) -m bench $(ARGS)

fuzz: setup ## forge's fuzz and invariant tests with many more runs and a fresh seed
	@seed=$$($(PY) -c 'import secrets; print("0x" + secrets.token_hex(16))'); echo "fuzz: seed $$seed"; \
	FOUNDRY_PROFILE=long FOUNDRY_FUZZ_SEED=$$seed build/bin/forge test $(ARGS)

mutate: setup ## change the contracts one thing at a time, in copies, and count what no test notices
	@$(PY) -m tools.mutate $(ARGS)

guards: setup ## take each refusal out of the readers of files, in forks, and count what no test notices
	@PYTHONPATH=backend:. $(PY) -m tests.hostile.guards $(ARGS)

audit: ## run slither over the contracts; fails unless it finds exactly what docs/slither.md answers
	@$(SETUP) audit
	@echo "audit: slither"; $(PY) tools/audit.py $(ARGS)

abi: setup ## compile the contracts and write the ABIs and bytecode of the Python package
	@$(PY) tools/abi.py

lock: ## resolve the lock files anew; UPGRADE=1 for the newest versions allowed
	@$(SETUP) lock
	@tools/python tools/lock.py

kill: setup ## kill the seller's service some 220 times and count what it lost; ARGS=--index: index and HTTP, ARGS="--index --postgres": in PostgreSQL; ARGS=--files: a large file; ARGS=--gateway: a gateway and its client
	@PYTHONPATH=backend:. $(PY) -m tests.e2e.kill.campaign $(ARGS)

faults: setup ## every operation under every fault of RPC and store, and two RPC providers of which one lies
	@PYTHONPATH=backend:. $(PY) -m tests.faults.matrix $(ARGS)
	@PYTHONPATH=backend:. $(PY) -m tests.faults.liars

reorgs: setup ## follow re-organisations of depth 1 to 200 and compare the index with a fresh one
	@PYTHONPATH=backend:. $(PY) -m tests.faults.reorgs $(ARGS)

fuzz-http: ## fuzz the HTTP service against its OpenAPI description, in an environment of its own
	@$(SETUP) fuzz
	@PYTHONPATH=backend:. $(PY) -m tests.faults.fuzz_http $(ARGS)

fuzz-parsers: ## fuzz every parser by its coverage, in an environment of its own; ARGS="--cpu-seconds 600 --jobs 2"
	@$(SETUP) parsers
	@PYTHONPATH=backend:. $(PY) -m tests.fuzz.campaign $(ARGS)

fuzz-loaders: ## mutated models, read by h5py, TensorFlow and zipfile and by us, in an environment of its own (2 GB; Linux on x86-64)
	@$(SETUP) loaders
	@PYTHONPATH=backend:. $(PY) -m tests.fuzz.loaders $(ARGS)

load: setup ## 32 clients for some minutes: answers, latencies, and the memory of the service
	@PYTHONPATH=backend:. $(PY) -m tests.faults.load $(ARGS)

peers: ## build boxo, an independent peer of the content store, for the tests; needs Go
	@if ! command -v go >/dev/null 2>&1; then echo "peers: no Go, so no boxo: the tests with it will be skipped"; \
	else echo "peers: boxo"; cd tests/peers/boxo && GOTOOLCHAIN=local GOFLAGS="-mod=readonly -buildvcs=false" \
	go build -trimpath -o ../../../build/bin/boxo . || echo "peers: boxo could not be built: the tests with it will be skipped"; fi

brownie: setup ## run brownie: make brownie ARGS="run deploy"
	@tools/brownie $(ARGS)

clean: ## remove what was built; the environments stay
	@echo "clean: build, caches"
	@rm -rf build dist reports .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find backend tools tests scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove the environments too
	@echo "distclean: environments, node_modules"
	@rm -rf .venv .venv-uv .venv-node .venv-native .venv-brownie .venv-audit .venv-fuzz .venv-atheris .venv-loaders node_modules
