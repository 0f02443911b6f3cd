"""Decisions averaged apart, and the uncertainty of tokens, over an iteration."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agentrl.algorithms.base import LossSettings
from agentrl.losses import decision_weights, relative_uncertainty
from agentrl.update.batch import Sample, pack
from agentrl.update.shaping import shape_tokens
from agentrl.update.token_roles import is_decision
from tests.agentrl.update.samples import NAN, samples


@pytest.fixture
def batch() -> list[Sample]:
    return samples([1.0, -0.5, 2.0], [NAN, 0.25], [-1.5], [0.7, 0.1, -0.2, 0.4])


def test_a_decision_is_the_first_token_of_a_turn_that_is_scored(batch: list[Sample]) -> None:
    # three tokens of prompt, then two of each turn
    np.testing.assert_array_equal(np.flatnonzero(is_decision(batch[0])), [3, 5, 7])
    np.testing.assert_array_equal(np.flatnonzero(is_decision(batch[1])), [5])
    assert sum(is_decision(sample).sum() for sample in batch) == 9


def test_the_token_mean_averages_decisions_apart(batch: list[Sample]) -> None:
    """With a loss per token proportional to the advantage, the mean of all is α · mean + mean."""
    loss = np.random.Generator(np.random.PCG64(0)).random(100)
    plain = np.concatenate([sample.advantages_L for sample in batch])
    decides = np.concatenate([is_decision(sample) for sample in batch])
    scored = np.isfinite(plain)
    shaped = shape_tokens(batch, LossSettings(decision_coef=0.3))
    scaled = np.concatenate([sample.advantages_L for sample in shaped])
    cost = loss[: len(plain)]
    expected = 0.3 * (plain * cost)[decides].mean() + (plain * cost)[scored & ~decides].mean()
    assert (scaled * cost)[scored].mean() == pytest.approx(expected)
    np.testing.assert_array_equal(np.isfinite(scaled), scored)
    weight = decision_weights(torch.as_tensor(scored), torch.as_tensor(decides), coefficient=0.3, dtype=torch.float64)
    assert (weight.numpy()[scored] * (plain * cost)[scored]).sum() == pytest.approx(expected)


def test_turns_of_one_token_are_all_decisions(batch: list[Sample]) -> None:
    single = [replace(one, rows_L=np.where(one.rows_L >= 0, np.arange(len(one)), -1)) for one in batch]
    shaped = shape_tokens(single, LossSettings(decision_coef=0.5))
    for one, other in zip(shaped, batch, strict=True):
        np.testing.assert_allclose(one.advantages_L, 0.5 * other.advantages_L)


def test_uncertainty_reaches_the_batch(batch: list[Sample]) -> None:
    marked = shape_tokens(batch, LossSettings(kind="hapo", uncertainty_pivot=0.8))
    packed = pack(marked)
    entropies = np.concatenate([s.sequence.entropies_L[np.isfinite(s.advantages_L)] for s in batch])
    expected = relative_uncertainty(torch.as_tensor(entropies), pivot=0.8)
    torch.testing.assert_close(packed.uncertainty_A, expected)
    assert expected.max() == 1 and expected.min() == -1
    assert pack(batch).uncertainty_A.abs().max() == 0, "nobody asked"
