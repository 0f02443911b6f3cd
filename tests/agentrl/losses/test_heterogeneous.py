"""HAPO: uncertainty of tokens, and the loss that follows it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokens import random_tokens, slope

from agentrl import losses
from agentrl.errors import ConfigError


def test_uncertainty_golden() -> None:
    entropies = torch.tensor([1.0, math.e**2, math.e**3, math.e, math.e**5], dtype=torch.float64)
    # logs 0, 2, 3, 1, 5; the quantile 3/4 is 3
    h = losses.relative_uncertainty(entropies, pivot=0.75)
    torch.testing.assert_close(h, torch.tensor([-1.0, -1 / 3, 0.0, -2 / 3, 1.0], dtype=torch.float64))
    mask = torch.tensor([True, False, True, True, False])
    h = losses.relative_uncertainty(entropies, mask, pivot=0.5)  # logs 0, 3, 1: the median is 1
    torch.testing.assert_close(h, torch.tensor([-1.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64))


@given(entropies=st.lists(st.floats(0, 10), max_size=30), pivot=st.floats(0, 1), factor=st.floats(0.5, 2))
def test_uncertainty_is_in_range_ordered_and_without_unit(entropies: list[float], pivot: float, factor: float) -> None:
    entropy = torch.tensor(entropies, dtype=torch.float64).clamp(min=1e-3)
    h = losses.relative_uncertainty(entropy, pivot=pivot)
    assert h.isfinite().all() and (h.abs() <= 1 + 1e-12).all()
    order = entropy.argsort()
    assert (h[order].diff() >= -1e-12).all()
    if len(entropy) and entropy.max() > 1.001 * entropy.min():
        # the ends are where they belong, unless the pivot lies on them or a hair's breadth from them
        scaled = losses.relative_uncertainty(entropy * factor, pivot=pivot)
        above = entropy.log() - entropy.log().quantile(pivot)
        clear = above.abs() > 1e-6
        assert (torch.sign(h) == torch.sign(above))[clear].all()
        if clear.all():
            torch.testing.assert_close(scaled, h, atol=1e-6, rtol=0)


def test_equal_entropies_say_nothing() -> None:
    assert losses.relative_uncertainty(torch.full((5,), 0.3)).abs().max() == 0
    assert losses.relative_uncertainty(torch.zeros(3)).abs().max() == 0, "no entropy at all"
    assert len(losses.relative_uncertainty(torch.zeros(0))) == 0


@pytest.mark.parametrize("seed", range(3))
def test_without_uncertainty_it_is_ppo(seed: int) -> None:
    tokens = random_tokens(seed)
    ppo, _ = losses.policy_loss(tokens.logprobs, tokens.old, tokens.advantages, tokens.mask, dual_clip=10.0)
    h = torch.rand_like(tokens.old) * 2 - 1
    for options in ({}, {"uncertainty": h, "redistribution": 0.0, "widening": 0.0}):
        ours, _ = losses.hapo(tokens.logprobs, tokens.old, tokens.advantages, tokens.mask, **options)  # type: ignore[arg-type]
        torch.testing.assert_close(ours, ppo, rtol=0, atol=0)


def by_hand(ratio: float, advantage: float, h: float, alpha: float, beta: float) -> float:
    low = 0.2 * (1 + alpha * max(0.0, -h))
    high = 0.2 * (1 + alpha * max(0.0, h))
    inside = 1 - low / 2 < ratio < 1 + high / 2
    if h > 0:
        shaped = advantage if inside else advantage * (1 + beta * h)
    else:
        shaped = advantage * (1 + beta * h) if inside else advantage
    loss = max(-ratio * shaped, -min(max(ratio, 1 - low), 1 + high) * shaped)
    return min(loss, -10.0 * shaped) if shaped < 0 else loss


def test_the_neutral_zone_is_that_of_the_widened_clip() -> None:
    # h = 1 widens 1 + 0.2 to 1 + 0.4: a ratio of 1.15 is still near, and A stays 1 (outside it would be 2)
    logprobs = torch.tensor([1.15, 1.25, 0.85, 0.75], dtype=torch.float64).log()
    h = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    loss, _ = losses.hapo(logprobs, torch.zeros_like(h), torch.ones_like(h), uncertainty=h)
    torch.testing.assert_close(loss, torch.tensor([-1.15, -2.5, 0.0, -0.75], dtype=torch.float64))


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 0.25), (0.0, 1.0), (2.0, 0.0)])
def test_brute_force(alpha: float, beta: float) -> None:
    tokens = random_tokens(7, length=96, spread=0.3)
    rng = torch.Generator().manual_seed(1)
    h = torch.rand(96, generator=rng, dtype=torch.float64) * 2 - 1
    loss, _ = losses.hapo(
        tokens.logprobs, tokens.old, tokens.advantages, uncertainty=h, redistribution=beta, widening=alpha
    )
    ratios = (tokens.logprobs - tokens.old).exp().tolist()
    expected = [
        by_hand(ratio, advantage, at, alpha, beta)
        for ratio, advantage, at in zip(ratios, tokens.advantages.tolist(), h.tolist(), strict=True)
    ]
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))


def test_certain_tokens_learn_less_near_the_old_policy_and_may_fall_further() -> None:
    logprobs = torch.tensor([0.0, 0.0, math.log(0.7), math.log(1.3)], dtype=torch.float64).requires_grad_()
    advantages = torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    h = torch.tensor([-0.5, 0.5, -1.0, 1.0], dtype=torch.float64)
    loss, _ = losses.hapo(logprobs, torch.zeros(4, dtype=torch.float64), advantages, uncertainty=h)
    pull = slope(loss, logprobs)
    torch.testing.assert_close(pull[:2], torch.tensor([-0.5, -1.0], dtype=torch.float64))
    torch.testing.assert_close(pull[2:], torch.tensor([0.7, -2.6], dtype=torch.float64))
    plain, _ = losses.policy_loss(logprobs, torch.zeros(4, dtype=torch.float64), advantages)
    assert slope(plain, logprobs)[2:].abs().max() == 0, "PPO clips both"


def test_what_is_masked_out_costs_nothing() -> None:
    nan = float("nan")
    logprobs = torch.tensor([-1.0, nan], requires_grad=True)
    loss, _ = losses.hapo(
        logprobs,
        torch.tensor([-1.5, nan]),
        torch.tensor([1.0, nan]),
        torch.tensor([True, False]),
        uncertainty=torch.tensor([0.5, nan]),
    )
    assert loss[1] == 0 and slope(loss, logprobs)[1] == 0


def test_bad_options() -> None:
    one = torch.zeros(1)
    with pytest.raises(ConfigError, match="pivot is"):
        losses.relative_uncertainty(one, pivot=1.5)
    with pytest.raises(ConfigError, match="redistribution 2"):
        losses.hapo(one, one, one, redistribution=2.0)
