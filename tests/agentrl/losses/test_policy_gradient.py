import math

import pytest
import torch
from tokens import random_tokens, slope
from torch.testing import assert_close

from agentrl.errors import ConfigError
from agentrl.losses import policy_loss

F64 = torch.float64


def one_token(ratio, advantage, **options):
    """Loss and gradient of a single token at a given ratio."""
    logprobs = torch.tensor([math.log(ratio)], dtype=F64, requires_grad=True)
    result = policy_loss(logprobs, torch.zeros(1, dtype=F64), torch.tensor([advantage], dtype=F64), **options)
    return result.loss_L.item(), slope(result.loss_L, logprobs).item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.4, 0.0),  # clipped above
        (0.5, 2.0, -1.0, -1.0),
        (0.5, -1.0, 0.8, 0.0),  # clipped below
        (1.5, -1.0, 1.5, 1.5),
        (5.0, -1.0, 3.0, 0.0),  # dual clip
    ],
)
def test_golden_ppo(ratio, advantage, loss, gradient):
    assert one_token(ratio, advantage) == pytest.approx((loss, gradient))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.5, 2.0, -1.2 * 2.0 * math.log(1.5), -2.4),  # the gradient stays, its size is bounded
        (0.5, -1.0, 0.8 * math.log(0.5), 0.8),
        (5.0, -1.0, 1.2 * math.log(5.0), 1.2),
    ],
)
def test_golden_detached(ratio, advantage, loss, gradient):
    assert one_token(ratio, advantage, detached=True) == pytest.approx((loss, gradient))


@pytest.mark.parametrize(
    ("ratio", "advantage", "gradient"),
    # algorithms' own table: A r up to the bound, then A (1 + ε); negatives as in PPO with dual clip
    [(1.1, 2.0, -2.2), (1.5, 2.0, -2.4), (400.0, 2.0, -2.4), (0.5, -1.0, 0.0), (1.5, -1.0, 1.5), (5.0, -1.0, 0.0)],
)
def test_golden_kept_high_gradient(ratio, advantage, gradient):
    value, kept = one_token(ratio, advantage, keep_high_gradient=True)
    assert kept == pytest.approx(gradient)
    assert value == pytest.approx(one_token(ratio, advantage)[0])


def oracle(batch, level, low, high, dual):
    """The definition token by token, in Python floats."""
    index = {"token": range(len(batch.old)), "turn": batch.turn.tolist(), "sequence": batch.sequence.tolist()}[level]
    logs = (batch.logprobs - batch.old).tolist()
    result = []
    for token, keep in enumerate(batch.mask.tolist()):
        if not keep:
            result.append(0.0)
            continue
        mine = [logs[u] for u in range(len(logs)) if batch.mask[u] and index[u] == index[token]]
        ratio, advantage = math.exp(sum(mine) / len(mine)), batch.advantages[token].item()
        loss = max(-ratio * advantage, -min(max(ratio, 1 - low), 1 + high) * advantage)
        result.append(min(loss, -dual * advantage) if advantage < 0 else loss)
    return torch.tensor(result, dtype=F64)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("level", ["token", "turn", "sequence"])
def test_equals_the_definition(seed, level):
    batch = random_tokens(seed, spread=1.0)
    loss, _ = policy_loss(
        *batch[:4],
        ratio_level=level,
        clip_low=0.1,
        clip_high=0.3,
        dual_clip=2.0,
        sequence_index=batch.sequence,
        turn_index=batch.turn,
    )
    assert_close(loss.detach(), oracle(batch, level, 0.1, 0.3, 2.0))


@pytest.mark.parametrize("level", ["turn", "sequence"])
def test_segment_ratio_has_the_gradient_of_its_mean(level):
    """With one advantage per segment, averaging over it gives the gradient of s A with s = exp(mean log ratio)."""
    batch = random_tokens(3, spread=0.1)
    index = batch.turn if level == "turn" else batch.sequence
    advantages = torch.arange(24, dtype=F64)[index]
    count = torch.zeros(24, dtype=F64).index_add(0, index, batch.mask.to(F64)).clamp(min=1)[index]
    options = {"ratio_level": level, "clip_low": None, "clip_high": None, "dual_clip": None}
    loss, _ = policy_loss(
        batch.logprobs, batch.old, advantages, batch.mask, turn_index=index, sequence_index=index, **options
    )
    logs = torch.where(batch.mask, batch.logprobs - batch.old, 0.0)
    mean = torch.zeros(24, dtype=F64).index_add(0, index, logs / count)
    direct = -(mean.exp() * torch.arange(24, dtype=F64) * (torch.bincount(index[batch.mask], minlength=24) > 0))
    assert_close(slope(loss / count, batch.logprobs), slope(direct, batch.logprobs))


@pytest.mark.parametrize("options", [{}, {"detached": True}, {"keep_high_gradient": True}, {"ratio_level": "sequence"}])
def test_all_reduce_to_the_policy_gradient_where_nothing_has_moved(options):
    batch = random_tokens(1)
    logprobs = batch.old.clone().requires_grad_()
    loss, _ = policy_loss(logprobs, batch.old, batch.advantages, batch.mask, sequence_index=batch.sequence, **options)
    assert_close(slope(loss, logprobs), -batch.advantages * batch.mask)


def test_no_bounds_is_the_importance_weighted_gradient():
    batch = random_tokens(2)
    loss, _ = policy_loss(*batch[:4], clip_low=None, clip_high=None, dual_clip=None)
    expected = -(batch.logprobs - batch.old).exp() * batch.advantages * batch.mask
    assert_close(loss, expected)


def test_bounds_may_differ_by_token():
    batch = random_tokens(4, spread=1.0)
    bound = torch.rand(24, generator=torch.Generator().manual_seed(0), dtype=F64)
    loss, _ = policy_loss(*batch[:4], clip_low=bound / 2, clip_high=bound)
    for token in range(24):
        part = [values[token : token + 1] for values in batch[:4]]
        alone, _ = policy_loss(*part, clip_low=bound[token].item() / 2, clip_high=bound[token].item())
        assert_close(alone[0], loss[token])


def test_metrics_count_what_the_bounds_decided():
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5, 5.0, 1.0], dtype=F64)
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, 1.0], dtype=F64)
    mask = torch.tensor([True] * 5 + [False])
    _, metrics = policy_loss(ratios.log(), torch.zeros(6, dtype=F64), advantages, mask)
    for name, count in {"high": 1, "low": 1, "dual": 1}.items():
        assert metrics[f"clip_fraction_{name}"].item() == pytest.approx(count / 5)
    assert metrics["ratio_mean"].item() == pytest.approx(9 / 5)
    assert metrics["ratio_max"].item() == pytest.approx(5.0)
    logs = ratios[:5].log()
    assert metrics["approx_kl_k1"].item() == pytest.approx(-logs.mean().item())
    assert metrics["approx_kl"].item() == pytest.approx((logs.exp() - 1 - logs).mean().item())


def test_what_is_masked_out_may_be_anything():
    batch = random_tokens(5)
    clean, _ = policy_loss(*batch[:4])
    dirty = [torch.where(batch.mask, values, torch.nan).detach() for values in batch[:3]]
    dirty[0].requires_grad_()
    loss, metrics = policy_loss(*dirty, batch.mask)
    assert_close(loss, clean)
    assert_close(slope(loss, dirty[0]), slope(clean, batch.logprobs))
    assert all(value.isfinite() for value in metrics.values())


@pytest.mark.parametrize("options", [{}, {"detached": True}, {"ratio_level": "sequence"}, {"ratio_level": "turn"}])
def test_nothing_masked_in_or_no_token_is_a_zero_that_touches_the_parameters(options):
    for batch in (random_tokens(6), random_tokens(6, length=0)):
        mask = torch.zeros_like(batch.mask)
        loss, metrics = policy_loss(*batch[:3], mask, sequence_index=batch.sequence, turn_index=batch.turn, **options)
        assert_close(slope(loss, batch.logprobs), torch.zeros_like(batch.old))
        assert all(value.isfinite() for value in metrics.values())


def test_a_ratio_beyond_all_floats_stays_finite():
    logprobs = torch.tensor([0.0, -1e4], requires_grad=True)
    old = torch.tensor([-1e4, 0.0])
    loss, _ = policy_loss(logprobs, old, torch.tensor([1.0, 1.0]), keep_high_gradient=True)
    assert loss.isfinite().all()
    assert slope(loss, logprobs).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio_level": "tokens"}, "did you mean 'token'"),
        ({"ratio_level": "turn"}, "needs turn_index"),
        ({"dual_clip": 1.0}, "dual_clip is 1.0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        policy_loss(*random_tokens(0)[:4], **options)
