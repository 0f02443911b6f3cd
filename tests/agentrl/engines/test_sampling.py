"""Sampling by inversion: hand numbers, brute force and frequencies."""

import numpy as np
import pytest
import torch

from agentrl.engines.sampling import Mix, Sampled, sample
from agentrl.seeding import generator

DRAWN = Mix(greedy=False, drawn=True, nucleus=False)


def draw(
    probs: list[float], uniforms: list[float], *, temperature: float = 1.0, top_p: float = 1.0, mix: Mix = DRAWN
) -> Sampled:
    rows = len(uniforms)
    logits = torch.tensor(probs).log().expand(rows, -1)
    return sample(logits, torch.full((rows,), temperature), torch.full((rows,), top_p), torch.tensor(uniforms), mix)


def test_inverts_the_cumulative_distribution() -> None:
    got = draw([0.25, 0.5, 0.25], [0.0, 0.2, 0.3, 0.7, 0.8, 1 - 2**-24])
    assert got.ids_B.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(got.logprobs_B.exp(), [0.25, 0.25, 0.5, 0.5, 0.25, 0.25], rtol=1e-6)
    np.testing.assert_allclose(got.entropies_B, 1.5 * np.log(2), rtol=1e-6)


def test_temperature_scales_what_is_reported() -> None:
    got = draw([0.2, 0.8], [0.1], temperature=0.5)  # squares: 0.04 and 0.64 of 0.68
    assert got.ids_B.tolist() == [1]
    p = 0.64 / 0.68
    np.testing.assert_allclose(got.logprobs_B, np.log(p), rtol=1e-5)
    np.testing.assert_allclose(got.entropies_B, -(p * np.log(p) + (1 - p) * np.log(1 - p)), rtol=1e-5)


def test_greedy_reports_temperature_one() -> None:
    for mix in (Mix(True, False, False), Mix(True, True, False)):
        got = draw([0.2, 0.5, 0.3], [0.99], temperature=0.0, mix=mix)
        assert got.ids_B.tolist() == [1]
        np.testing.assert_allclose(got.logprobs_B, np.log(0.5), rtol=1e-6)


def test_nucleus_keeps_the_fewest_that_reach_top_p_and_reports_the_full_distribution() -> None:
    uniforms = np.linspace(0, 0.999, 50, dtype=np.float32).tolist()
    mix = Mix(False, True, True)
    probs = [0.1, 0.4, 0.2, 0.3]
    for top_p, kept in ((0.39, {1}), (0.5, {1, 3}), (0.75, {1, 3, 2}), (0.95, {0, 1, 2, 3})):
        got = draw(probs, uniforms, top_p=top_p, mix=mix)
        assert set(got.ids_B.tolist()) == kept
        np.testing.assert_allclose(got.logprobs_B.exp(), np.array(probs)[got.ids_B], rtol=1e-5)


def test_rows_without_nucleus_are_not_touched_by_one_that_has_it() -> None:
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log().expand(2, -1)
    args = torch.ones(2), torch.tensor([0.5, 1.0]), torch.tensor([0.05, 0.05])
    assert sample(logits, *args, Mix(False, True, True)).ids_B.tolist() == [1, 0]


@pytest.mark.parametrize(("greedy", "top_p"), [(False, 1.0), (False, 0.6), (True, 1.0)])
def test_alternatives_are_the_best_of_the_others(greedy: bool, top_p: float) -> None:
    rng = generator(1, "alternatives")
    logits = torch.from_numpy(rng.normal(size=(50, 7)) * 2)
    temperature = torch.tensor([0.0 if greedy and row % 2 else 0.7 for row in range(50)])
    uniforms = torch.from_numpy(rng.random(50, dtype=np.float32))
    mix = Mix(greedy=greedy, drawn=True, nucleus=top_p < 1, alternatives=True)
    got = sample(logits, temperature, torch.full((50,), top_p), uniforms, mix)
    assert got.alternative_ids_B is not None and got.alternative_logprobs_B is not None
    ranks = set()
    for row in range(50):
        logprobs = torch.log_softmax(logits[row] / (temperature[row] or 1.0), 0)
        order = logprobs.argsort(descending=True).tolist()
        said = int(got.ids_B[row])
        ranks.add(order.index(said))
        other = next(token for token in order if token != said)
        assert int(got.alternative_ids_B[row]) == other
        assert float(got.alternative_logprobs_B[row]) == pytest.approx(float(logprobs[other]), abs=1e-5)
    assert len(ranks) > (2 if top_p == 1 else 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_frequencies_follow_the_distribution(dtype: torch.dtype) -> None:
    rng = generator(0, "frequencies")
    count = 40_000
    logits = torch.from_numpy(rng.normal(size=20)).to(dtype)
    uniforms = torch.from_numpy(rng.random(count, dtype=np.float32))
    got = sample(logits.expand(count, -1), torch.ones(count), torch.ones(count), uniforms, DRAWN)
    probs = torch.softmax(logits.double(), 0)
    observed = torch.bincount(got.ids_B, minlength=20) / count
    # Five standard errors of each frequency.
    assert ((observed - probs).abs() < 5 * (probs * (1 - probs) / count).sqrt()).all()


def test_impossible_tokens_are_never_drawn() -> None:
    got = draw([1e-30, 1.0, 1e-30], [0.0, 0.5, 1 - 2**-24])
    assert got.ids_B.tolist()[1:] == [1, 1]
