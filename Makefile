# The commands of this project; `make` alone lists them. A fresh machine needs python3 (3.11 to 3.13) and make.
SHELL := /bin/sh
PYTHON ?=
ARGS ?=
VENV := .venv/bin

# A foreign PYTHONPATH (ROS, modules on clusters) would put other versions before the locked ones.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Set in many containers; without bytecode every start of torch compiles its sources again, for about 8 s.
unexport PYTHONDONTWRITEBYTECODE
# Two test processes on a small machine: one thread each is faster than two that fight.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(VENV)/python -m pytest
GPU_PYTHON := 3.12
GPU_PACKAGES := hydra-core omegaconf antlr4-python3-runtime pyyaml rich markdown-it-py mdurl pygments pycocotools hotcoco msgspec \
	pytest pytest-xdist execnet iniconfig pluggy hypothesis sortedcontainers

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup train test test-slow test-gpu bench-gpu check claims lock wheelhouse benchmarks robustness doctor clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo '  make train ARGS="model=mask_rcnn schedule=1x"   passes options through; .venv/bin/python train.py --help lists them'

# .venv/ready holds the folder it was made for: a moved or copied checkout sets itself up again.
ifneq ($(shell cat .venv/ready 2>/dev/null),$(CURDIR))
.PHONY: .venv/ready
endif
.venv/ready: requirements.lock pyproject.toml .ci/setup
	@PYTHON="$(PYTHON)" .ci/setup

setup: .venv/ready ## Make .venv from requirements.lock (once; instant when nothing changed)
	@:

train: setup ## Train, evaluate and record one run: on the embedded dataset unless ARGS says otherwise
	@$(VENV)/python train.py $(ARGS)
	@test -n "$(VIRTUAL_ENV)" || echo 'shell    source .venv/bin/activate: then these commands run as printed'

test: setup ## Run the tests (CPU, no network)
	@$(PYTEST) -m "not slow and not gpu" -n 2 --dist worksteal $(ARGS)

test-slow: setup ## Run the heavier tests too: longer trainings, several processes
	@$(PYTEST) -m "slow and not gpu" -n 2 --dist worksteal $(ARGS)

test-gpu: setup ## Run the tests that need a CUDA device
	@$(VENV)/python -c "import torch; exit(None if torch.cuda.is_available() else 'no CUDA device: nothing to test')"
	@$(PYTEST) -m gpu $(ARGS)

bench-gpu: setup ## Time training and inference on a GPU beside torchvision; writes benchmarks/results/gpu.md
	@$(VENV)/python -m benchmarks.gpu $(ARGS)

check: setup ## Lint, check types, import layers, size budgets, words and the map
	@$(VENV)/python -m ruff check .
	@$(VENV)/python -m mypy
	@$(PYTEST) -q tests/test_layers.py tests/test_budgets.py tests/test_words.py tests/test_map.py

claims: setup ## Run a sample of the shown claims again for an hour: do they still hold? (nightly; ARGS="--budget 20m")
	@$(VENV)/lineage claims $(ARGS)

doctor: setup ## Check this machine: Python, torch, GPU, disk, settings; says the fix for each cross
	@$(VENV)/lineage doctor $(ARGS)

benchmarks: setup ## Run every script in benchmarks/
	@for script in benchmarks/*.py; do echo "== $$script"; $(VENV)/python "$$script" || exit 1; done

robustness: setup ## Kill, fuzz and soak (an hour): benchmarks/results/robustness.md
	@$(VENV)/python -m benchmarks.robustness $(ARGS)

lock: setup ## Solve the dependencies anew within pyproject.toml's bounds (ARGS=--upgrade for newer versions)
	@$(VENV)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock $(ARGS)

# For a machine with torch and Lightning but no network: copy the tree with .wheelhouse, then PYTHONPATH=src:.wheelhouse
wheelhouse: setup ## Unpack the few packages a GPU machine lacks into .wheelhouse (put it on PYTHONPATH there)
	@rm -rf .wheelhouse && mkdir .wheelhouse
	@for name in $(GPU_PACKAGES); do \
		awk -v name="$$name" '/^[^ ]/ { wanted = index($$0, name "==") == 1 } wanted' requirements.lock; \
	done >.wheelhouse/requirements.txt
	@$(VENV)/uv pip install --quiet --target .wheelhouse --python-version $(GPU_PYTHON) \
		--python-platform x86_64-manylinux_2_28 --no-deps --require-hashes --build-constraints requirements.lock \
		-r .wheelhouse/requirements.txt
	@echo "wheelhouse: $$(du -sm .wheelhouse | cut -f1) MB for Python $(GPU_PYTHON) on Linux x86-64 in .wheelhouse"

clean: ## Remove caches; keeps .venv, runs and results
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .wheelhouse
	@find src tests conf benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
