"""What tokens are beside their turn's advantage: decisions that weigh for themselves, certain or uncertain ones.

Axis suffixes: ``_L`` tokens of a sample, ``_A`` the scored tokens of all samples.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from agentrl.losses import decision_weights, relative_uncertainty
from agentrl.update.batch import Sample


def is_decision(sample: Sample) -> NDArray[np.bool_]:
    """Return which scored tokens are the first that their turn sampled, shape (L,)."""
    before_L = np.append(-1, sample.rows_L[:-1])
    is_first_L: NDArray[np.bool_] = (sample.rows_L >= 0) & (sample.rows_L != before_L)
    return is_first_L & np.isfinite(sample.advantages_L)


def weigh_decisions(samples: Sequence[Sample], coefficient: float) -> list[Sample]:
    """Return the samples with advantages scaled so that their token mean averages decisions apart.

        mean_all(A' l) = α · mean_decisions(A l) + mean_others(A l)

    over the tokens of all samples given, for a loss that is proportional to the advantage, as the PPO family
    is. Divergence and entropy terms keep their plain mean. Paper: Thinkless (DeGRPO), arXiv:2505.13379.
    """
    roles = [is_decision(sample) for sample in samples]
    decisions, tokens = sum(int(role_L.sum()) for role_L in roles), sum(sample.num_scored for sample in samples)
    result = []
    for sample, role_L in zip(samples, roles, strict=True):
        weight_L = tokens * decision_weights(
            torch.as_tensor(np.isfinite(sample.advantages_L)),
            torch.as_tensor(role_L),
            coefficient=coefficient,
            num_decisions=max(1, decisions),
            num_others=max(1, tokens - decisions),
            dtype=torch.float64,
        )
        result.append(replace(sample, advantages_L=sample.advantages_L * weight_L.numpy()))
    return result


def mark_uncertainty(samples: Sequence[Sample], pivot: float) -> list[Sample]:
    """Return the samples with the relative uncertainty of each scored token among those of all samples given.

    The entropies are those that the sampler recorded. See `agentrl.losses.relative_uncertainty`.
    """
    scored = [np.isfinite(sample.advantages_L) for sample in samples]
    own = [sample.sequence.entropies_L[scored_L] for sample, scored_L in zip(samples, scored, strict=True)]
    entropies_A = torch.as_tensor(np.concatenate([np.zeros(0, np.float32), *own]))
    uncertainty_A = relative_uncertainty(entropies_A, pivot=pivot).numpy()
    result, before = [], 0
    for sample, scored_L in zip(samples, scored, strict=True):
        uncertainty_L = np.zeros(len(sample), np.float32)
        uncertainty_L[scored_L] = uncertainty_A[before : before + sample.num_scored]
        before += sample.num_scored
        result.append(replace(sample, uncertainty_L=uncertainty_L))
    return result
