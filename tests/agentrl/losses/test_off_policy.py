import math

import pytest
import torch
from tokens import random_tokens, slope
from torch.testing import assert_close

from agentrl.errors import ConfigError
from agentrl.losses import asym_re, opmd, policy_loss, rec

F64 = torch.float64


@pytest.mark.parametrize(
    ("keep", "ratio", "advantage", "kept"),
    [
        ("one_side", 1.3, 1.0, False),
        ("one_side", 0.1, 1.0, True),
        ("one_side", 0.7, -1.0, False),
        ("one_side", 9.0, -1.0, True),
        ("two_side", 1.1, 1.0, True),
        ("two_side", 0.1, 1.0, False),
        ("two_side", 9.0, -1.0, False),
        ("ring", 0.3, 1.0, True),
        ("ring", 0.5, 1.0, False),
        ("ring", 3.1, -1.0, True),
        ("ring", 2.9, -1.0, False),
        ("ring", 0.3, -1.0, False),
        ("all", 9.0, 1.0, True),
    ],
)
def test_golden_masks(keep, ratio, advantage, kept):
    logprobs = torch.tensor([math.log(ratio)], dtype=F64, requires_grad=True)
    loss, metrics = rec(logprobs, torch.zeros(1, dtype=F64), torch.tensor([advantage], dtype=F64), keep=keep)
    assert slope(loss, logprobs).item() == pytest.approx(-advantage * kept)
    assert metrics["drop_fraction"].item() == 1 - kept


def test_golden_weights_and_regularisers():
    logprobs = torch.tensor([math.log(0.5)], dtype=F64, requires_grad=True)
    old, advantage = torch.tensor([math.log(0.25)], dtype=F64), torch.tensor([3.0], dtype=F64)

    def gradient(**options):
        return slope(rec(logprobs, old, advantage, keep="all", **options).loss_L, logprobs).item()

    assert gradient(weighting="ratio") == pytest.approx(-6.0)
    assert gradient(weighting="exp_advantage", temperature=2.0) == pytest.approx(-3 * math.exp(1.5))
    assert gradient(regulariser="k2", coefficient=0.1) == pytest.approx(-3 + 0.2 * math.log(2))
    assert gradient(regulariser="forward_kl", coefficient=0.1) == pytest.approx(-3.1)


@pytest.mark.parametrize("seed", range(4))
def test_one_side_with_the_ratio_has_the_gradient_of_the_clip(seed):
    batch = random_tokens(seed, spread=1.0)
    ours, _ = rec(*batch[:4], weighting="ratio")
    theirs, _ = policy_loss(*batch[:4], dual_clip=None)
    assert_close(slope(ours, batch.logprobs), slope(theirs, batch.logprobs))


@pytest.mark.parametrize("seed", range(4))
def test_presets(seed):
    batch = random_tokens(seed)
    shifted, _ = rec(batch.logprobs, batch.old, batch.advantages + 0.1, batch.mask, keep="all")
    assert_close(asym_re(*batch[:4]).loss_L, shifted)
    expected = -batch.advantages * batch.logprobs + 0.1 * (batch.logprobs - batch.old) ** 2
    assert_close(opmd(*batch[:4]).loss_L, torch.where(batch.mask, expected, 0.0))


def test_ratios_of_sequences_keep_or_drop_as_one():
    batch = random_tokens(2, spread=1.0)
    mask = torch.ones(24, dtype=torch.bool)
    levels = {"ratio_level": "sequence", "sequence_index": batch.sequence}
    loss, _ = rec(batch.logprobs, batch.old, torch.ones(24, dtype=F64), mask, **levels, clip_high=0.1)
    kept = (slope(loss, batch.logprobs) != 0).view(4, 6)
    mean = (batch.logprobs - batch.old).detach().view(4, 6).mean(1)
    assert kept.all(1).tolist() == (~(~kept).all(1)).tolist() == (mean.exp() <= 1.1).tolist()


@pytest.mark.parametrize("regulariser", ["none", "k2", "forward_kl"])
@pytest.mark.parametrize("weighting", ["none", "ratio", "exp_advantage"])
def test_what_is_masked_out_may_be_anything(weighting, regulariser):
    batch = random_tokens(3)
    options = {"weighting": weighting, "regulariser": regulariser}
    clean, _ = rec(*batch[:4], **options)
    dirty = [torch.where(batch.mask, values, torch.nan).detach() for values in batch[:3]]
    dirty[0].requires_grad_()
    loss, _ = rec(*dirty, batch.mask, **options)
    assert_close(loss, clean)
    assert_close(slope(loss, dirty[0]), slope(clean, batch.logprobs))
    assert rec(*random_tokens(0, length=0)[:4], **options).loss_L.shape == (0,)


@pytest.mark.parametrize("option", ["keep", "weighting", "regulariser"])
def test_unknown_options_are_refused(option):
    with pytest.raises(ConfigError, match=f"{option} is 'other'"):
        rec(*random_tokens(0)[:4], **{option: "other"})
