"""Random packed batches and helpers to look at gradients per token."""

from typing import NamedTuple

import torch
from torch import Tensor


class Tokens(NamedTuple):
    logprobs: Tensor
    old: Tensor
    advantages: Tensor
    mask: Tensor
    sequence: Tensor
    turn: Tensor
    group: Tensor


def random_tokens(seed: int, length: int = 24, spread: float = 0.5) -> Tokens:
    """A batch of 4 sequences of 6 tokens, 2 turns each, in 2 groups; about a quarter is masked out."""
    rng = torch.Generator().manual_seed(seed)
    old = -torch.rand(length, generator=rng, dtype=torch.float64) * 3
    logprobs = (old + spread * torch.randn(length, generator=rng, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(length, generator=rng, dtype=torch.float64)
    mask = torch.rand(length, generator=rng) < 0.75
    position = torch.arange(length)
    return Tokens(logprobs, old, advantages, mask, position // 6, position // 3, position // 12)


def slope(loss: Tensor, logprobs: Tensor) -> Tensor:
    """Gradient of the summed loss in each log-prob."""
    (gradient,) = torch.autograd.grad(loss.sum(), logprobs)
    return gradient
