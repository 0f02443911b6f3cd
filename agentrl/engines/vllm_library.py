"""The part of vLLM that the engine uses, run inside this process: turns in, turns out, weights exchanged, text scored.

Everything that depends on the library's version is here. Written for and tested with vLLM 0.32.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agentrl.engines.base import Alternatives, SamplingParams
from agentrl.errors import ConfigError, EngineError, nearest
from agentrl.types import StopReason

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 2.0
"""Of sampled turns: vLLM raises a lower temperature to the first without an error, and refuses one above the second."""

_FIXED: dict[str, Any] = {
    "logprobs_mode": "processed_logprobs",
    "enable_prefix_caching": True,
    "generation_config": "vllm",
    "disable_log_stats": True,
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "data_parallel_size": 1,
    "trust_remote_code": False,
}
"""Fields of ``vllm.EngineArgs`` that the engine rests on: what log-probs are of, one whole model a process, no code
that comes with a model."""


@dataclass(frozen=True, slots=True)
class SampledTurn:
    """What vLLM sampled for one request.

    Attributes:
      request: the name it was added under.
      ids: sampled ids, shape (K,).
      logprobs: of the sampled ids, shape (K,).
      entropies: see :func:`top_entropies`, shape (K,).
      stop_reason: END, STOP_STRING, or MAX_TOKENS where the budget given to vLLM was spent.
      num_prompt: ids of the prompt.
      num_cached: how many of these came from the prefix cache.
      alternatives: the most probable tokens that were not sampled, for a request that asked for them.
    """

    request: str
    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    entropies: NDArray[np.float32]
    stop_reason: StopReason
    num_prompt: int
    num_cached: int
    alternatives: Alternatives | None = None


class Library(Protocol):
    """What the engine asks of vLLM."""

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""

    def add(self, request: str, ids: list[int], params: SamplingParams, seed: int) -> None:
        """Queue a turn that continues the prompt ``ids``.

        Raises:
          EngineError: vLLM refuses ``params``.
        """

    def step(self) -> list[SampledTurn]:
        """Advance all turns by about one token; return those that ended."""

    def abort(self, request: str) -> None:
        """Give a turn up."""

    def reload(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Replace the weights (checkpoint names and tensors) and forget cached prefixes; no turn may be under way."""

    def score(self, ids: list[int]) -> NDArray[np.float64]:
        """Return ln p of each id after the first, given those before it; no turn may be under way."""

    def close(self) -> None:
        """Free the model's and the cache's memory."""


def top_entropies(logprobs_KC: NDArray[np.float64], vocab_size: int) -> NDArray[np.float32]:
    """Return a lower bound of the entropy from the log-probs of the C most probable tokens: all others as one event.

        H ≥ -Σ_c p_c ln p_c - r ln r,   r = 1 - Σ_c p_c

    The gap is r times the entropy inside the rest, so at most r ln(V - C); with C = V the result is exact.

    Args:
      logprobs_KC: one row per position.
      vocab_size: V.
    """
    probs = np.exp(logprobs_KC)
    rest = np.clip(1.0 - probs.sum(axis=1), 0.0, 1.0) if logprobs_KC.shape[1] < vocab_size else np.zeros(len(probs))
    inside = np.where(probs > 0, probs * np.where(probs > 0, logprobs_KC, 0.0), 0.0).sum(axis=1)
    outside = rest * np.log(np.where(rest > 0, rest, 1.0))
    return np.asarray(-inside - outside, np.float32)


def runners_up(
    ids_K: NDArray[np.int32], top_ids_KC: NDArray[np.int64], logprobs_KC: NDArray[np.float64]
) -> Alternatives:
    """Return for each sampled token the most probable one of the C reported that is another; C is at least 2.

    Args:
      ids_K: the sampled tokens.
      top_ids_KC: the C most probable tokens of each position.
      logprobs_KC: theirs.
    """
    best_K = np.where(top_ids_KC == ids_K[:, None], -np.inf, logprobs_KC).argmax(axis=1)
    rows_K = np.arange(len(ids_K))
    return Alternatives(top_ids_KC[rows_K, best_K].astype(np.int32), logprobs_KC[rows_K, best_K].astype(np.float32))


class InProcessVllm:
    """vLLM's engine in this process, stepped by the caller. A process has one at a time: :meth:`close` it first.

    Starting it seeds the process's global random generators (``seed`` of ``vllm.EngineArgs``).

    Args:
      path: folder of the model and its tokenizer.
      max_context: most tokens of a request, prompt and samples.
      max_running: most turns sampled at a time.
      top_logprobs: most probable tokens reported at each position.
      settings: further fields of ``vllm.EngineArgs``.

    Raises:
      ConfigError: vLLM is not installed, or does not know one of the settings.
      EngineError: vLLM cannot start.
    """

    def __init__(self, path: str, *, max_context: int, max_running: int, top_logprobs: int, **settings: Any) -> None:
        self._vllm = vllm = import_vllm()
        # The library's only switch for it: another process would need every new weight copied to it.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        try:
            arguments = vllm.EngineArgs(
                model=path,
                max_model_len=max_context,
                max_num_seqs=max_running,
                max_logprobs=top_logprobs,
                **_FIXED,
                **_among_peers(),
                **_whole_prompts(vllm) | settings,
            )
            self._engine = vllm.LLMEngine.from_engine_args(arguments)
        except TypeError as error:
            raise ConfigError(f"vllm.EngineArgs: {error}") from error
        except Exception as error:  # the library raises anything
            raise EngineError(f"vLLM cannot serve {path}: {type(error).__name__}: {error}") from error
        self._vocab_size: int = self._engine.model_config.get_vocab_size()
        self._top_logprobs = min(top_logprobs, self._vocab_size)
        self._with_alternatives: set[str] = set()

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        return self._vocab_size

    def add(self, request: str, ids: list[int], params: SamplingParams, seed: int) -> None:
        """Queue a turn; see :meth:`Library.add`."""
        vllm = self._vllm
        if params.alternatives and self._top_logprobs < 2:
            raise EngineError("alternatives need the two most probable tokens: start the engine with top_logprobs >= 2")
        try:
            wanted = vllm.SamplingParams(
                max_tokens=params.max_tokens,
                temperature=params.temperature,
                seed=seed,
                stop=list(params.stop),
                stop_token_ids=list(params.stop_token_ids),
                ignore_eos=True,  # what ends a turn is in stop_token_ids alone
                include_stop_str_in_output=True,
                detokenize=bool(params.stop),
                skip_special_tokens=False,
                spaces_between_special_tokens=False,
                logprobs=self._top_logprobs,
                flat_logprobs=True,
                output_kind=vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
            )
            self._engine.add_request(request, vllm.inputs.tokens_input(ids), wanted)
        except (ValueError, vllm.exceptions.VLLMError) as error:
            raise EngineError(f"vLLM refuses the turn: {error}") from error
        if params.alternatives:
            self._with_alternatives.add(request)

    def step(self) -> list[SampledTurn]:
        """Advance all turns; see :meth:`Library.step`."""
        return [self._turn(output) for output in self._engine.step() if output.finished]

    def abort(self, request: str) -> None:
        """Give a turn up."""
        self._with_alternatives.discard(request)
        self._engine.abort_request([request])

    def reload(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Replace the weights; see :meth:`Library.reload`."""
        self._engine.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights)})
        if not self._engine.reset_prefix_cache():
            raise EngineError("vLLM did not forget the prefixes cached under the old weights: turns are under way")

    def score(self, ids: list[int]) -> NDArray[np.float64]:
        """Return log-probs of a text; see :meth:`Library.score`."""
        params = self._vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        self._engine.add_request("score", self._vllm.inputs.tokens_input(ids), params)
        try:
            while not (ended := [output for output in self._engine.step() if output.finished]):
                pass
        except Exception:
            self.abort("score")
            raise
        positions = zip(ended[0].prompt_logprobs[1:], ids[1:], strict=True)
        return np.array([position[token].logprob for position, token in positions])

    def close(self) -> None:
        """Free the model's and the cache's memory."""
        self._engine.engine_core.shutdown()

    def _turn(self, output: Any) -> SampledTurn:
        (said,) = output.outputs
        ids = np.asarray(said.token_ids, np.int32)
        # Each position: the sampled token, then the most probable ones, which may hold it again.
        logprobs_KC = np.asarray(said.logprobs.logprobs, np.float64).reshape(len(said.logprobs), -1)[: len(ids)]
        others = None
        if output.request_id in self._with_alternatives:
            self._with_alternatives.discard(output.request_id)
            tokens_KC = np.asarray(said.logprobs.token_ids, np.int64).reshape(len(said.logprobs), -1)[: len(ids)]
            others = runners_up(ids, tokens_KC[:, 1:], logprobs_KC[:, 1:])
        if said.finish_reason == "length":
            reason = StopReason.MAX_TOKENS
        else:
            reason = StopReason.STOP_STRING if isinstance(said.stop_reason, str) else StopReason.END
        return SampledTurn(
            request=output.request_id,
            ids=ids,
            logprobs=logprobs_KC[:, 0].astype(np.float32),
            entropies=top_entropies(logprobs_KC[:, 1:], self._vocab_size),
            stop_reason=reason,
            num_prompt=len(output.prompt_token_ids),
            num_cached=output.num_cached_tokens or 0,
            alternatives=others,
        )


def _among_peers() -> dict[str, Any]:
    """Return the settings of a process that has peers, each with an engine of its own: nothing where it has none.

    vLLM joins the process group that is there, and is told by the environment which of its processes this is.
    """
    import torch.distributed as dist

    if not dist.is_initialized() or dist.get_world_size() == 1:
        return {}
    os.environ.setdefault("RANK", str(dist.get_rank()))
    os.environ.setdefault("LOCAL_RANK", str(dist.get_rank()))
    return {"distributed_executor_backend": "external_launcher"}


def _whole_prompts(vllm: Any) -> dict[str, Any]:
    """Return the settings by which a step takes up whole prompts only, where vLLM cannot cut seeded ones.

    After a part of a prompt it sets the request's random generator back by a step, which CPU generators refuse.
    """
    return {"enable_chunked_prefill": False} if vllm.platforms.current_platform.is_cpu() else {}


def check_settings(names: Collection[str]) -> None:
    """Check that vLLM is there and has these settings, and that the engine does not decide them itself.

    Raises:
      ConfigError: otherwise.
    """
    known = [field.name for field in fields(import_vllm().EngineArgs)]
    for name in names:
        if name in _FIXED:
            raise ConfigError(f"vllm.EngineArgs.{name} is {_FIXED[name]!r}: the engine rests on it; remove it")
        if name not in known:
            raise ConfigError(f"vllm.EngineArgs has no field {name!r}{nearest(name, known)}")


def import_vllm() -> Any:
    """Return the module ``vllm``.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        import vllm
    except ImportError as error:
        raise ConfigError(
            f"the vllm engine needs vLLM ({error}): pip install 'agentrl[vllm]' on a machine with a GPU "
            "(`make test-vllm` shows how to install a build for CPU), or use the transformers engine"
        ) from error
    return vllm
