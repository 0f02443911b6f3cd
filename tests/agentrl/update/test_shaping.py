"""Entropy-aware advantages and decisive tokens over an iteration."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agentrl.algorithms.base import LossSettings
from agentrl.losses import entropy_aware_advantages, top_tokens
from agentrl.update.batch import Sample
from agentrl.update.shaping import shape_tokens
from tests.agentrl.update.samples import NAN, samples


@pytest.fixture
def batch() -> list[Sample]:
    return samples([1.0, -0.5, 2.0], [NAN, 0.25], [-1.5], [0.7, 0.1, -0.2, 0.4])


def scored(batch: list[Sample]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Return advantages and entropies of the scored tokens."""
    masks = [np.isfinite(sample.advantages_L) for sample in batch]
    advantages = np.concatenate([sample.advantages_L[mask] for sample, mask in zip(batch, masks, strict=True)])
    entropies = np.concatenate([sample.sequence.entropies_L[mask] for sample, mask in zip(batch, masks, strict=True)])
    return advantages, entropies.astype(np.float64)


def test_nothing_asked_nothing_done(batch: list[Sample]) -> None:
    assert all(one is other for one, other in zip(shape_tokens(batch, LossSettings()), batch, strict=True))
    assert shape_tokens([], LossSettings(token_share=0.5, entropy_advantage=0.2)) == []


def test_advantages_follow_entropy_over_the_whole_iteration(batch: list[Sample]) -> None:
    advantages, entropies = scored(batch)
    z = (entropies - entropies.mean()) / entropies.std(ddof=1)
    shaped = shape_tokens(batch, LossSettings(entropy_advantage=0.3))
    np.testing.assert_allclose(scored(shaped)[0], advantages * (1 + 0.3 * z), rtol=1e-9)
    library = entropy_aware_advantages(torch.as_tensor(advantages), torch.as_tensor(entropies), coefficient=0.3)
    np.testing.assert_allclose(scored(shaped)[0], library.numpy(), rtol=1e-9)


def test_only_decisive_tokens_are_left(batch: list[Sample]) -> None:
    advantages, entropies = scored(batch)
    shaped = shape_tokens(batch, LossSettings(token_share=0.2))
    expected = top_tokens(torch.as_tensor(advantages), torch.as_tensor(entropies), share=0.2).numpy()
    assert sum(sample.num_scored for sample in shaped) == expected.sum() == int(0.2 * len(advantages))
    np.testing.assert_array_equal(np.sort(scored(shaped)[0]), np.sort(advantages[expected]))
    assert len(shaped) < len(batch) and all(sample.num_scored for sample in shaped), "empty samples are dropped"


def test_samples_are_not_changed_in_place(batch: list[Sample]) -> None:
    before = [replace(sample, advantages_L=sample.advantages_L.copy()) for sample in batch]
    shape_tokens(batch, LossSettings(entropy_advantage=0.2, token_share=0.3))
    for one, other in zip(batch, before, strict=True):
        np.testing.assert_array_equal(one.advantages_L, other.advantages_L)
