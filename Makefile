# make demo and make test do all the set-up they need. `make help` lists the verbs.
SHELL := /bin/bash
.DEFAULT_GOAL := help

TOOLS := .tools
# uv: the one on PATH, else one installed into a folder of the project's own (a system Python may refuse pip).
UV := $(shell command -v uv 2>/dev/null || echo $(TOOLS)/uv/bin/uv)
RUN := $(UV) run --no-sync
# Two test processes: most tests wait for Kafka, not for a core. Each has a stack of its own; a file's tests stay together.
WORKERS ?= 2
# The system's certificate authorities: where a proxy re-signs traffic, only the system knows whom to trust.
export UV_SYSTEM_CERTS ?= true

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

$(TOOLS)/uv/bin/uv:
	@echo "installing uv into $(TOOLS)/uv"
	@python3 -m venv $(TOOLS)/uv 2>/dev/null && $(TOOLS)/uv/bin/python -m pip install --quiet 'uv>=0.9' \
	  || { rm -rf $(TOOLS)/uv; python3 -m pip install --quiet --target $(TOOLS)/uv 'uv>=0.9'; }
	@test -x $@ || { echo "uv can't be installed: python3 needs venv or pip (Debian: apt install python3-venv)"; exit 1; }

.PHONY: help sync demo test lint types check accept bench tools clean

# --inexact: processors that were installed beside sluice stay.
sync: $(filter $(TOOLS)/%,$(UV)) ## install everything into .venv (the first time about 3 GB)
	@test -d .venv || echo "installing into .venv, the first time about 3 GB"
	@$(UV) sync --all-extras --locked --inexact $(if $(wildcard .venv),--quiet)

demo: sync ## the whole path on this machine: real Kafka, registry, Postgres, PyTorch and callbacks
	@$(RUN) sluice demo

lint: sync ## ruff
	@$(RUN) ruff check .
	@$(RUN) ruff format --check --quiet .

types: sync ## mypy, strict
	@$(RUN) mypy

test: lint types ## lint, types, unit, contract, integration and short fault tests
	$(RUN) pytest -m "not accept and not gpu" -n $(WORKERS) --dist loadfile

accept: sync tools ## bounds and slower acceptance lines
	$(RUN) pytest -m accept -s tests/acceptance

bench: sync ## latency and throughput of this machine
	@$(RUN) sluice up && $(RUN) sluice bench latency && $(RUN) sluice bench throughput; status=$$?; $(RUN) sluice down; exit $$status

tools: ## what `make accept` needs beyond Python: Node's and Go's modules (Node and Go themselves by your system)
	@./tests/acceptance/tools.sh

clean: ## remove everything that is made here, kept data too
	@test ! -x .venv/bin/sluice || $(RUN) sluice down
	rm -rf .venv .sluice $(TOOLS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
