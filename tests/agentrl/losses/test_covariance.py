import pytest
import torch
from tokens import random_tokens, slope
from torch.testing import assert_close

from agentrl.losses import clip_cov, kl_cov, policy_loss
from agentrl.losses.covariance import token_covariances

F64 = torch.float64
FREE = {"clip_low": None, "clip_high": None, "dual_clip": None}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_golden_covariances():
    # means 1 and -2 over the first two
    result = token_covariances(torch.tensor([-1.0, -3.0, torch.nan]), torch.tensor([2.0, 0.0, 9.0]),
                               torch.tensor([True, True, False]))  # fmt: skip
    assert_close(result, torch.tensor([1.0, 1.0, 0.0]))


@pytest.mark.parametrize("seed", range(4))
def test_they_add_up_to_the_covariance(seed):
    batch = random_tokens(seed)
    inside = torch.stack([batch.advantages, batch.logprobs.detach()])[:, batch.mask]
    expected = torch.cov(inside, correction=0)[0, 1] * batch.mask.sum()
    assert_close(token_covariances(*batch[::2][:2], batch.mask).sum(), expected)


def test_kl_cov_charges_the_largest():
    batch = random_tokens(1)
    covariance = token_covariances(batch.logprobs, batch.advantages, batch.mask)
    covariance[~batch.mask] = -torch.inf
    largest = covariance.topk(int(0.2 * int(batch.mask.sum()))).indices
    expected = policy_loss(*batch[:4], **FREE).loss_L.clone()
    expected[largest] += 0.5 * (batch.logprobs - batch.old)[largest].abs()
    loss, metrics = kl_cov(*batch[:4], share=0.2, coefficient=0.5)
    assert_close(loss, expected)
    assert metrics["held_back_fraction"].item() == pytest.approx(len(largest) / int(batch.mask.sum()))


def test_kl_cov_without_charge_is_the_importance_weighted_gradient():
    batch = random_tokens(2)
    assert_close(kl_cov(*batch[:4], coefficient=0.0).loss_L, policy_loss(*batch[:4], **FREE).loss_L)


def wide_batch():
    """Advantages and log-probs that go together: covariances from 0 to 16."""
    values = torch.linspace(-4, 4, 41, dtype=F64)
    logprobs = values.clone().requires_grad_()
    return logprobs, logprobs.detach() + 0.01, values, torch.ones(41, dtype=torch.bool)


def test_clip_cov_holds_back_some_of_those_between_its_bounds():
    batch = wide_batch()
    loss, metrics = clip_cov(*batch, generator=generator(), share=0.1)
    held = (slope(loss, batch[0]) == 0) & (batch[2] != 0)
    covariance = token_covariances(*batch[::2], batch[3])
    assert held.sum() == 4
    assert ((covariance[held] > 1) & (covariance[held] < 5)).all()
    assert metrics["held_back_fraction"].item() == pytest.approx(4 / 41)
    free, _ = policy_loss(*batch, clip_low=1.0, clip_high=1.0, dual_clip=None)
    assert_close(loss[~held], free[~held])


def test_clip_cov_draws_by_its_generator():
    one, same, other = (clip_cov(*wide_batch(), generator=generator(seed), share=0.1).loss_L for seed in (0, 0, 1))
    assert_close(one, same)
    assert (one != other).any()


def test_clip_cov_leaves_what_the_clip_has_taken():
    logprobs, _, advantages, mask = wide_batch()
    clipped_everywhere = logprobs.detach() - torch.where(
        advantages > 0, 1.0, -9.0
    )  # ratios e and e⁻⁹ against 2 and 0.5
    loss, metrics = clip_cov(
        logprobs, clipped_everywhere, advantages, mask, generator=generator(), clip_low=0.5, share=1.0
    )
    assert metrics["held_back_fraction"].item() == 0.0
    assert_close(slope(loss, logprobs), torch.zeros(41, dtype=F64))


@pytest.mark.parametrize("length", [0, 24])
def test_no_token(length):
    batch = random_tokens(0, length=length)
    nothing = torch.zeros_like(batch.mask)
    for loss, _ in (kl_cov(*batch[:3], nothing), clip_cov(*batch[:3], nothing, generator=generator())):
        assert_close(slope(loss, batch.logprobs), torch.zeros_like(batch.old))
