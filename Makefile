# make run      the environment, then the whole pipeline
# make quick    the environment, then the pipeline at the size of presets/quick.yaml, a first look
# make test     the environment, then ruff and pytest
# make stories  the environment, then the tests that take minutes each: a served model's life,
#               being forgotten, stages dealt to processes
# make serve    the website over data/export, on http://127.0.0.1:8000
# make site     the website as a folder for any file server, in site/
# make compare  REVS="main name": runs side by side, compare.html (default: last commit, workspace)
# make plots    REVS="main name": the same runs' curves and pictures, dvc plots diff, without network
# make systems  every system trained and measured, then docs/systems.md; other faces, page in .systems/celeba:
#               SOURCE=celeba SET=sources.celeba.path=/data/celeba
# make doctor   what this machine has and lacks
# make lock     requirements.txt anew from pyproject.toml, and the versions in requirements-serve.txt with it
# VENV=path     use (or make) the environment there, to share one between checkouts

VENV ?= .venv
PYTHON ?= python3
SOURCE ?= avatars
# Test processes, one more than there are cores: for a quarter of their time they wait for other programs.
WORKERS = $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
PAGE = $(if $(filter avatars,$(SOURCE)),docs/systems.md,.systems/$(SOURCE)/systems.md)
READY := $(VENV)/.ready-$(shell sha256sum requirements.txt | cut -c1-16)
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: help run quick test stories serve site compare plots systems doctor lock
help:
	@grep -E '^# ' Makefile

run: $(READY)
	dvc repro

quick: $(READY)
	python -m ops.preset quick
	dvc repro

test: $(READY)
	ruff check .
	ruff format --check .
	OMP_NUM_THREADS=1 pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not story"

stories: $(READY)
	OMP_NUM_THREADS=1 pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder -m story

serve: $(READY)
	python -m web.ort || echo "The model runs on the server alone; the page's local mode is left out." >&2
	python -m web

site: $(READY)
	python -m web.site data/export site

compare: $(READY)
	python -m ops.experiments.compare $(REVS)

plots: $(READY)
	python -m ops.experiments.plots
	dvc plots diff $(REVS)

systems: $(READY)
	python -m ops.experiments.systems $(SOURCE) $(SET)
	python -m ops.experiments.systems_page $(SOURCE) $(PAGE)

doctor: $(READY)
	python -m ops.doctor

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet ".[serve,train,dev]"
	.venv-lock/bin/python -m pip freeze --exclude facemorph > requirements.txt
	awk -F== 'NR == FNR {lock[$$1] = $$0; next} /^#/ {print; next} {print lock[$$1]}' \
		requirements.txt requirements-serve.txt > requirements-serve.new
	mv requirements-serve.new requirements-serve.txt
	rm -r .venv-lock

# The environment is made anew when the lock changes: its mark carries the lock's hash.
$(READY):
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		"Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --requirement requirements.txt
	touch $@
