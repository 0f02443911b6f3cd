"""MDPO: ratio loss held by the divergence from the iteration's first policy."""

import math

import pytest
import torch
from tokens import random_tokens, slope

from agentrl import losses
from agentrl.errors import ConfigError


def test_golden() -> None:
    # r = 2, A = 1, t = 1/2: -2 + 2 (2 log 2 - 1)
    logprobs = torch.tensor([math.log(2.0) - 3.0], dtype=torch.float64, requires_grad=True)
    loss, metrics = losses.mdpo(logprobs, torch.tensor([-3.0], dtype=torch.float64), torch.ones(1), step_size=0.5)
    torch.testing.assert_close(loss, torch.tensor([-2.0 + 2.0 * (2.0 * math.log(2.0) - 1.0)], dtype=torch.float64))
    torch.testing.assert_close(metrics["old_kl"].item(), 2.0 * math.log(2.0) - 1.0)
    # d/d log π: -r A + r log r / t
    expected = torch.tensor([-2.0 + 2.0 * 2.0 * math.log(2.0)], dtype=torch.float64)
    torch.testing.assert_close(slope(loss, logprobs), expected)


@pytest.mark.parametrize("seed", range(3))
def test_without_divergence_it_is_the_unclipped_loss(seed: int) -> None:
    tokens = random_tokens(seed)
    ours, _ = losses.mdpo(tokens.logprobs, tokens.old, tokens.advantages, tokens.mask, step_size=1e300)
    plain, _ = losses.policy_loss(
        tokens.logprobs, tokens.old, tokens.advantages, tokens.mask, clip_low=None, clip_high=None, dual_clip=None
    )
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(slope(ours, tokens.logprobs), slope(plain, tokens.logprobs))


def test_on_policy_the_divergence_does_not_pull() -> None:
    tokens = random_tokens(4, spread=0.0)
    zero = torch.zeros_like(tokens.advantages)
    loss, _ = losses.mdpo(tokens.logprobs, tokens.old, zero, step_size=0.01)
    assert slope(loss, tokens.logprobs).abs().max() == 0
    authors, _ = losses.mdpo(tokens.logprobs, tokens.old, zero, step_size=0.01, dialect="authors")
    torch.testing.assert_close(slope(authors, tokens.logprobs), torch.full_like(zero, 100.0))


def test_the_estimate_and_its_gradient_are_those_of_the_divergence() -> None:
    """Summed over a whole vocabulary with the old policy's probabilities, it is the divergence, exactly."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(7, generator=rng, dtype=torch.float64, requires_grad=True)
    old = torch.log_softmax(torch.randn(7, generator=rng, dtype=torch.float64), 0)
    new = torch.log_softmax(logits, 0)
    loss, _ = losses.mdpo(new, old, torch.zeros(7, dtype=torch.float64), step_size=1.0)
    assert loss.min() >= 0
    estimate, exact = (old.exp() * loss).sum(), (new.exp() * (new - old)).sum()
    torch.testing.assert_close(estimate, exact)
    (ours,) = torch.autograd.grad(estimate, logits, retain_graph=True)
    (right,) = torch.autograd.grad(exact, logits)
    torch.testing.assert_close(ours, right)
    # what the authors' code adds has no gradient on average at the old policy
    same = torch.log_softmax(logits, 0)
    added, _ = losses.mdpo(same, same.detach(), torch.zeros(7, dtype=torch.float64), dialect="authors")
    (none,) = torch.autograd.grad((same.detach().exp() * added).sum(), logits)
    torch.testing.assert_close(none, torch.zeros_like(none), atol=1e-15, rtol=0)


def test_what_is_masked_out_costs_nothing() -> None:
    nan = float("nan")
    logprobs = torch.tensor([-1.0, nan], requires_grad=True)
    loss, metrics = losses.mdpo(
        logprobs, torch.tensor([-1.5, nan]), torch.tensor([1.0, nan]), torch.tensor([True, False])
    )
    assert loss[1] == 0 and slope(loss, logprobs)[1] == 0 and metrics["old_kl"].isfinite()


def test_bad_options() -> None:
    one = torch.zeros(1)
    with pytest.raises(ConfigError, match="step_size is 0"):
        losses.mdpo(one, one, one, step_size=0.0)
    with pytest.raises(ConfigError, match="dialect"):
        losses.mdpo(one, one, one, dialect="code")  # type: ignore[arg-type]
