"""REINFORCE for data of any age (REC): a masked, weighted log-likelihood with a regulariser.

Axis suffix: ``_L`` tokens of a packed batch; arguments are of shape (L,).
"""

from typing import Literal

import torch
from torch import Tensor

from agentrl.errors import check_choice
from agentrl.losses.kl import kl_penalty
from agentrl.losses.policy_gradient import PolicyLoss, masked_mean, ratio_metrics
from agentrl.losses.ratio import RatioLevel, log_ratio, whole

Keep = Literal["all", "one_side", "two_side", "ring"]
Weighting = Literal["none", "ratio", "exp_advantage"]
Regulariser = Literal["none", "k2", "forward_kl"]


def rec(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    keep: Keep = "one_side",
    weighting: Weighting = "none",
    regulariser: Regulariser = "none",
    coefficient: float = 0.1,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    ring_low: float = 0.6,
    ring_high: float = 2.0,
    temperature: float = 1.0,
    ratio_level: RatioLevel = "token",
    sequence_index: Tensor | None = None,
    turn_index: Tensor | None = None,
) -> PolicyLoss:
    """Masked and weighted policy gradient: loss = -M w A log π + regulariser. M and w do not carry a gradient.

        M   all:      1
            one_side: A >= 0 and r <= 1 + ε_high,  or  A <= 0 and r >= 1 - ε_low
            two_side: 1 - ε_low <= r <= 1 + ε_high
            ring:     two_side,  or  A >= 0 and r <= 1 - ring_low,  or  A <= 0 and r >= 1 + ring_high
        w   none: 1,  ratio: r,  exp_advantage: exp(A / temperature)
        regulariser   k2: c (log r)²,  forward_kl: -c log π

    Reductions: one_side with the ratio has the gradient of PPO's clip; "all" with "forward_kl" shifts the baseline by
    -c. Paper: Group-relative REINFORCE is secretly off-policy,
    arXiv:2509.24203. Use group-centred advantages without the division by the std (`agentrl.credit.dr_grpo`).

    Args:
      logprobs, old_logprobs, advantages, mask: as in `policy_loss`.
      keep: M.
      weighting: w.
      regulariser: see above.
      coefficient: c.
      clip_low, clip_high: ε_low, ε_high.
      ring_low, ring_high: outer bounds of "ring".
      temperature: of "exp_advantage".
      ratio_level, sequence_index, turn_index: as in `policy_loss`.
    """
    check_choice("keep", keep, ("all", "one_side", "two_side", "ring"))
    check_choice("weighting", weighting, ("none", "ratio", "exp_advantage"))
    check_choice("regulariser", regulariser, ("none", "k2", "forward_kl"))
    mask_L = whole(mask, logprobs)
    log_ratio_L = log_ratio(
        logprobs, old_logprobs, mask_L, level=ratio_level, sequence_index=sequence_index, turn_index=turn_index
    )
    ratio_L = log_ratio_L.detach().exp()
    advantage_L = torch.where(mask_L, advantages, 0.0)
    logprob_L = torch.where(mask_L, logprobs, 0.0)
    kept_L = mask_L & _kept(ratio_L, advantage_L, keep, (clip_low, clip_high), (ring_low, ring_high))
    loss_L = -torch.where(kept_L, advantage_L, 0.0) * logprob_L
    if weighting == "ratio":
        loss_L = loss_L * ratio_L
    elif weighting == "exp_advantage":
        loss_L = loss_L * (advantage_L / temperature).exp()
    if regulariser == "k2":
        loss_L = loss_L + coefficient * log_ratio_L.square()
    elif regulariser == "forward_kl":
        loss_L = loss_L - coefficient * logprob_L
    dropped = masked_mean((~kept_L).to(loss_L.dtype), mask_L).detach()
    return PolicyLoss(loss_L, ratio_metrics(log_ratio_L, mask_L) | {"drop_fraction": dropped})


def opmd(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor | None = None, *, coefficient: float = 0.1
) -> PolicyLoss:
    """Online policy mirror descent: no clipping, and c (log r)² keeps the policy near. A preset of `rec`."""
    return rec(logprobs, old_logprobs, advantages, mask, keep="all", regulariser="k2", coefficient=coefficient)


def asym_re(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor | None = None, *, shift: float = 0.1
) -> PolicyLoss:
    """REINFORCE with the baseline lowered by ``shift``: every sample is also imitated a little. A preset of `rec`.

    Paper: AsymRE, arXiv:2506.20520.
    """
    return rec(logprobs, old_logprobs, advantages, mask, keep="all", regulariser="forward_kl", coefficient=shift)


def likelihood(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor | None = None, *, old_kl: float = 0.0
) -> PolicyLoss:
    """Plain policy gradient -A log π, whatever the ratio, plus ``old_kl`` times an estimate of KL(π_old ‖ π).

    The estimate is k3 from tokens of π_old, r - 1 - log r. What a loss over groups wants of each token is its A (see
    `group_gradient`).
    """
    loss_L, metrics = rec(logprobs, old_logprobs, advantages, mask, keep="all")
    if old_kl:
        loss_L = loss_L + old_kl * kl_penalty(old_logprobs, logprobs, mask, clamp=None)
    return PolicyLoss(loss_L, metrics)


def _kept(
    ratio_L: Tensor, advantage_L: Tensor, keep: Keep, clip: tuple[float, float], ring: tuple[float, float]
) -> Tensor:
    """Return M as bool."""
    if keep == "all":
        return torch.ones_like(ratio_L, dtype=torch.bool)
    below_high_L, above_low_L = ratio_L <= 1.0 + clip[1], ratio_L >= 1.0 - clip[0]
    rises_L, falls_L = advantage_L >= 0, advantage_L <= 0
    if keep == "one_side":
        return (rises_L & below_high_L) | (falls_L & above_low_L)
    inside_L = below_high_L & above_low_L
    if keep == "two_side":
        return inside_L
    return inside_L | (rises_L & (ratio_L <= 1.0 - ring[0])) | (falls_L & (ratio_L >= 1.0 + ring[1]))
