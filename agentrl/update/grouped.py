"""Losses over groups in the update: from mean log-probs of episodes to what is wanted of each token.

Axis suffixes: ``_I`` episodes, ``_L`` tokens of a sample.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentrl.algorithms.base import LossSettings
from agentrl.losses import Members, group_gradient
from agentrl.update import distributed
from agentrl.update.batch import Sample

FloatL = NDArray[np.float32]


class _Episode(NamedTuple):
    """Sums over the scored tokens of an episode."""

    group: str
    earned: float
    tokens: int
    logprobs: float
    old_logprobs: float
    ref_logprobs: float


def weigh_groups(
    samples: Sequence[Sample],
    logprobs: Sequence[FloatL],
    ref_logprobs: Sequence[FloatL] | None,
    loss: LossSettings,
    most_tokens: int,
) -> list[Sample]:
    """Return the samples with advantages whose policy gradient, averaged over tokens, is the loss's over groups.

        A_t = -(d loss / d s_i) · tokens / tokens_i,   s_i the mean log-prob of the episode i of token t

    and "tokens" those of all samples of all processes, so that the token mean of -A log π has the gradient of the loss.
    Groups may be spread over processes; each process must call this, with or without samples.

    Args:
      samples: of whole groups; the advantage of a token is its episode's return.
      logprobs: log-prob of each token under the policy as it is, a row per sample.
      ref_logprobs: the same of the reference policy, None without one.
      loss: with the name and the options of a loss over groups.
      most_tokens: that an episode can have sampled.
    """
    episodes = _episodes(samples, logprobs, ref_logprobs)
    parts = distributed.gather(list(episodes.values()))
    before = sum(map(len, parts[: distributed.rank()]))
    everyone = [episode for part in parts for episode in part]
    assert loss.group_loss is not None, "the caller looked"
    members = _members(everyone, most_tokens, has_reference=ref_logprobs is not None)
    pull_I = group_gradient(loss.group_loss, members, **loss.group_options).numpy()
    tokens = sum(episode.tokens for episode in everyone)
    wanted = {
        name: -float(pull_I[number]) * tokens / episode.tokens
        for number, (name, episode) in enumerate(episodes.items(), before)
    }
    return [
        replace(sample, advantages_L=np.where(np.isfinite(sample.advantages_L), wanted[sample.trajectory], np.nan))
        for sample in samples
    ]


def _episodes(
    samples: Sequence[Sample], logprobs: Sequence[FloatL], ref_logprobs: Sequence[FloatL] | None
) -> dict[str, _Episode]:
    """Return the sums of each episode, whose tokens may lie in several samples."""
    episodes: dict[str, _Episode] = {}
    for number, sample in enumerate(samples):
        scored_L = np.isfinite(sample.advantages_L)
        rows = (logprobs[number], sample.old_logprobs_L, ref_logprobs[number] if ref_logprobs else logprobs[number])
        past = episodes.get(sample.trajectory)
        earned, tokens = float(sample.advantages_L[scored_L][0]), int(scored_L.sum())
        sums = [float(row_L[scored_L].sum(dtype=np.float64)) for row_L in rows]
        if past is not None:
            tokens += past.tokens
            sums = [one + other for one, other in zip(sums, past[3:], strict=True)]
        episodes[sample.trajectory] = _Episode(sample.group, earned, tokens, *sums)
    return episodes


def _members(episodes: Sequence[_Episode], most_tokens: int, *, has_reference: bool) -> Members:
    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    number_of = {name: number for number, name in enumerate(sorted({episode.group for episode in episodes}))}
    tokens_I = column([float(episode.tokens) for episode in episodes])
    return Members(
        logprobs_I=(column([episode.logprobs for episode in episodes]) / tokens_I).requires_grad_(),
        old_logprobs_I=column([episode.old_logprobs for episode in episodes]) / tokens_I,
        ref_logprobs_I=column([episode.ref_logprobs for episode in episodes]) / tokens_I if has_reference else None,
        returns_I=column([episode.earned for episode in episodes]),
        tokens_I=tokens_I,
        group_I=torch.tensor([number_of[episode.group] for episode in episodes], dtype=torch.int64),
        most_tokens=most_tokens,
    )
