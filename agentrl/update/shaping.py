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
from agentrl.update.batch import Sample
from agentrl.update.token_roles import mark_uncertainty, weigh_decisions


def shape_tokens(samples: Sequence[Sample], loss: LossSettings) -> list[Sample]:
    """Return the samples as the loss wants their tokens: entropy-aware advantages, decisions apart, uncertainty marked.

    Advantages are NaN at the tokens that are left out; empty samples are dropped.

    Statistics are over all samples given, with the entropies that the sampler recorded. Differs
    from AEPO (arXiv:2510.14545), which takes the current policy's entropies and the statistics of a micro-batch.
    """
    samples = _shape_entropies(samples, loss) if loss.entropy_advantage or loss.token_share < 1.0 else list(samples)
    if loss.decision_coef is not None:
        samples = weigh_decisions(samples, loss.decision_coef)
    return samples if loss.uncertainty_pivot is None else mark_uncertainty(samples, loss.uncertainty_pivot)


def _shape_entropies(samples: Sequence[Sample], loss: LossSettings) -> list[Sample]:
    own = [(sample.advantages_L, sample.sequence.entropies_L, np.isfinite(sample.advantages_L)) for sample in samples]
    none = np.zeros(0)
    columns = (
        np.concatenate([none, *(advantages_L[scored_L] for advantages_L, _, scored_L in own)]),
        np.concatenate([none, *(entropies_L[scored_L] for _, entropies_L, scored_L in own)]),
    )
    shaped_A = _shaped(torch.as_tensor(columns[0]), torch.as_tensor(columns[1]), loss).numpy()
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
