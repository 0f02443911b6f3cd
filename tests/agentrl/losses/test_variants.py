import math

import pytest
import torch
from tokens import random_tokens, slope
from torch.testing import assert_close

from agentrl.errors import ConfigError
from agentrl.losses import aepo, aggregate, cispo, gspo, loop, policy_loss, sapo

F64 = torch.float64


def one_token(loss, ratio, advantage, **options):
    logprobs = torch.tensor([math.log(ratio)], dtype=F64, requires_grad=True)
    result = loss(logprobs, torch.zeros(1, dtype=F64), torch.tensor([advantage], dtype=F64), **options)
    return result.loss_L.item(), slope(result.loss_L, logprobs).item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "gradient"),
    [(1.3, 1.0, -1.2), (0.01, 1.0, -0.01), (0.01, -1.0, 0.01), (9.0, -1.0, 1.2)],
)
def test_golden_cispo(ratio, advantage, gradient):
    assert one_token(cispo, ratio, advantage)[1] == pytest.approx(gradient)


@pytest.mark.parametrize(
    ("ratio", "advantage", "gradient"),
    # bounds 1/1.1 = 0.909 and 1.1; no dual clip
    [(1.09, 1.0, -1.09), (1.11, 1.0, 0.0), (0.92, -1.0, 0.92), (0.90, -1.0, 0.0), (9.0, -1.0, 9.0)],
)
def test_golden_loop(ratio, advantage, gradient):
    assert one_token(loop, ratio, advantage)[1] == pytest.approx(gradient)


def test_golden_sapo():
    # A > 0, τ = 1: 4 σ(r - 1); gradient -A 4 σ(1 - σ) r
    gate = 1 / (1 + math.exp(-1.0))
    assert one_token(sapo, 2.0, 3.0) == pytest.approx((-3 * 4 * gate, -3 * 4 * gate * (1 - gate) * 2))
    # A < 0, τ = 1.05
    gate = 1 / (1 + math.exp(-1.05))
    assert one_token(sapo, 2.0, -1.0) == pytest.approx((4 / 1.05 * gate, 4 * gate * (1 - gate) * 2))


def test_golden_gspo():
    # two tokens with log ratios 0.0004 and 0: their mean 0.0002 is inside, the token's own would be clipped
    logprobs = torch.tensor([4e-4, 0.0, 1e-3], dtype=F64, requires_grad=True)
    loss, metrics = gspo(
        logprobs, torch.zeros(3, dtype=F64), torch.ones(3, dtype=F64), sequence_index=torch.tensor([0, 0, 1])
    )
    assert_close(loss.detach(), -torch.tensor([math.exp(2e-4)] * 2 + [1.0004], dtype=F64))
    assert slope(loss, logprobs)[2] == 0.0
    assert metrics["clip_fraction_high"].item() == pytest.approx(1 / 3)


def test_gspo_is_the_sequence_formula_of_its_paper():
    batch = random_tokens(0, spread=1e-4)
    mask = torch.ones(24, dtype=torch.bool)
    advantages = torch.tensor([1.0, -1.0, 0.5, 2.0], dtype=F64)
    loss, _ = gspo(batch.logprobs, batch.old, advantages[batch.sequence], mask, sequence_index=batch.sequence)
    total = aggregate(loss, mask, mode="sequence_mean", sequence_index=batch.sequence)
    ratio = (batch.logprobs - batch.old).view(4, 6).mean(1).exp()
    direct = torch.maximum(-ratio * advantages, -ratio.clamp(1 - 3e-4, 1 + 4e-4) * advantages).mean()
    assert_close(total, direct)
    assert_close(slope(total, batch.logprobs), slope(direct, batch.logprobs))


@pytest.mark.parametrize("seed", range(4))
def test_named_losses_are_settings_of_one(seed):
    batch = random_tokens(seed, spread=1.0)
    for named, options in (
        (cispo, {"detached": True, "clip_low": None}),
        (loop, {"clip_low": 1 - 1 / 1.1, "clip_high": 0.1, "dual_clip": None}),
        (aepo, {"keep_high_gradient": True}),
    ):
        assert_close(named(*batch[:4]).loss_L, policy_loss(*batch[:4], **options).loss_L)


@pytest.mark.parametrize("loss", [cispo, loop, aepo, sapo])
def test_all_are_the_policy_gradient_where_nothing_has_moved_and_ignore_the_rest(loss):
    batch = random_tokens(1)
    logprobs = torch.where(batch.mask, batch.old, torch.nan).requires_grad_()
    result, _ = loss(logprobs, batch.old, torch.where(batch.mask, batch.advantages, torch.nan), batch.mask)
    assert_close(slope(result, logprobs), torch.where(batch.mask, -batch.advantages, 0.0))


@pytest.mark.parametrize("loss", [cispo, loop, aepo, sapo])
def test_no_token(loss):
    batch = random_tokens(1, length=0)
    assert loss(*batch[:4]).loss_L.shape == (0,)
    assert_close(loss(*random_tokens(1)[:3], torch.zeros(24, dtype=torch.bool)).loss_L.sum().item(), 0.0)


def test_sapo_wants_positive_temperatures():
    with pytest.raises(ConfigError, match="temperatures"):
        sapo(*random_tokens(0)[:4], temperature_negative=0.0)
