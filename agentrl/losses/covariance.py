"""Clip-Cov and KL-Cov: the few tokens that drive the entropy down are held back.

Axis suffix: ``_L`` tokens of a packed batch; arguments are of shape (L,). Paper: The Entropy Mechanism of
Reinforcement Learning for Reasoning Language Models, arXiv:2505.22617.
"""

import torch
from torch import Tensor

from agentrl.losses.policy_gradient import PolicyLoss, masked_mean, policy_loss
from agentrl.losses.ratio import log_ratio, whole


@torch.no_grad()
def token_covariances(logprobs: Tensor, advantages: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return each token's part in the covariance of A and log π, (A - mean A) (log π - mean log π); 0 if masked out."""
    mask_L = whole(mask, logprobs)
    centred = [torch.where(mask_L, x - masked_mean(x, mask_L), 0.0) for x in (advantages, logprobs)]
    return centred[0] * centred[1]


def clip_cov(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    generator: torch.Generator,
    share: float = 2e-4,
    low: float = 1.0,
    high: float = 5.0,
    clip_low: float = 1.0,
    clip_high: float = 1.0,
) -> PolicyLoss:
    """PPO without the gradient of some random tokens whose covariance is between ``low`` and ``high``.

    At most ``share`` of the tokens (at least one, if any qualifies) are drawn from those that the clip has left alone.
    Clip bounds as wide as its recipe's.
    """
    mask_L = whole(mask, logprobs)
    loss_L, metrics = policy_loss(
        logprobs, old_logprobs, advantages, mask_L, clip_low=clip_low, clip_high=clip_high, dual_clip=None
    )
    with torch.no_grad():
        covariance_L = token_covariances(logprobs, advantages, mask_L)
        ratio_L = log_ratio(logprobs, old_logprobs, mask_L).exp()
        rises_L = torch.where(mask_L, advantages, 0.0) > 0
        clipped_L = torch.where(rises_L, ratio_L > 1.0 + clip_high, ratio_L < 1.0 - clip_low)
        eligible = ((covariance_L > low) & (covariance_L < high) & mask_L & ~clipped_L).nonzero()[:, 0]
        count = min(len(eligible), max(1, int(share * int(mask_L.sum()))))
        chosen = eligible[torch.randperm(len(eligible), generator=generator)[:count].to(eligible.device)]
        free_L = torch.ones_like(loss_L)
        free_L[chosen] = 0.0
    held_back = masked_mean(1.0 - free_L, mask_L)
    return PolicyLoss(loss_L * free_L, metrics | {"held_back_fraction": held_back})


def kl_cov(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    share: float = 2e-4,
    coefficient: float = 1.0,
) -> PolicyLoss:
    """Importance-weighted policy gradient without clip; the tokens of largest covariance also pay c |log r|.

    ``share`` of the tokens, at least one (the paper takes 2e-3 for a 7B model, 2e-4 for 32B).
    """
    mask_L = whole(mask, logprobs)
    loss_L, metrics = policy_loss(
        logprobs, old_logprobs, advantages, mask_L, clip_low=None, clip_high=None, dual_clip=None
    )
    with torch.no_grad():
        covariance_L = token_covariances(logprobs, advantages, mask_L).masked_fill(~mask_L, -torch.inf)
        count = min(len(loss_L), max(1, int(share * int(mask_L.sum()))))
        pays_L = torch.zeros_like(loss_L)
        pays_L[covariance_L.topk(count).indices] = 1.0
        pays_L = torch.where(mask_L, pays_L, 0.0)
    held_back = masked_mean(pays_L, mask_L)
    penalty_L = coefficient * pays_L * log_ratio(logprobs, old_logprobs, mask_L).abs()
    return PolicyLoss(loss_L + penalty_L, metrics | {"held_back_fraction": held_back})
