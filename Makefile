PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test faults lint docs clean

demo: $(VENV)/.installed
	$(BIN)/smoothray run search_spaces/quickstart.yaml

test: $(VENV)/.installed-test
	$(BIN)/pytest -m pysr tests/test_students.py  # Julia and torch cannot share a process
	$(BIN)/pytest

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
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) site .smoothray mlflow.db mlruns
