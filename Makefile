# Two commands on a fresh machine:  make demo  and  make test.  Each makes its own environment in .venv.

PYTHON ?= python3
JOBS ?= 2 # test files at a time
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard src/dgno/kernels/*.[ch])

.PHONY: demo test test-slow check bench clean

demo: .venv/core
	$(BIN)/python examples/demo.py demo

test: check
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# What takes too long for every change: many more kills; memory and time of slides of 20,000 and 100,000 px a side.
test-slow: .venv/dev
	DGNO_KILLED_RUNS=20 $(BIN)/python -m pytest tests/restoration/test_slide_kills.py tests/training/test_kills.py
	$(BIN)/python benchmarks/slide_memory.py 5000 20000 --sparse 100000

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The tables of docs/performance.md; wants a machine with nothing else to do. benchmarks/README.md has the rest.
bench: .venv/dev
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/parts.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/end_to_end.py

.venv/core: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e .
	touch $@

.venv/dev: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e ".[dev]"
	touch $@ .venv/core

clean:
	rm -rf .venv build demo src/dgno/kernels/*.so
