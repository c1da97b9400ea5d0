PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PATHS := $(wildcard src tests benchmarks examples)

# Tests start many processes, each of which would compile the package anew without its byte code.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv demo test test-all lint docs bench site clean

venv: $(STAMP)

# torch comes first and alone: the package index it comes from may be another one than that of the rest.
$(STAMP): pyproject.toml constraints.txt
	@echo "Making .venv and installing into it (a few minutes, once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: venv
	@OMP_NUM_THREADS=1 $(BIN)/holdfast demo

lint: venv
	$(BIN)/ruff check $(PATHS)
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-all: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

# What can be written from the code is; a test fails when it is out of date.
docs: venv
	$(BIN)/python -m holdfast.cli.reference docs/command-line.md
	$(BIN)/python -m holdfast.report.catalogue docs/methods
	$(BIN)/python -m holdfast.report.stubs src/holdfast
	$(BIN)/python -m holdfast.report.records docs/records.md
	$(BIN)/python -m holdfast.report.rules docs/plan.md

# All benchmarks of speed in one table, which docs/performance.md shows (about ten minutes on one idle core).
bench: venv
	OMP_NUM_THREADS=1 PYTHONPATH=src $(BIN)/python benchmarks/bench.py

site: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
