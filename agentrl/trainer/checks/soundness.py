"""Whether trainer and engine compute what the model computes itself: compared before the first step of a run.

Two sequences that begin alike, each of two turns that the engine sampled, are scored by the model's own forward pass,
one at a time. The trainer's passes over both together, packed and merged, and the log-probs that the engine reported
must agree with it. A model with a feature that these do not know (a window, a state, a bias) does not.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrl.engines.base import Engine, SamplingParams
from agentrl.errors import AgentrlError, ModelError
from agentrl.models.plain import plain_logprobs
from agentrl.models.unsupported import refuse_unsupported
from agentrl.seeding import generator
from agentrl.types import TokenSequence
from agentrl.update.batch import Sample, pack
from agentrl.update.settings import Precision
from agentrl.update.update import score

Scores = list[NDArray[np.float64]]
"""ln p of each id after the first of each sequence; NaN where it is not known."""

TOLERANCE = {"cpu": 1e-4, "cuda": 2e-2}
"""Largest difference in float32, nats: of any token for the trainer, on average for the engine. Over the families of
`agentrl.lab.families` the largest is 1e-5 on CPU; kernels of GPUs may multiply float32 in TF32."""

NOISE_FACTOR, NOISE_FLOOR = 4.0, 0.05
"""In bfloat16 mean differences count, and so many times the one that rounding makes to the model's own forward pass is
allowed on top. Over the same families 1.5 times are the most. At least so many nats: a token whose expert changes by
rounding moves by a nat, in one pass and not in the other."""

_TURN, _OBSERVATION, _PROMPT = 6, 4, 24  # tokens

# Windows up to this are exceeded by the sequences, so that what lies beyond them is compared too.
_LONGEST = 8192
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size")


@dataclass(frozen=True, slots=True)
class Probe:
    """Sequences to compare on.

    Attributes:
      sequences: two that begin alike, ids of each.
      reported: the engine's log-probs of what it sampled, NaN elsewhere.
    """

    sequences: list[NDArray[np.int32]]
    reported: Scores


def sampled_probe(engine: Engine, prompt: NDArray[np.int32], vocab_size: int, *, fork: bool) -> Probe:
    """Let the engine sample a turn, with ``fork`` branch, and in each branch sample another.

    Raises:
      ModelError: it cannot.
    """
    params = SamplingParams(_TURN)

    async def branch(session: int, begun: NDArray[np.int32], first: NDArray[np.float32], seed: int) -> Any:
        observation = generator(seed, "soundness").integers(3, vocab_size, _OBSERVATION).astype(np.int32)
        turn = await engine.generate(session, observation, params)
        gap = np.full(_OBSERVATION, np.nan)
        said = np.concatenate([np.full(len(prompt) - 1, np.nan), first, gap, turn.logprobs])
        return np.concatenate([begun, observation, turn.ids]), said

    async def play() -> list[Any]:
        sessions = [engine.open(0)]
        try:
            turn = await engine.generate(sessions[0], prompt, params)
            sessions += [engine.fork(sessions[0], 1)] if fork else []
            begun = np.concatenate([prompt, turn.ids])
            both = (branch(session, begun, turn.logprobs, seed) for seed, session in enumerate(sessions))
            return list(await asyncio.gather(*both))
        finally:
            for session in sessions:
                engine.release(session)

    try:
        branches = asyncio.run(play())
    except AgentrlError as error:
        raise ModelError(
            f"the engine cannot sample from the policy ({error}); choose another model or engine"
        ) from error
    return Probe([ids for ids, _ in branches], [said for _, said in branches])


def random_probe(prompt: NDArray[np.int32], vocab_size: int) -> Probe:
    """Return sequences that no engine sampled."""
    rng = generator(0, "soundness", "random")
    sequences = [np.concatenate([prompt, rng.integers(3, vocab_size, size)]).astype(np.int32) for size in (9, 16)]
    return Probe(sequences, [np.full(len(ids) - 1, np.nan) for ids in sequences])


def prompt_of(config: Any, max_context: int) -> NDArray[np.int32]:
    """Return random ids: more than the model's windows hold, where the context does too."""
    text = config.get_text_config()
    windows = [getattr(text, name, None) for name in _WINDOWS]
    longer = [window + 8 for window in windows if isinstance(window, int) and window < min(max_context, _LONGEST)]
    length = min(max([_PROMPT, *longer]), max_context - 2 * _TURN - _OBSERVATION)
    return generator(0, "soundness", "prompt").integers(3, text.vocab_size, max(1, length)).astype(np.int32)


def trained_logprobs(
    model: Any, sequences: list[NDArray[np.int32]], dtype: Precision, *, merge: bool = False
) -> Scores:
    """Return the trainer's ln p of each id after the first: all sequences in one pass.

    Raises:
      ModelError: the pass fails.
    """
    samples = [_sample(ids) for ids in sequences]
    try:
        with torch.no_grad():
            logprobs_A, _ = score(model, pack(samples, next(model.parameters()).device, merge=merge), 1.0, dtype)
    except AgentrlError:
        raise
    except Exception as error:  # foreign code, given what it does not expect
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise ModelError(
            f"{type(model).__name__} cannot compute packed sequences ({reason}): its attention does not go through "
            "transformers' attention interface; choose another model"
        ) from error
    return np.split(logprobs_A.double().cpu().numpy(), np.cumsum([len(ids) - 1 for ids in sequences])[:-1])


def check_trainer(model: Any, probe: Probe, dtype: Precision = "float32", *, merges: bool = True) -> float:
    """Compare the trainer's passes over the packed, and with ``merges`` the merged, probe with the model's own forward.

    Returns:
      The largest difference in float32, nats.

    Raises:
      ModelError: they differ by more than :data:`TOLERANCE`; or on average, in bfloat16, and by more than the noise of
        that.
    """
    own = [plain_logprobs(model, ids) for ids in probe.sequences]
    tolerance, worst = TOLERANCE.get(next(model.parameters()).device.type, TOLERANCE["cuda"]), 0.0
    for merge in (False, True)[: 1 + merges]:
        found = largest(trained_logprobs(model, probe.sequences, "float32", merge=merge), own)
        kind = "merged (update.merge_prefixes)" if merge else "packed"
        _refuse_above(tolerance, found, model, f"the trainer's log-probs of two {kind}")
        worst = max(worst, found)
        if dtype == "bfloat16":
            half = [plain_logprobs(model, ids, autocast=True) for ids in probe.sequences]
            found = mean(trained_logprobs(model, probe.sequences, dtype, merge=merge), own)
            _refuse_above(
                tolerance + _noise(half, own), found, model, f"the trainer's bfloat16 log-probs of two {kind}"
            )
    return worst


def check_engine(model: Any, served: Any, probe: Probe, dtype: Precision, tolerance: float | None = None) -> float:
    """Compare what the engine reported of its own tokens with the model's own forward pass.

    Args:
      model: the policy, in float32.
      served: the model that the engine computes with; None of an engine that has another implementation.
      probe: what it sampled.
      dtype: that it computes in.
      tolerance: in place of :data:`TOLERANCE`.

    Returns:
      The mean difference, nats a token.

    Raises:
      ModelError: it is more than allowed.
    """
    own = [plain_logprobs(model, ids) for ids in probe.sequences]
    allowed = tolerance or TOLERANCE.get(next(model.parameters()).device.type, TOLERANCE["cuda"])
    if dtype == "bfloat16":
        half = [plain_logprobs(served or model, ids, autocast=served is None) for ids in probe.sequences]
        allowed += _noise(half, own)
    found = mean(probe.reported, own)
    _refuse_above(allowed, found, model, "the engine's log-probs (on average) of its turns in two")
    return found


def check_soundness(
    model: Any,
    engine: Engine,
    *,
    max_context: int,
    served: Any = None,
    trained: Precision | None = "float32",
    sampled: Precision = "float32",
    merges: bool = True,
    fork: bool = True,
    tolerance: float | None = None,
) -> dict[str, float]:
    """Compare trainer and engine with the model's own forward pass.

    Args:
      model: the policy, in float32.
      engine: samples from it.
      max_context: most tokens of a sequence.
      served: see :func:`check_engine`.
      trained: what the trainer computes in; None where nothing is trained.
      sampled: what the engine computes in.
      merges: the trainer merges sequences that begin alike.
      fork: the engine can hold two sessions.
      tolerance: see :func:`check_engine`.

    Returns:
      "trainer", the largest difference, and "engine", the mean one, in nats.

    Raises:
      ModelError: one of them computes something else, or cannot compute the model.
    """
    if trained is not None:
        refuse_unsupported(model.config, max_context)
    vocab_size = model.config.get_text_config().vocab_size
    prompt = prompt_of(model.config, max_context)
    probe = sampled_probe(engine, prompt, vocab_size, fork=fork)
    found = {"engine": check_engine(model, served, probe, sampled, tolerance)}
    if trained is not None:
        pair = probe if fork else random_probe(prompt, vocab_size)
        found["trainer"] = check_trainer(model, pair, trained, merges=merges)
    return found


def largest(found: Scores, expected: Scores) -> float:
    """Return the largest absolute difference."""
    return max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))


def mean(found: Scores, expected: Scores) -> float:
    """Return the mean absolute difference where both are known."""
    return float(np.nanmean(np.abs(np.concatenate(found) - np.concatenate(expected))))


def _noise(half: Scores, own: Scores) -> float:
    return max(NOISE_FACTOR * mean(half, own), NOISE_FLOOR)


def _sample(ids: NDArray[np.int32]) -> Sample:
    """Return a training sequence of which every token is scored."""
    size = len(ids)
    zeros, rows = np.zeros(size, np.float32), np.zeros(size, np.int64)
    sequence = TokenSequence(ids, np.ones(size, bool), zeros, zeros, rows.astype(np.int32))
    return Sample(sequence, np.ones(size), rows, zeros)


def _refuse_above(allowed: float, found: float, model: Any, what: str) -> None:
    if not found <= allowed:
        raise ModelError(
            f"{what} sequences differ from {type(model).__name__}'s own forward pass by {found:.2g} nats, more than "
            f"{allowed:.2g}: it computes something that is not reproduced here (docs/models.md); choose another model"
        )
