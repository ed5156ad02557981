# make run    everything: environment, pipeline          make test   ruff and pytest
# VENV=path   use (or make) the environment there, to share one between checkouts

VENV ?= .venv
PYTHON ?= python3
READY := $(VENV)/.ready-$(shell sha256sum requirements.txt | cut -c1-16)
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: run test check clean help
help:
	@grep -E '^# ' Makefile

run: $(READY)
	dvc repro

test: $(READY)
	ruff check .
	ruff format --check .
	pytest

$(READY):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --requirement requirements.txt
	touch $@
