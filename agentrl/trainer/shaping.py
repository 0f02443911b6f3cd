"""What a token's entropy does to its advantage, and which tokens are trained on: before the update cuts the batch.

Axis suffixes: ``_L`` tokens of a sample, ``_A`` the scored tokens of all samples.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from agentrl.algorithms.base import LossSettings
from agentrl.losses import entropy_aware_advantages, top_tokens
from agentrl.trainer import distributed
from agentrl.trainer.batch import Sample


def shape_tokens(samples: Sequence[Sample], loss: LossSettings) -> list[Sample]:
    """Return the samples with entropy-aware advantages, NaN at the tokens that are left out; empty ones are dropped.

    Statistics are over the iteration's tokens of all processes, with the entropies that the sampler recorded. Differs
    from AEPO (arXiv:2510.14545), which takes the current policy's entropies and the statistics of a micro-batch.
    """
    if not loss.entropy_advantage and loss.token_share == 1.0:
        return list(samples)
    own = [(sample.advantages_L, sample.sequence.entropies_L, np.isfinite(sample.advantages_L)) for sample in samples]
    none = np.zeros(0)
    columns = (
        np.concatenate([none, *(advantages_L[scored_L] for advantages_L, _, scored_L in own)]),
        np.concatenate([none, *(entropies_L[scored_L] for _, entropies_L, scored_L in own)]),
    )
    parts = distributed.gather(columns)
    before = sum(len(part[0]) for part in parts[: distributed.rank()])
    advantages_A, entropies_A = (torch.as_tensor(np.concatenate(column)) for column in zip(*parts, strict=True))
    shaped_A = _shaped(advantages_A, entropies_A, loss).numpy()[before : before + len(columns[0])]
    result, offset = [], 0
    for sample, (_, _, scored_L) in zip(samples, own, strict=True):
        advantages_L = np.full(len(sample), np.nan)
        advantages_L[scored_L] = shaped_A[offset : offset + sample.num_scored]
        offset += sample.num_scored
        result.append(replace(sample, advantages_L=advantages_L))
    return [sample for sample in result if sample.num_scored]


def _shaped(advantages_A: Tensor, entropies_A: Tensor, loss: LossSettings) -> Tensor:
    if loss.entropy_advantage:
        advantages_A = entropy_aware_advantages(advantages_A, entropies_A, coefficient=loss.entropy_advantage)
    if loss.token_share < 1.0 and len(advantages_A):
        kept_A = top_tokens(advantages_A, entropies_A, share=loss.token_share)
        advantages_A = torch.where(kept_A, advantages_A, torch.nan)
    return advantages_A
