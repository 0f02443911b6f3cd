import math

import pytest
import torch
from tokens import random_tokens, slope
from torch.testing import assert_close

from agentrl.errors import ConfigError
from agentrl.losses import aepo, aggregate, entropy_aware_advantages, top_tokens

F64 = torch.float64


def test_golden_entropy_aware_advantages():
    # entropies 1, 2, 3: z = -1, 0, 1
    result = entropy_aware_advantages(torch.tensor([1.0, 2.0, -3.0, 9.0]), torch.tensor([1.0, 2.0, 3.0, torch.nan]),
                                      torch.tensor([True, True, True, False]))  # fmt: skip
    assert_close(result, torch.tensor([0.8, 2.0, -3.6, 0.0]))


@pytest.mark.parametrize("dialect", ["safe", "authors"])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(seed, dialect):
    batch = random_tokens(seed)
    entropies = torch.rand(24, generator=torch.Generator().manual_seed(seed), dtype=F64)
    inside = entropies[batch.mask]
    factor = 1 + 0.2 * (entropies - inside.mean()) / inside.std()
    expected = torch.where(batch.mask, batch.advantages * factor, 0.0)
    assert_close(entropy_aware_advantages(*batch[2:3], entropies, batch.mask, dialect=dialect), expected)


def test_the_code_gives_nan_for_one_token_and_amplifies_rounding():
    one = torch.tensor([2.0])
    assert entropy_aware_advantages(one, one, dialect="authors").isnan().all()
    assert_close(entropy_aware_advantages(one, one), one)
    # 0.7 in float32: the mean of many is not the value itself
    ones, flat = torch.ones(1000), torch.full((1000,), 0.7)
    flat[0] += 1e-7
    assert (entropy_aware_advantages(ones, flat, dialect="authors") - 1).abs().max() > 0.01
    assert_close(entropy_aware_advantages(ones, flat), ones, rtol=0, atol=0)


def test_no_sign_is_ever_changed():
    entropies = torch.tensor([10.0] * 99 + [0.0])  # z = -9.9
    ones = torch.ones(100)
    assert entropy_aware_advantages(ones, entropies).min() == 0.0
    assert entropy_aware_advantages(ones, entropies, dialect="authors").min() < 0.0


def test_scale_and_shift_of_entropy_do_not_matter():
    batch = random_tokens(1)
    entropies = torch.rand(24, generator=torch.Generator().manual_seed(0), dtype=F64)
    one, other = (entropy_aware_advantages(batch.advantages, x, batch.mask) for x in (entropies, 3 * entropies + 1))
    assert_close(one, other)


def literal_slope(log_ratio: float, advantage: float, low: float = 0.8, high: float = 1.2, dual: float = 3.0) -> float:
    """d loss / d log π of one token, case by case, as the public code's autograd gives it."""
    ratio = math.exp(log_ratio)
    if advantage > 0:
        return -advantage * min(ratio, high)
    return 0.0 if ratio < low or ratio > dual else -advantage * ratio


@pytest.mark.parametrize("dialect", ["safe", "authors"])
@pytest.mark.parametrize("seed", range(4))
def test_aepo_gradients_case_by_case(seed, dialect):
    batch = random_tokens(seed, spread=1.0)
    entropies = torch.rand(24, generator=torch.Generator().manual_seed(seed), dtype=F64)
    inside = entropies[batch.mask]
    loss_L, metrics = aepo(
        batch.logprobs, batch.old, batch.advantages, batch.mask, entropies=entropies, dialect=dialect
    )
    scaled = (batch.advantages * (1 + 0.2 * (entropies - inside.mean()) / inside.std())).tolist()
    log_ratio = (batch.logprobs - batch.old).tolist()
    expected = [
        literal_slope(*pair) if kept else 0.0 for *pair, kept in zip(log_ratio, scaled, batch.mask, strict=True)
    ]
    count = int(batch.mask.sum())
    assert_close(slope(aggregate(loss_L, batch.mask), batch.logprobs), torch.tensor(expected, dtype=F64) / count)
    above = [kept and r > math.log(1.2) and a > 0 for r, a, kept in zip(log_ratio, scaled, batch.mask, strict=True)]
    assert metrics["clip_fraction_high"].item() == pytest.approx(sum(above) / count), "though they have a gradient"


@pytest.mark.parametrize("log_ratio", [200.0, -200.0])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_the_code_is_nan_where_a_ratio_leaves_float32(log_ratio, advantage):
    old = torch.tensor([-1.0, -1.0])
    logprobs = torch.tensor([-1.0, -1.0 + log_ratio], requires_grad=True)
    mask = torch.tensor([True, False])
    advantages = torch.tensor([1.0, advantage])
    for kept in (mask, ~mask):
        theirs, _ = aepo(logprobs, old, advantages, kept, dialect="authors")
        assert theirs.sum().isnan() and not slope(theirs, logprobs)[1].isfinite()
        ours, _ = aepo(logprobs, old, advantages, kept)
        assert ours.isfinite().all() and slope(ours, logprobs).isfinite().all()


def test_one_token_makes_the_code_nan():
    logprobs = torch.tensor([-1.0], requires_grad=True)
    arguments = (logprobs, torch.tensor([-1.1]), torch.ones(1))
    assert aepo(*arguments, entropies=torch.ones(1), dialect="authors").loss_L.isnan().all()
    assert_close(aepo(*arguments, entropies=torch.ones(1)).loss_L, aepo(*arguments).loss_L)


@pytest.mark.parametrize("length", [0, 4])
def test_no_token(length):
    nothing = torch.zeros(length, dtype=torch.bool)
    values = torch.full((length,), torch.nan)
    assert_close(entropy_aware_advantages(values, values, nothing), torch.zeros(length))
    assert not top_tokens(values, values, nothing, share=0.5).any()


def test_golden_top_tokens():
    advantages = torch.tensor([1.0, -3.0, 2.0, 0.0, 5.0])
    entropies = torch.tensor([1.0, 1.0, 0.1, 9.0, 9.0])
    mask = torch.tensor([True, True, True, True, False])
    assert top_tokens(advantages, entropies, mask, share=0.5).tolist() == [True, True, False, False, False]
    assert top_tokens(advantages, entropies, mask, share=0.01).tolist() == [False, True, False, False, False]
    assert top_tokens(advantages, entropies, mask, share=1.0).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("seed", range(4))
def test_top_tokens_are_those_of_a_sort(seed):
    batch = random_tokens(seed)
    entropies = torch.rand(24, generator=torch.Generator().manual_seed(seed), dtype=F64)
    weight = (batch.advantages.abs() * entropies).tolist()
    inside = sorted((token for token in range(24) if batch.mask[token]), key=lambda token: -weight[token])
    chosen = top_tokens(batch.advantages, entropies, batch.mask, share=0.4)
    assert chosen.nonzero()[:, 0].tolist() == sorted(inside[: int(0.4 * len(inside))])


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match=r"share is 1\.5"):
        top_tokens(torch.ones(1), torch.ones(1), share=1.5)
    with pytest.raises(ConfigError, match="dialect is 'paper'"):
        entropy_aware_advantages(torch.ones(1), torch.ones(1), dialect="paper")
