# `make train` and `make test` do everything on a machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3
SHELL := bash
.SHELLFLAGS := -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The lock holds the hash of every package but torch, whose builds of one version (CPU, CUDA, ROCm; from PyPI, PyTorch's own
# index or a folder of yours) are different files. pip's configuration says which one is installed; a build for CUDA brings
# its libraries along in the versions it names.
TORCH ?= torch==2.13.0

# uv only computes what to install; it does not know pip's configuration, so pip installs.
UV := $(VENV)/uv/bin/uv
COMPILE = echo '$(TORCH)' | $(UV) pip compile --quiet --custom-compile-command "make lock" --no-emit-package torch --constraint -

.PHONY: train test lint format docs wheel lock newest lowest clean help

help:
	@echo "make train   train the embedded policy with GRPO and with AXPO, compare them, write runs/main/report.html"
	@echo "make test    every test"
	@echo "make lint    ruff, mypy (strict), import contracts, declared dependencies"
	@echo "make format  format the code"
	@echo "make docs    build the documentation as a site, site/; a link that leads nowhere is an error"
	@echo "make wheel   build sdist and wheel, and try the wheel without extras on every supported Python that is here"
	@echo "make lock    lock what pyproject.toml asks for (UPGRADE=--upgrade: in its newest versions)"
	@echo "make newest  every test with the newest versions that pyproject.toml allows"
	@echo "make lowest  every test with the lowest versions that pyproject.toml allows"

# One thread: so small a model gains little from a second, and threads that wait for a busy core lose a lot. It also makes
# the result the same whatever the number of cores.
train: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/axpo compare --out runs/main

# One thread per worker: workers that share cores otherwise wait for each other's threads.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy recipes/one_file_axpo.py
	$(BIN)/lint-imports
	$(BIN)/deptry envs agents axpo benchmarks

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

wheel: $(STAMP)
	.ci/wheel

# For all systems and all supported versions of Python at once. What is locked already stays where it still fits.
lock: $(UV)
	$(COMPILE) --universal --python-version 3.11 --generate-hashes $(UPGRADE) pyproject.toml --extra dev --group build --output-file locks/dev.txt
	$(COMPILE) --universal --python-version 3.11 --generate-hashes --constraint locks/dev.txt pyproject.toml --output-file locks/base.txt
	echo pip | $(UV) pip compile --quiet --custom-compile-command "make lock" --generate-hashes $(UPGRADE) - --output-file locks/pip.txt

newest: $(UV)
	$(call try,newest,highest)

lowest: $(UV)
	$(call try,lowest,lowest-direct)

# A new environment with what one way of resolving pyproject.toml gives, and every test in it. Wheels alone: a version
# that has none for this Python is one that few can install, and to build it can take longer than all the tests.
define try
	rm -rf $(VENV)-$(1) && $(PYTHON) -m venv $(VENV)-$(1)
	$(COMPILE) --python $(VENV)-$(1)/bin/python --resolution $(2) pyproject.toml --extra dev --group build --output-file $(VENV)-$(1)/requirements.txt
	$(call install,$(VENV)-$(1),$(VENV)-$(1)/requirements.txt,--only-binary :all:)
	OMP_NUM_THREADS=1 $(VENV)-$(1)/bin/python -m pytest -n 2 --dist loadfile
endef

clean:
	rm -rf $(VENV) $(VENV)-newest $(VENV)-lowest .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(UV):
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install uv==0.13.9

$(STAMP): pyproject.toml $(wildcard locks/*)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"axpo needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install,$(VENV),locks/dev.txt)
	touch $@

# Into the environment $(1), in this order: pip, what the file $(2) lists (with these options: $(3)), torch, and this project.
define install
	@echo "Installing into $(1): about a minute, longer where a torch for CUDA must be downloaded"
	@$(1)/bin/python -m pip install --quiet --require-hashes --requirement locks/pip.txt
	@PYTHONUNBUFFERED=1 $(1)/bin/python -m pip install --no-deps $(3) --requirement $(2) | $(PYTHON) .ci/progress.py
	@echo "  $(TORCH)"
	@PYTHONUNBUFFERED=1 $(1)/bin/python -m pip install '$(TORCH)' | $(PYTHON) .ci/progress.py
	@echo "  axpo itself"
	@$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(1)/bin/python -m pip check
endef
