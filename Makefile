# `make demo` and `make test` install everything they need. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

TOOLS := .tools
# uv: from PATH, else installed into a folder of the project (a system Python may refuse pip).
UV := $(shell command -v uv 2>/dev/null || echo $(TOOLS)/uv/bin/uv)
RUN := $(UV) run --no-sync
# Three test processes share one stack: tests that need it wait half of their time. The tests of a file run together.
WORKERS ?= 3
# Use the system's certificate authorities: a proxy that re-signs traffic is known only to the system.
export UV_SYSTEM_CERTS ?= true
# Let Python keep its byte code, whatever the environment says: tests and services start many processes with the same modules.
export PYTHONDONTWRITEBYTECODE :=

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

$(TOOLS)/uv/bin/uv:
	@echo "installing uv into $(TOOLS)/uv"
	@python3 -m venv $(TOOLS)/uv 2>/dev/null && $(TOOLS)/uv/bin/python -m pip install --quiet 'uv>=0.9' \
	  || { rm -rf $(TOOLS)/uv; python3 -m pip install --quiet --target $(TOOLS)/uv 'uv>=0.9'; }
	@test -x $@ || { echo "uv can't be installed: python3 needs venv or pip (Debian: apt install python3-venv)"; exit 1; }

.PHONY: help sync demo demo-hospital demo-five injection test faults lint types check accept bench bench-device bench-growth gpu tools clean

# --inexact keeps processors that were installed into .venv.
sync: $(filter $(TOOLS)/%,$(UV)) ## install everything into .venv (about 3 GB the first time)
	@test -d .venv || echo "installing into .venv, about 3 GB the first time"
	@$(UV) sync --all-extras --locked --inexact $(if $(wildcard .venv),--quiet)

demo: sync ## run a demonstration: Kafka, registry, Postgres, PyTorch and callbacks on this machine
	@$(RUN) sluice demo

KEEP ?=
demo-hospital: sync ## run a hospital's two systems with pictures; KEEP=1 leaves them running for the browser
	@$(RUN) python examples/hospital/demo $(if $(KEEP),--keep)

demo-five: sync ## run all five systems on one sluice: states, rows, pictures, callbacks; KEEP=1 leaves them running
	@$(RUN) python examples/five $(if $(KEEP),--keep)

lint: sync ## lint and check the format (ruff)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check --quiet .

types: sync ## check types (mypy, strict)
	@$(RUN) mypy

test: lint types ## lint, types, and unit, contract, integration and short fault tests
	$(RUN) pytest -m "not accept and not gpu" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

SEED ?= 7
SECONDS ?= 100
faults: sync ## jobs under seeded faults of everything, and the checker: make faults SEED=7
	@$(RUN) python -m tests.faults.machine --seed $(SEED) --seconds $(SECONDS)

injection: sync ## inject every kind of fault at every call of every service (half an hour; `make test` has a sample)
	SLUICE_INJECTION=all $(RUN) pytest tests/injection -s

accept: sync tools ## acceptance tests: time limits, and readers in other languages
	@$(UV) sync --all-extras --group accept --locked --inexact --quiet
	$(RUN) pytest -m accept -s tests/acceptance

BENCH ?=
DEVICE ?=
SERVING ?=
# The peers' packages are in an environment of their own. What can't be installed is named, and the rest is measured.
bench: sync ## compare sluice with Celery and others on this machine (ten minutes): make bench BENCH="--rounds 5"
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/$(TOOLS)/peers $(UV) sync --project bench/peers --locked --quiet \
	  --inexact || echo "the peers' environment can't be installed in full"
	@$(RUN) sluice bench peers $(BENCH)

bench-growth: sync ## measure CPU a job as jobs, workers, partitions, processors and payloads grow: make bench-growth FULL=1
	@$(RUN) sluice bench growth $(if $(FULL),--full)

bench-device: sync ## compare devices behind sluice with a bare loop, then with servers of models (installs torch again, 5 GB)
	@$(RUN) python -m bench.device $(DEVICE); test $$? -le 1
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/$(TOOLS)/peers $(UV) sync --project bench/peers --group serving --locked --quiet \
	  --inexact || echo "the servers of models can't be installed"
	@$(RUN) python -m bench.serving $(SERVING)

gpu: sync ## run every test marked gpu and the CUDA benchmark; needs a CUDA device, no Kafka and no Postgres
	@$(RUN) python -m bench.gpu

tools: ## install the Node and Go modules that `make accept` needs
	@./tests/acceptance/tools.sh

clean: ## remove everything that was created here, including all data
	@test ! -x .venv/bin/sluice || $(RUN) sluice down
	rm -rf .venv .sluice $(TOOLS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
