PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
# Files run beside each other, tests of a file in order: what they share is made once. A thread
# each: those of two processes that wait for each other's cores take many times as long.
TESTS := OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=50

# A study is many processes: the package is compiled for the first of them and not for each.
unexport PYTHONDONTWRITEBYTECODE

# Python compiles what is imported, which is a third of what pip would compile.
install = $(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable

.PHONY: demo test test-all faults lint docs clean

demo: $(VENV)/.installed
	$(BIN)/smoothray run search_spaces/quickstart.yaml

test: $(VENV)/.installed-test
	$(TESTS) -m "not slow"

test-all: $(VENV)/.installed-test  # with the slow ones, of whole studies and clusters
	$(BIN)/pytest -m pysr tests/test_students.py tests/test_live.py  # Julia and torch cannot share a process
	$(TESTS)

faults: $(VENV)/.installed-test  # half an hour
	SMOOTHRAY_FAULTS=30 $(BIN)/pytest -s tests/faults

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs  # writes site/, whose first page is site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(install) .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(install) ".[test]"
	touch $(VENV)/.installed $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(install) ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) site .smoothray mlflow.db mlruns
