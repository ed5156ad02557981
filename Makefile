# make run      the environment, then the whole pipeline
# make test     the environment, then ruff and pytest
# make doctor   what this machine has and lacks
# make lock     requirements.txt anew from requirements.in
# VENV=path     use (or make) the environment there, to share one between checkouts

VENV ?= .venv
PYTHON ?= python3
READY := $(VENV)/.ready-$(shell sha256sum requirements.txt | cut -c1-16)
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: help run test doctor lock
help:
	@grep -E '^# ' Makefile

run: $(READY)
	dvc repro

test: $(READY)
	ruff check .
	ruff format --check .
	pytest

doctor: $(READY)
	python -m ops.doctor

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --requirement requirements.in
	.venv-lock/bin/python -m pip freeze > requirements.txt
	rm -r .venv-lock

# The environment is made anew when the lock changes: its mark carries the lock's hash.
$(READY):
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --requirement requirements.txt
	touch $@
