# Everything sets up what it needs; a second call reinstalls nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := pyproject.toml constraints.txt

.PHONY: study test lint check format clean

study: $(VENV)/study.stamp ## the main job: which dropout rate, on real digits
	$(BIN)/thinned study

test: $(VENV)/dev.stamp ## the tests, doc examples included
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/dev.stamp ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test ## all that a change must pass

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# torch first and by the constraints file, so that no other package can pull in a build of its own choice.
$(VENV)/torch.stamp: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "thinned needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Call make PYTHON=python3.11 (or newer).")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch numpy
	@touch $@

$(VENV)/study.stamp: $(VENV)/torch.stamp $(SETUP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[study]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/torch.stamp $(SETUP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/study.stamp
