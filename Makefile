# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# torch, mujoco and the linters are for the tests only: the demo installs the light package.
LIGHT := $(VENV)/light.stamp
FULL := $(VENV)/test.stamp
DOCS := $(VENV)/docs.stamp
SOURCES := vljepa_ros lab scripts launch test doc examples setup.py

CONSTRAINTS = $(shell $(BIN)/python -c 'import sys; print("constraints-3.10.txt" if sys.version_info < (3, 11) else "constraints.txt")')

.PHONY: demo test check soak docs lint clean help

help:
	@echo "make demo    camera, perception and decoder on the shipped clip, a good minute"
	@echo "make test    linters, types and tests"
	@echo "make check   the same, and the slow tests: exports, benchmarks, trainings from nothing; docs"
	@echo "make soak    the campaign of load and faults, hours: test/soak/run.py --help for parts of it"
	@echo "make docs    the documents as a site in build/docs (Python 3.11 or later)"
	@echo "make lint    linters and types only"
	@echo "make clean   remove what the other targets made"

demo: $(LIGHT)
	$(BIN)/vljepa demo

test: lint
	# One worker for each of the two cores that CI has: many tests wait for other processes.
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: test docs
	$(BIN)/python -m pytest -n 2 --dist loadfile -m check

soak: $(FULL)
	$(BIN)/python test/soak/run.py --resume

# Reads all pages each time, so that each warning is an error: a link that leads nowhere, too.
docs: $(DOCS)
	$(BIN)/sphinx-build -E -n -W --keep-going -q -c doc . build/docs
	cp build/docs/README.html build/docs/index.html
	@echo "build/docs/index.html"

lint: $(FULL)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist demo_out *.egg-info lab/build lab/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else f"Python {v[0]}.{v[1]} found, 3.10 to 3.13 needed; set PYTHON=python3.11, for example")'
	$(PYTHON) -m venv $(VENV)

$(LIGHT): pyproject.toml setup.py constraints.txt constraints-3.10.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e . -c $(CONSTRAINTS)
	touch $@

$(FULL): pyproject.toml lab/pyproject.toml setup.py constraints.txt constraints-3.10.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[memory,test]' -e 'lab[eval,train,world]' -c $(CONSTRAINTS)
	touch $@
	touch $(LIGHT)

$(DOCS): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[docs]' -c $(CONSTRAINTS)
	touch $@
