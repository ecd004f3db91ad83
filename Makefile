# Everything sets up what it needs; a second call reinstalls nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard src/thinned/csrc/*)
SETUP := pyproject.toml constraints.txt $(SOURCES)
CPP := $(filter %.cpp %.hpp,$(SOURCES)) $(wildcard tests/csrc/*.cpp) $(wildcard tests/device/*.cpp)
CONFIGURE = $(BIN)/cmake -S src/thinned/csrc -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python

# What `make test` leaves to `make test-rest`, by marks: pyproject.toml says what each is, conftest.py which folders have one.
APART := zoo or compiler or ranks or sanitizer or frameworks or device or long
# Where tests compare the results of products.
NUMERIC := tests/contract tests/interop tests/model tests/nn tests/regressions tests/stream tests/theory \
	tests/transforms tests/uncertainty
PYTEST := $(BIN)/python -m pytest -n auto

.PHONY: study test test-rest test-rounding test-all lint tidy sanitize docs check format clean

study: $(VENV)/study.stamp ## the main job: which dropout rate, on real digits
	$(BIN)/thinned study

test: $(VENV)/dev.stamp ## what a change needs, doc examples included: under 4 minutes on 2 cores
	$(PYTEST) -m "not ($(APART))"

test-rest: $(VENV)/dev.stamp ## all other tests: the zoo, compilers, ranks, sanitizers, a second device, long trainings
	$(PYTEST) -m "$(APART)"

test-rounding: $(VENV)/dev.stamp ## comparisons that lean on one machine's rounding: tests/rounding.py, other instructions, threads
	$(PYTEST) -m "not ($(APART))" --rounding $(NUMERIC)
	ATEN_CPU_CAPABILITY=default OMP_WAIT_POLICY=PASSIVE $(PYTEST) -m "not ($(APART))" --threads 3 $(NUMERIC)
	ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 $(PYTEST) -m "not ($(APART))" $(NUMERIC)

test-all: test test-rest test-rounding ## every test

lint: tidy $(VENV)/dev.stamp ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

tidy: $(VENV)/dev.stamp ## the kernel's C++: format, clang-tidy
	$(BIN)/clang-format --dry-run -Werror $(CPP)
	$(CONFIGURE) -B build/tidy -DCMAKE_EXPORT_COMPILE_COMMANDS=ON --log-level=WARNING
	$(BIN)/clang-tidy --quiet -p build/tidy $(filter src/%.cpp,$(CPP))

sanitize: $(VENV)/dev.stamp ## the kernel under AddressSanitizer and UndefinedBehaviorSanitizer
	$(CONFIGURE) -B build/sanitize -DTHINNED_MODULE=OFF -DTHINNED_SANITIZE=ON -DTHINNED_STRICT=ON
	$(BIN)/cmake --build build/sanitize
	build/sanitize/check

docs: $(VENV)/dev.stamp ## the documentation as a site, in build/site; a warning fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

check: lint test ## what a change must pass before it is shown; CI runs test-all too

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CPP)

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

# timm and torchvision, whose models the tests run, without what they ask for: torch stays, and [dev] has the rest. In a
# folder of their own, which only the tests look into: beside a CPU torch, torchvision fails in whoever imports it.
$(VENV)/dev.stamp: $(VENV)/torch.stamp $(SETUP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps --upgrade --target $(VENV)/zoo timm torchvision
	@touch $@ $(VENV)/study.stamp
