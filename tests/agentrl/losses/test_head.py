import pytest
import torch
from torch.autograd import gradcheck
from torch.autograd.graph import saved_tensors_hooks
from torch.testing import assert_close

from agentrl.losses import Head, fused_loss, policy_loss, token_logprobs


def inputs(length=7, hidden=4, vocab=11, dtype=torch.float64):
    rng = torch.Generator().manual_seed(length)
    hidden_LD = torch.randn(length, hidden, generator=rng, dtype=dtype).requires_grad_()
    weight_VD = torch.randn(vocab, hidden, generator=rng, dtype=dtype).requires_grad_()
    return hidden_LD, weight_VD, torch.randint(0, vocab, (length,), generator=rng)


def naive(hidden_LD, weight_VD, targets_L, temperature=1.0):
    logp = (hidden_LD @ weight_VD.T / temperature).log_softmax(-1)
    return logp.gather(1, targets_L[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


def test_golden():
    # logits (log 3, 0): probabilities 3/4, 1/4
    logprobs, entropies = token_logprobs(torch.tensor([[3.0]]).log(), torch.tensor([[1.0], [0.0]]), torch.tensor([1]))
    assert logprobs.exp().item() == pytest.approx(0.25)
    assert entropies.item() == pytest.approx(0.5623351446)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_recomputed_head_equals_the_naive_one(temperature, chunk):
    hidden, weight, targets = inputs()
    ours = token_logprobs(hidden, weight, targets, temperature=temperature, chunk=chunk)
    theirs = naive(hidden, weight, targets, temperature)
    mix = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other)
    gradients = [torch.autograd.grad(sum((x * m).sum() for x, m in zip(pair, mix, strict=True)), (hidden, weight))
                 for pair in (ours, theirs)]  # fmt: skip
    assert_close(*gradients)


def test_gradients_by_finite_differences():
    hidden, weight, targets = inputs(3, 2, 5)
    mix = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert gradcheck(lambda h, w: token_logprobs(h, w, targets, temperature=0.7, chunk=2), (hidden, weight))

    def token_loss(logprobs, entropies, at):
        return mix[at, 0] * logprobs**2 + mix[at, 1] * entropies * logprobs

    fused, *_ = fused_loss(hidden, weight, targets, token_loss, temperature=0.7, chunk=2)
    recomputed = token_loss(*token_logprobs(hidden, weight, targets, temperature=0.7, chunk=2), slice(None)).sum()
    assert_close(fused, recomputed)
    assert_close(*(torch.autograd.grad(x, (hidden, weight)) for x in (fused, recomputed)))


def test_fused_gradients_are_handed_over_once():
    hidden, weight, targets = inputs(3, 2, 5)
    loss, *_ = fused_loss(hidden, weight, targets, lambda logprobs, _, at: -logprobs)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="can be run once"):
        loss.backward()


def test_fused_loss_equals_the_naive_policy_loss():
    hidden, weight, targets = inputs(9)
    rng = torch.Generator().manual_seed(2)
    advantages = torch.randn(9, dtype=torch.float64, generator=rng)
    logprobs, entropies = naive(hidden, weight, targets)
    old = logprobs.detach() + 0.3 * torch.randn(9, dtype=torch.float64, generator=rng)
    expected = (policy_loss(logprobs, old, advantages).loss_L - 0.01 * entropies).sum() / 9

    def token_loss(logprobs_C, entropies_C, at):
        return (policy_loss(logprobs_C, old[at], advantages[at]).loss_L - 0.01 * entropies_C) / 9

    loss, same_logprobs, same_entropies = fused_loss(hidden, weight, targets, token_loss, chunk=4)
    assert_close(loss, expected)
    assert_close((same_logprobs, same_entropies), (logprobs.detach(), entropies.detach()))
    assert_close(*(torch.autograd.grad(3.0 * x, (hidden, weight)) for x in (loss, expected)))


def test_a_loss_without_entropy_and_a_frozen_weight():
    hidden, weight, targets = inputs()
    weight = weight.detach()
    loss, _, _ = fused_loss(hidden, weight, targets, lambda logprobs, _, at: -logprobs, chunk=3)
    recomputed = -token_logprobs(hidden, weight, targets)[0].sum()
    expected, fused, again = (
        torch.autograd.grad(x, hidden) for x in (-naive(hidden, weight, targets)[0].sum(), loss, recomputed)
    )
    assert_close(fused, expected)
    assert_close(again, expected)


def full_head(vocab=5, hidden=2, scale=0.8, softcap=1.5):
    rng = torch.Generator().manual_seed(5)
    weight, bias = torch.randn(vocab, hidden, generator=rng).double(), torch.randn(vocab, generator=rng).double()
    return Head(weight.requires_grad_(), bias.requires_grad_(), scale, softcap)


def test_golden_bias_scale_and_soft_cap():
    # scores 2 · (0 + log 3 / 2, 0) = (log 3, 0)
    head = Head(torch.zeros(2, 1), torch.tensor([3.0, 1.0]).log() / 2, scale=2.0)
    assert token_logprobs(torch.ones(1, 1), head, torch.tensor([0]))[0].exp().item() == pytest.approx(0.75)
    # 2 tanh(atanh(log 3 / 2)) = log 3
    capped = Head(torch.tensor([[2.0], [0.0]]), softcap=2.0)
    hidden = torch.atanh(torch.tensor([[3.0]]).log() / 2)
    assert token_logprobs(hidden, capped, torch.tensor([0]))[0].exp().item() == pytest.approx(0.75)


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_gradients_of_a_whole_head_by_finite_differences(scale, softcap):
    hidden, _, targets = inputs(3, 2, 5)
    given = full_head(scale=scale, softcap=softcap)

    def logprobs(hidden, weight, bias):
        return token_logprobs(hidden, Head(weight, bias, scale, softcap), targets, temperature=0.7, chunk=2)

    leaves = (hidden, given.weight_VD, given.bias_V)
    assert gradcheck(logprobs, leaves)

    def token_loss(lp, h, at=None):
        return lp**2 - 0.3 * h * lp

    fused, *_ = fused_loss(hidden, given, targets, token_loss, temperature=0.7, chunk=2)
    assert_close(*(torch.autograd.grad(x, leaves) for x in (fused, token_loss(*logprobs(*leaves)).sum())))


def test_log_probs_are_those_of_the_heads_logits():
    hidden, _, targets = inputs(3, 2, 5)
    head = full_head()
    expected = (head.logits(hidden) / 0.7).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    assert_close(token_logprobs(hidden, head, targets, temperature=0.7)[0], expected)


def test_half_precision_works_in_single():
    hidden, weight, targets = inputs(dtype=torch.float32)
    half = [x.detach().bfloat16().requires_grad_() for x in (hidden, weight)]
    logprobs, entropies = token_logprobs(*half, targets)
    assert logprobs.dtype == entropies.dtype == torch.float32
    (logprobs.sum() + entropies.sum()).backward()
    assert half[0].grad.dtype == torch.bfloat16
    assert_close(logprobs, naive(hidden, weight, targets)[0], rtol=0.05, atol=0.05)


def test_nothing_of_the_size_of_the_logits_is_kept():
    hidden, weight, targets = inputs(length=64, vocab=512)
    kept = []
    with saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor):
        token_logprobs(hidden, weight, targets, chunk=8)
        fused_loss(hidden, weight, targets, lambda logprobs, _, at: -logprobs, chunk=8)
    assert kept
    assert max(kept) < 64 * 512


def test_no_position():
    hidden, weight, targets = inputs(0)
    logprobs, entropies = token_logprobs(hidden, weight, targets)
    assert logprobs.shape == entropies.shape == (0,)
    loss, _, _ = fused_loss(hidden, weight, targets, lambda logprobs, _, at: -logprobs)
    loss.backward()
    assert (weight.grad == 0).all()
