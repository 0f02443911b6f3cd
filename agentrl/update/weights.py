"""What each token of a minibatch weighs in its loss: known before the minibatch is cut.

Axis suffixes: ``_S`` samples, ``_A`` scored tokens of all samples.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from agentrl.algorithms.base import LossSettings
from agentrl.losses import token_weights
from agentrl.update.batch import Sample


def weigh_samples(samples: Sequence[Sample], loss: LossSettings, most_tokens: int) -> list[Sample]:
    """Return the samples of a whole minibatch with the weight that `token_weights` gives each of their tokens.

    It is the same for all tokens of a sample. An episode, or a group, is what of it is in the minibatch: its turns may
    be samples of their own, and lie in several.

    Args:
      samples: of all processes, each with a scored token.
      loss: with its aggregation.
      most_tokens: that a sequence can have sampled; the "constant" aggregation divides by it.
    """
    count_S = torch.tensor([sample.num_scored for sample in samples])
    episode_S = _numbers([sample.trajectory for sample in samples])
    denominator = None
    if loss.aggregation == "constant":
        episodes = int(episode_S.max()) + 1
        denominator = len(samples) * most_tokens if loss.divisor is None else episodes * loss.divisor
    weight_A = token_weights(
        torch.ones(int(count_S.sum()), dtype=torch.bool),
        mode=loss.aggregation,
        denominator=denominator,
        sequence_index=torch.arange(len(samples)).repeat_interleave(count_S),
        episode_index=episode_S.repeat_interleave(count_S),
        group_index=_numbers([sample.group for sample in samples]).repeat_interleave(count_S),
        dtype=torch.float64,
    )
    first_S = count_S.cumsum(0) - count_S
    return [replace(sample, weight=weight) for sample, weight in zip(samples, weight_A[first_S].tolist(), strict=True)]


def _numbers(names: Sequence[str]) -> Tensor:
    number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([number_of[name] for name in names])
