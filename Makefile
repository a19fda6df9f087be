# make quickstart   the main job from end to end: train, merge, quantize, serve, ask
# make test         everything that fits into 15 minutes on 2 cores; make test-slow: the rest
# make lint         formatting, types, import directions
# make locks        resolve the lock files anew

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
# uv does not read pip's variable for folders of wheels.
BEGAN := $(shell date +%s)
FIND_LINKS := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS))

export POISE_HOME ?= $(CURDIR)/.poise

.PHONY: quickstart test test-slow lint locks setup docs clean

quickstart: setup
	$(BIN)/python examples/quickstart.py --began $(BEGAN)

test: setup lint
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed
	$(BIN)/python -m poise.specs.document > docs/file-format.md

setup: $(VENV)/.installed
	@$(BIN)/poise env sync

$(VENV)/.installed: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(FIND_LINKS) requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

locks: $(VENV)/.installed
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
		--custom-compile-command "make locks" --no-emit-index-url --no-annotate pyproject.toml -o requirements.lock
	UV=$(BIN)/uv images/lock.sh

clean:
	rm -rf $(VENV) .poise/store .poise/work .poise/logs
