# Everything sets up what it needs; a second call reinstalls nothing.
PYTHON ?= python3
# Python keeps what it has compiled, also where the environment says no: otherwise every process, each of the tests' too,
# would compile torch anew (5 s instead of 2 for the import alone).
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard src/thinned/csrc/*)
SETUP := pyproject.toml constraints.txt $(SOURCES)
CPP := $(filter %.cpp %.hpp,$(SOURCES)) $(wildcard tests/csrc/*.cpp) $(wildcard tests/device/*.cpp)
CONFIGURE = $(BIN)/cmake -S src/thinned/csrc -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python

# What `make test` leaves to `make test-rest`, by marks: pyproject.toml says what each is, conftest.py which folders have one.
APART := zoo or compiler or ranks or sanitizer or frameworks or device or long
# Where tests compare the results of products. Compilers round by themselves.
NUMERIC := tests/contract tests/fit tests/interop tests/model/batch_norm tests/model/convert tests/model/plan \
	tests/model/quiet tests/model/rates tests/nn tests/regressions tests/stream tests/theory tests/transforms \
	tests/uncertainty --ignore=tests/stream/test_compile.py --ignore=tests/transforms/test_compile.py
WORKERS := -n auto --dist loadgroup
PYTEST := $(BIN)/python -m pytest $(WORKERS)

# What a wheel is made of.
PACKAGE := pyproject.toml README.md README.ko.md CHANGELOG.md LICENSE $(wildcard tests/vectors/*) \
	$(shell find src -type f -not -path '*/__pycache__/*')
# Where the wheel is installed for its smoke test, with every compiler out of reach.
CLEAN := build/clean
NO_COMPILER = CC=/bin/false CXX=/bin/false PATH=$(CURDIR)/$(CLEAN)/bin
# The oldest torch that pyproject.toml allows, and the tests that run on it. The kernels for a GPU are written for the Triton
# of the pinned one.
OLDEST := .venv-oldest
TORCH_OLDEST := $(shell sed -n 's/^dependencies = .*"torch>=\([0-9.]*\)".*/\1/p' pyproject.toml)
TESTS_OLDEST := tests/noise tests/ops tests/contract tests/nn tests/stream tests/model tests/uncertainty \
	--ignore=tests/ops/triton
# Where Keras on its three backends, JAX, Flax and Equinox are, and the tests that meet them.
BACKENDS := .venv-backends
TESTS_JAX := tests/backends/jax src/thinned/interop/jax
TESTS_KERAS := tests/backends/keras $(addprefix src/thinned/interop/keras/,dropout_layers.py drop_connect.py functions.py)
# More interpreters to try the wheel's kernel on: make dist OTHER_PYTHONS="python3.12 python3.13"
OTHER_PYTHONS ?=

.PHONY: study test test-rest test-rounding test-oldest test-backends test-all fuzz lint tidy style types sanitize docs check dist oldest backends format clean

study: $(VENV)/study.stamp ## the main job: which dropout rate, on real digits
	$(BIN)/thinned study

test: $(VENV)/dev.stamp ## what a change needs, doc examples included: under 4 minutes on 2 cores
	$(PYTEST) -m "not ($(APART))"

test-rest: $(VENV)/dev.stamp ## all other tests: the zoo, compilers, ranks, sanitizers, a second device, long trainings
	$(PYTEST) -m "$(APART)" tests

# A machine has other instructions, and rounds otherwise. `make test` has this machine's best ones, `make test-rounding` none
# of AVX's, `make test-oldest` (in its folders) AVX2's and no better.
test-rounding: $(VENV)/dev.stamp ## comparisons that lean on one machine's rounding: tests/rounding.py, no AVX, 3 threads
	ATEN_CPU_CAPABILITY=default OMP_WAIT_POLICY=PASSIVE $(PYTEST) -m "not ($(APART))" --rounding --threads 3 $(NUMERIC)

oldest: $(OLDEST)/torch.stamp ## an environment with the oldest torch that the package allows

test-oldest: oldest $(VENV)/dev.stamp ## the tests of `make test` that meet torch, on the oldest one and with AVX2 alone
	ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 $(OLDEST)/bin/python -m pytest $(WORKERS) -m "not ($(APART))" $(TESTS_OLDEST)

backends: $(BACKENDS)/backends.stamp ## an environment with Keras, TensorFlow, JAX, Flax and Equinox

# Keras has one backend a process: four runs, two at a time.
test-backends: backends ## JAX, Flax, Equinox, and Keras on TensorFlow, JAX and torch
	$(MAKE) --jobs=2 --output-sync=target $(addprefix test-backend-,flax tensorflow jax torch)

test-backend-flax:
	$(BACKENDS)/bin/python -m pytest $(TESTS_JAX)

test-backend-%:
	KERAS_BACKEND=$* TF_CPP_MIN_LOG_LEVEL=2 $(BACKENDS)/bin/python -m pytest $(TESTS_KERAS)

FUZZ ?= 10
fuzz: $(VENV)/dev.stamp ## tables, sources, folders, operators and threads by chance, FUZZ=10 times as long, other ones each time
	$(BIN)/python -m pytest --fuzz $(FUZZ) tests/cli/test_any_*.py tests/csrc tests/model/quiet/test_stress.py tests/noise/test_place.py

test-all: test test-rest test-rounding test-oldest test-backends ## every test

lint: tidy style types ## format, lint, types

style: $(VENV)/dev.stamp ## Python: format, lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev.stamp
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

dist: build/dist.stamp ## the sdist, and the wheel built from it, tried where there is no compiler
	rm -rf $(CLEAN)
	$(PYTHON) -m venv $(CLEAN)
	$(CLEAN)/bin/pip install --quiet --no-compile --constraint constraints.txt torch numpy
	$(NO_COMPILER) $(CLEAN)/bin/pip install --quiet --no-compile --constraint constraints.txt --only-binary :all: "$$(echo dist/*.whl)[study]"
	$(CLEAN)/bin/pip check
	env -i $(NO_COMPILER) $(CLEAN)/bin/python -W error -m tests.dist.smoke dist/*.whl dist/*.tar.gz
	set -e; for python in $(OTHER_PYTHONS); do \
		rm -rf $(CLEAN); $$python -m venv $(CLEAN); \
		$(CLEAN)/bin/pip install --quiet --only-binary :all: numpy; \
		$(NO_COMPILER) $(CLEAN)/bin/pip install --quiet --no-deps dist/*.whl; \
		env -i $(NO_COMPILER) $(CLEAN)/bin/python -W error -m tests.dist.kernel dist/*.whl dist/*.tar.gz; \
	done

# `build` makes the wheel from the unpacked sdist: a file that the sdist lacks shows here.
build/dist.stamp: $(VENV)/dev.stamp $(PACKAGE)
	rm -rf dist build/dist
	mkdir -p dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m build --no-isolation --outdir build/dist .
	$(BIN)/abi3audit --strict build/dist/*.whl
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/dist/*.whl
	cp build/dist/*.tar.gz dist
	@touch $@

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CPP)

clean:
	rm -rf $(VENV) $(OLDEST) $(BACKENDS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# torch first and by the constraints file, so that no other package can pull in a build of its own choice. Python compiles
# the files that it uses when it uses them: compiling all of them here would take a minute.
$(VENV)/torch.stamp: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "thinned needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Call make PYTHON=python3.11 (or newer).")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt torch numpy
	@touch $@

$(VENV)/study.stamp: $(VENV)/torch.stamp $(SETUP)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[study]'
	@touch $@

# timm and torchvision, whose models the tests run, without what they ask for: torch stays, and [dev] has the rest. In a
# folder of their own, which only the tests look into: beside a CPU torch, torchvision fails in whoever imports it.
$(VENV)/dev.stamp: $(VENV)/torch.stamp $(SETUP)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --no-deps --upgrade --target $(VENV)/zoo timm torchvision
	@touch $@ $(VENV)/study.stamp

# The oldest torch, and all else as the tests on the pinned one have it: what .venv has comes after what is here. On x86-64
# the registry has this torch with CUDA only, 3.9 GB to load and 6.5 GB on disk. `import torch` opens the libraries of 12 of
# its 14 CUDA packages; the other two and Triton, its own release of it, are 0.4 GB, so nothing is left out.
$(OLDEST)/torch.stamp: constraints.txt pyproject.toml $(VENV)/torch.stamp
	rm -rf $(OLDEST)
	$(PYTHON) -m venv $(OLDEST)
	sed 's/^torch==.*/torch==$(TORCH_OLDEST)/; /^triton==/d' constraints.txt >$(OLDEST)/constraints.txt
	$(OLDEST)/bin/pip install --quiet --no-compile --constraint $(OLDEST)/constraints.txt torch
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		>$$($(OLDEST)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/as-in-venv.pth
	@touch $@

# Keras, TensorFlow and the family of JAX, 2 GB of them, and all else as the tests have it. In an environment of their own:
# what imports them must do without them for everybody else.
$(BACKENDS)/backends.stamp: constraints.txt pyproject.toml $(VENV)/dev.stamp
	rm -rf $(BACKENDS)
	$(PYTHON) -m venv $(BACKENDS)
	$(BACKENDS)/bin/pip install --quiet --no-compile --constraint constraints.txt equinox flax jax keras tensorflow-cpu
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		>$$($(BACKENDS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/as-in-venv.pth
	@touch $@
