import math

import pytest
import torch
from tokens import random_tokens, slope
from torch.testing import assert_close

from agentrl.errors import ConfigError
from agentrl.losses import entropy_bonus, kl_penalty


@pytest.mark.parametrize(
    ("kind", "value"), [("k1", -math.log(2)), ("k2", math.log(2) ** 2 / 2), ("k3", 1 - math.log(2))]
)
def test_golden(kind, value):
    # the reference is twice as likely: d = log 2
    result = kl_penalty(torch.tensor([math.log(0.25)]), torch.tensor([math.log(0.5)]), kind=kind)
    assert result.item() == pytest.approx(value)


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_the_expectation_is_the_divergence(kind):
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    expected = (p * (p / q).log()).sum()
    assert_close((p * kl_penalty(p.log(), q.log(), kind=kind)).sum(), expected)


@pytest.mark.parametrize(("kind", "is_right"), [("k1", False), ("k2", True), ("k3", False)])
def test_which_gradient_is_that_of_the_divergence(kind, is_right):
    """E over π of the estimator's own gradient, samples held fixed, against ∇ KL(π ‖ π_ref)."""
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    ref = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64).log()
    logp = logits.log_softmax(0)
    truth = slope((logp.exp() * (logp - ref)).sum(), logits)
    logp = logits.log_softmax(0)
    estimate = slope((logp.exp().detach() * kl_penalty(logp, ref, kind=kind)).sum(), logits)
    assert torch.allclose(estimate, truth) is is_right


def test_limits_scale_and_mask():
    logprobs = torch.tensor([-30.0, -1.0, torch.nan, -1.0], requires_grad=True)
    ref = torch.tensor([0.0, 0.0, 0.0, -1.0])
    mask = torch.tensor([True, True, False, True])
    result = kl_penalty(logprobs, ref, mask, scale=torch.tensor([1.0, 2.0, torch.nan, 3.0]))
    assert_close(result, torch.tensor([10.0, 2 * (math.e - 2), 0.0, 0.0]))
    assert_close(slope(result, logprobs), torch.tensor([0.0, 2 * (1 - math.e), 0.0, 0.0]))
    assert kl_penalty(logprobs, ref, mask, clamp=None)[0].item() == pytest.approx(math.exp(20) - 21, rel=1e-6)


def test_equal_policies_have_none_and_the_rest_is_never_negative():
    batch = random_tokens(0)
    assert (kl_penalty(batch.old, batch.old) == 0).all()
    assert (kl_penalty(batch.logprobs, batch.old) >= 0).all()
    assert kl_penalty(batch.old[:0], batch.old[:0]).shape == (0,)


def test_unknown_estimator():
    with pytest.raises(ConfigError, match="KL kind is 'k4'"):
        kl_penalty(torch.zeros(1), torch.zeros(1), kind="k4")


def test_entropy_bonus_is_what_the_mask_keeps():
    entropies = torch.tensor([1.0, torch.nan])
    assert_close(entropy_bonus(entropies, torch.tensor([True, False])), torch.tensor([-1.0, 0.0]))
