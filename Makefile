# Two commands on a fresh machine:  make demo  and  make test.  Each makes its own environment in .venv.

PYTHON ?= python3
JOBS ?= 2 # test files at a time
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard src/dgno/kernels/*.[ch])

.PHONY: demo test check bench clean

demo: .venv/core
	$(BIN)/python examples/demo.py demo

test: check
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/network.py

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
