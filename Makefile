# Needs Python 3.11 or newer, git and make; everything else is installed into .venv.
PYTHON ?= python3
# Words for the benchmark or for pytest, as in: make bench ARGS="--random 40 --seed 1"
ARGS ?=
# What `make fuzz` draws from; it is printed with the command.
SEED := $(or $(SEED),$(shell date +%s))
# Processes that share the tests.
JOBS ?= 2
# What test-wheel runs beside tests/wheel: what compiles nothing. PART=tests/core is all of the core's tests.
PART ?= $(addprefix tests/core/,anchors test_kernel.py test_options.py test_problem.py test_report.py test_vectors.py \
  test_loops.py::test_loops_are_right_without_the_compiler)
# What extras installs, one environment after another; Keras brings no backend of its own.
EXTRAS ?= torch tensorflow keras,tensorflow jax

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt

# An environment that happens to be active must not leak into .venv.
unexport PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help demo test test-gpu test-lowest test-wheel extras coverage lint soak mutants fuzz errors bench growth regressions clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: .venv/.demo ## train the demo's classifiers with this engine alone; a table and demo.png
	$(BIN)/interpolated-kernels demo

test: lint ## install everything, then lint, types and all tests; without ARGS those of CUDA on its simulator too
	$(BIN)/pytest -n $(JOBS) $(ARGS)
	$(if $(ARGS),,NUMBA_ENABLE_CUDASIM=1 $(BIN)/pytest -n $(JOBS) tests/cuda)

test-gpu: .venv/.test ## the tests of CUDA on a GPU, which must be there
	@$(BIN)/python -c 'import sys; from numba import cuda; sys.exit(None if cuda.is_available() else \
	  "make: test-gpu needs a GPU and its driver, and found none. On the simulator: NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda")'
	NUMBA_ENABLE_CUDASIM=0 $(BIN)/pytest tests/cuda $(ARGS)

test-lowest: .venv-lowest/.test ## the core's tests on the lowest versions that pyproject.toml promises
	.venv-lowest/bin/python -m pytest -n $(JOBS) tests/core $(ARGS)

test-wheel: .venv-wheel/.test ## tests of the core on the built wheel, where the source tree cannot be imported
	INTERPOLATED_KERNELS_CACHE_DIR="$${INTERPOLATED_KERNELS_CACHE_DIR:-$(CURDIR)/core/interpolated_kernels/loops/__pycache__}" \
	  .venv-wheel/bin/python -m pytest -n $(JOBS) tests/wheel $(PART) $(ARGS)

extras: .venv/.created ## each adapter installed by its extra alone, in a fresh environment: runs with no other framework
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; for extra in $(EXTRAS); do \
	  $(PYTHON) -m venv --clear "$$folder"; \
	  "$$folder/bin/python" -m pip --disable-pip-version-check install --quiet -c constraints.txt ".[$$extra]"; \
	  "$$folder/bin/python" tests/adapters/rows.py "$${extra%%,*}"; \
	done

# Loops as plain Python need small problems; all else that compiles does so from an empty cache.
coverage: .venv/.test ## the lines of the core that tests run, over 95 %, from two runs together: some twenty minutes
	rm -rf .coverage*
	NUMBA_DISABLE_JIT=1 INTERPOLATED_KERNELS_SOAK=100 $(BIN)/coverage run -m pytest -n $(JOBS) \
	  tests/core/test_soak.py tests/core/test_filling.py
	INTERPOLATED_KERNELS_CACHE_DIR=$(CURDIR)/.coverage-cache $(BIN)/coverage run -m pytest -n $(JOBS) \
	  tests --ignore tests/adapters $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: .venv/.test ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

soak: .venv/.test ## the bounds on 10,000 random problems, on every path: half an hour on two cores
	INTERPOLATED_KERNELS_SOAK=10000 $(BIN)/pytest -n $(JOBS) tests/core/test_soak.py $(ARGS)

fuzz: .venv/.test ## 2,000 broken files and 2,000 random calls raise nothing unexpected (SEED=1 for the same again)
	INTERPOLATED_KERNELS_FUZZ=2000 INTERPOLATED_KERNELS_FUZZ_SEED=$(SEED) $(BIN)/pytest tests/test_fuzz.py $(ARGS)

errors: .venv/.test ## write docs/errors.md from the table of bad inputs
	$(BIN)/python tests/bad_inputs.py

mutants: .venv/.test ## plant faults, one after another, in this engine and in a backend in NumPy: the kit finds each
	INTERPOLATED_KERNELS_MUTANTS=1 $(BIN)/pytest -n $(JOBS) tests/core/conformance -k mutants $(ARGS)

bench: .venv/.bench ## the table of this engine against its peers
	$(BIN)/python benchmarks/compare.py $(ARGS)

growth: .venv/.bench ## draw docs/images/growth.png: time against window, anchors and image
	$(BIN)/python benchmarks/growth.py $(ARGS)

regressions: .venv/.bench ## time every path on small shapes, to compare versions (ARGS="--benchmark-save=before")
	$(BIN)/pytest benchmarks $(ARGS)

clean: ## remove .venv, caches and build results
	rm -rf .venv .venv-lowest .venv-wheel .coverage* build dist demo.png docs/_build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find core adapters tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

# Stamps: an install is repeated only when pyproject.toml or constraints.txt has changed.

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed, but '$(PYTHON)' is not (or is missing)." >&2; \
	  echo "make: name another one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.demo: .venv/.created $(INPUTS)
	$(PIP) install --quiet -c constraints.txt -e '.[demo]'
	@touch $@

# Dependency groups need pip 25.1. Everything goes through one resolver run, and holds what the demo needs.
.venv/.test: .venv/.created $(INPUTS)
	$(PIP) install --quiet -c constraints.txt 'pip>=25.1'
	$(PIP) install --quiet -c constraints.txt -e '.[torch,tensorflow,keras,jax,demo,testing]' --group dev
	@touch .venv/.demo $@

# numba's lowest release needs a Python of its time: 3.11 or 3.12. Every ">=" of pyproject.toml becomes "==".
.venv-lowest/.test: $(INPUTS)
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  wanted = project["dependencies"] + project["optional-dependencies"]["testing"]; \
	  print(*(entry.replace(">=", "==") for entry in wanted), sep="\n")' > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip --disable-pip-version-check install --quiet -r .venv-lowest/lowest.txt -e .
	@touch $@

# The wheel is built from the sdist, as installers do that find no wheel. Only the wheel is installed; what else the tests
# need is read from .venv's packages, whose link to the source tree (a .pth file) does not count there.
.PHONY: .venv-wheel/.test
.venv-wheel/.test: .venv/.test
	rm -rf dist .venv-wheel
	$(BIN)/python -m hatchling build --target sdist > /dev/null
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
	$(BIN)/python -m venv --without-pip .venv-wheel
	$(PIP) --python .venv-wheel install --quiet --no-deps dist/*.whl
	.venv-wheel/bin/python -c 'import pathlib, sys, sysconfig; \
	  pathlib.Path(sysconfig.get_path("purelib"), "tests.pth").write_text(sys.argv[1])' \
	  "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

.venv/.bench: .venv/.test $(INPUTS)
	$(PIP) install --quiet -c constraints.txt -e '.[bench]'
	@touch $@
