# Everything a person types. `make help` lists it.
PYTHON ?= python3
PORT ?= 8080
DATA ?= data
FAKE_GPUS ?= 2xA100
KAFKA_PORT ?= 9092
SEEDS ?= 1-2000
JOBS ?= 2
NAME ?=
BIN := .venv/bin

.PHONY: help env demo up kafka test simulate bench check types format lock

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

env: .venv/.stamp ## only the environment, in .venv

.venv/.stamp: requirements.txt pyproject.toml cli/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . -e ./cli
	@touch $@

demo: env ## the whole story on this machine: submit, checkpoint, preempt, resume, bill
	$(BIN)/python -m demo

up: env ## start the platform and stay until Ctrl-C (PORT= DATA= FAKE_GPUS= KAFKA=host:port)
	$(if $(KAFKA),COMPUTE_KAFKA=$(KAFKA)) $(BIN)/python -m compute_platform.main --port $(PORT) --data $(DATA) --fake-gpus $(FAKE_GPUS)

kafka: env ## an Apache Kafka on loopback to try things with, until Ctrl-C (KAFKA_PORT=)
	$(BIN)/python -m tests.real_kafka --port $(KAFKA_PORT)

test: env ## every test (JOBS= at once)
	$(BIN)/python -m pytest tests/ -n $(JOBS)

simulate: env ## simulated cells with faults, one a seed (SEEDS=first-last, GUARDS=1: each guard removed)
	$(BIN)/python -m tests.simulation $(SEEDS) $(if $(GUARDS),--guards)

bench: env ## measure this platform beside its peers (NAME="submit --size 500"; lists them without)
	$(BIN)/python -m bench $(NAME)

check: env ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(MAKE) --no-print-directory types
	$(BIN)/lint-imports --no-cache

types: env
	$(BIN)/mypy domain projections infra processors api agents cli/compute_platform demo bench tests

format: env ## let ruff put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: env ## write requirements.txt anew from pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--all-extras pyproject.toml -o requirements.txt
