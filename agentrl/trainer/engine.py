"""The engine that samples a run's policy: what it can serve, how it starts, and how new weights reach it."""

import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agentrl.engines.transformers import TransformersEngine
from agentrl.engines.vllm import Scorer, VllmEngine
from agentrl.engines.vllm_library import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, check_settings
from agentrl.errors import ConfigError
from agentrl.trainer.checks.soundness import check_soundness, trained_logprobs
from agentrl.trainer.config import Config
from agentrl.update.settings import Precision

_DECIDED_ELSEWHERE = {
    "model": "policy.path",
    "tokenizer": "policy.path",
    "dtype": "engine.dtype",
    "max_model_len": "context.max_context",
    "max_num_seqs": "rollout.concurrency",
    "max_logprobs": "engine.top_logprobs",
    "gpu_memory_utilization": "engine.gpu_memory_utilization",
}


def check_engine(config: Config) -> None:
    """Check before the first step that the configured engine can sample this run's policy.

    Raises:
      ConfigError: vLLM is not installed, does not know a setting, or cannot do what the run asks of it; says what to
        change.
    """
    if config.engine.kind == "transformers":
        return
    if config.engine.kind == "openai":
        raise ConfigError(
            "engine.kind openai cannot train: a server gives neither token ids nor gradients; `agentrl eval` evaluates "
            "what it serves, and training needs engine.kind transformers or vllm with the weights in policy.path"
        )
    if config.eval.top_p < 1:
        raise ConfigError(
            f"eval.top_p {config.eval.top_p} with engine.kind vllm, which reports log-probabilities inside the "
            "nucleus only: set eval.top_p=1 or engine.kind=transformers"
        )
    for key, value in (("rollout", config.rollout.temperature), ("eval", config.eval.temperature)):
        if not LOWEST_TEMPERATURE <= value <= HIGHEST_TEMPERATURE:
            raise ConfigError(
                f"{key}.temperature {value} with engine.kind vllm, which samples at {LOWEST_TEMPERATURE} to "
                f"{HIGHEST_TEMPERATURE}: choose one of these, or engine.kind=transformers"
            )
    for name in config.engine.settings:
        if name in _DECIDED_ELSEWHERE:
            raise ConfigError(f"engine.settings.{name} is decided by {_DECIDED_ELSEWHERE[name]}: set it there")
    check_settings(config.engine.settings)


class PolicyEngine:
    """A run's engine, kept at the weights of the policy that is trained.

    Args:
      config: of the run.
      model: the policy, in float32, of which the transformers engine uses the very weights where it computes in that.
      tokenizer: the policy's.
      folder: holds a policy of the same architecture, which vLLM starts from.

    Attributes:
      engine: plays rollouts and evaluations.

    Raises:
      EngineError: vLLM cannot serve the policy.
    """

    def __init__(self, config: Config, model: Any, tokenizer: Any, folder: Path) -> None:
        self._config, self._model = config, model
        self._trainer: Scorer | None = None
        shares = config.engine.kind != "transformers" or engine_dtype(config) == "float32"
        self._served = model if shares else _half(model)
        self.engine = _start(config, self._served, tokenizer, folder)

    def sync(self, version: int) -> dict[str, float]:
        """Let the engine sample from the policy as it is now, and stamp what it samples with ``version``.

        The transformers engine shares the weights in float32 and rounds them in bfloat16. vLLM takes them over and its
        log-probs of a probe text are compared with the policy's.

        Returns:
          Of vLLM, ``engine/sync_difference`` (mean absolute difference, nats a token) and ``engine/sync_s`` (seconds).

        Raises:
          EngineError: vLLM does not compute with the policy's weights.
        """
        if isinstance(self.engine, TransformersEngine):
            if self._served is not self._model:
                _round(self._model, self._served)
            self.engine.policy_version = version
            return {}
        began = time.monotonic()
        difference = self.engine.load(self._model, version=version, trainer=self._trainer)
        return {"engine/sync_difference": difference, "engine/sync_s": time.monotonic() - began}

    def check(self, *, trains: bool) -> dict[str, float]:
        """Compare engine and, if it ``trains``, trainer with the policy's own forward pass.

        See :func:`~agentrl.trainer.checks.soundness.check_soundness` for what is returned and raised.
        """
        config, model = self._config, self._model
        tolerance = config.engine.tolerance
        if tolerance is None and isinstance(self.engine, VllmEngine):
            tolerance = self.engine.tolerance
        found = check_soundness(
            model,
            self.engine,
            max_context=config.context.max_context,
            served=self._served if isinstance(self.engine, TransformersEngine) else None,
            trained=config.policy.dtype if trains else None,
            sampled=engine_dtype(config),
            merges=config.update.merge_prefixes != "never",
            fork=config.rollout.concurrency > 1,
            tolerance=tolerance,
        )
        if trains:  # from now on syncs are verified with its log-probs too
            self._trainer = lambda ids: trained_logprobs(model, [ids.astype(np.int32)], config.policy.dtype)[0]
        return found

    def close(self) -> None:
        """Free the memory of an engine that has its own."""
        if isinstance(self.engine, VllmEngine):
            self.engine.close()


def engine_dtype(config: Config) -> Precision:
    """Return what the engine computes in."""
    return config.engine.dtype or config.policy.dtype


def _half(model: Any) -> Any:
    """Return a copy whose weights are bfloat16. Buffers keep their type: rotations by rounded frequencies are wrong."""
    served = copy.deepcopy(model).requires_grad_(False)
    for weight in served.parameters():
        weight.data = weight.data.bfloat16()
    return served


@torch.no_grad()
def _round(model: Any, served: Any) -> None:
    for weight, master in zip(served.parameters(), model.parameters(), strict=True):
        weight.copy_(master)


def describe_engine(config: Config) -> str:
    """Return what is said of the engine behind the policy; nothing of the one that has no limits to tell."""
    if config.engine.kind == "transformers":
        return "" if engine_dtype(config) == "float32" else ", sampled in bfloat16"
    return f", served by vLLM (entropies of turns: lower bounds, from the top {config.engine.top_logprobs})"


def _start(config: Config, model: Any, tokenizer: Any, folder: Path) -> TransformersEngine | VllmEngine:
    sessions, context, settings = config.rollout.concurrency, config.context.max_context, config.engine
    if settings.kind == "transformers":
        return TransformersEngine(model, tokenizer, max_sessions=sessions, max_context=context)
    return VllmEngine.start(
        str(folder),
        tokenizer,
        max_sessions=sessions,
        max_context=context,
        top_logprobs=settings.top_logprobs,
        dtype=engine_dtype(config),
        tolerance=settings.tolerance,
        gpu_memory_utilization=settings.gpu_memory_utilization,
        **settings.settings,
    )
