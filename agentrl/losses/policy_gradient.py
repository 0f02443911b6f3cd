"""The PPO family as one loss: ratio level × clip bounds × detached ratio or not.

Axis suffix: ``_L`` tokens of a packed batch (flat, no padding). Arguments without a suffix are of shape (L,) too.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from agentrl.errors import ConfigError
from agentrl.losses.ratio import RatioLevel, log_ratio, whole

Bound = float | Tensor | None


class PolicyLoss(NamedTuple):
    """A loss per token (0 where masked out) and what there is to log: 0-d tensors without gradient."""

    loss_L: Tensor
    metrics: dict[str, Tensor]


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    ratio_level: RatioLevel = "token",
    clip_low: Bound = 0.2,
    clip_high: Bound = 0.2,
    dual_clip: float | None = 3.0,
    detached: bool = False,
    keep_high_gradient: bool = False,
    sequence_index: Tensor | None = None,
    turn_index: Tensor | None = None,
) -> PolicyLoss:
    """Clipped policy-gradient loss of each token.

        r = π/π_old,  c = clip(r, 1 - ε_low, 1 + ε_high)
        loss = max(-r A, -c A), and where A < 0: min(that, -dual_clip A)       (detached: -sg(c) A log π)

    Reductions: with both bounds None it is the importance-weighted policy gradient; ``ratio_level="sequence"`` is GSPO
    (arXiv:2507.18071); ``detached=True`` is CISPO (arXiv:2506.13585); at r = 1 the gradient is -A ∇log π for all.
    Papers: PPO, arXiv:1707.06347, Eq. 7; dual clip, arXiv:1912.09729. Differs from them: the log ratio is
    limited to ±20, so that no token can make the loss infinite.

    Args:
      logprobs: log π of each token, with gradient. Any value, NaN included, may stand where the mask is False.
      old_logprobs: log π_old, without gradient.
      advantages: A of each token.
      mask: bool, tokens that count; None for all.
      ratio_level: what one ratio belongs to; "turn" needs ``turn_index``, "sequence" ``sequence_index``.
      clip_low: ε_low, a number or one per token; None for no lower bound.
      clip_high: ε_high likewise.
      dual_clip: bound of the ratio where A < 0, more than 1; None for none. Not used if detached.
      detached: weigh log π by the clipped ratio instead of differentiating the ratio.
      keep_high_gradient: where A > 0 and r > 1 + ε_high, keep the gradient -(1 + ε_high) A ∇log π, which PPO drops
        (AEPO, arXiv:2510.14545; GPPO, arXiv:2508.07629). The value of the loss is the same.
      sequence_index: int64 sequence of each token.
      turn_index: int64 turn of each token, unique over the batch.

    Returns:
      the loss per token, to be reduced by `agentrl.losses.aggregate`, and metrics.

    Raises:
      ConfigError: an option is unknown or lacks its index vector, or ``dual_clip`` <= 1.
    """
    if dual_clip is not None and dual_clip <= 1.0:
        raise ConfigError(f"dual_clip is {dual_clip}: the bound of the ratio for A < 0 is more than 1 (or None)")
    mask_L = whole(mask, logprobs)
    log_ratio_L = log_ratio(
        logprobs,
        old_logprobs,
        mask_L,
        level=ratio_level,
        sequence_index=sequence_index,
        turn_index=turn_index,
    )
    ratio_L = log_ratio_L.exp()
    advantage_L = torch.where(mask_L, advantages, 0.0)
    low = None if clip_low is None else 1.0 - clip_low
    high = None if clip_high is None else 1.0 + clip_high
    bounded_L = bounded(ratio_L, low, high)
    if detached:
        loss_L = -bounded_L.detach() * advantage_L * torch.where(mask_L, logprobs, 0.0)
    else:
        if keep_high_gradient and high is not None:
            # exp(x - sg x) is 1 with the gradient of x: the bound keeps its value and gets a slope
            lifted_L = high * (log_ratio_L - log_ratio_L.detach()).exp()
            bounded_L = torch.where((ratio_L > high) & (advantage_L > 0), lifted_L, bounded_L)
        loss_L = torch.maximum(-ratio_L * advantage_L, -bounded_L * advantage_L)
        if dual_clip is not None:
            loss_L = torch.where(advantage_L < 0, torch.minimum(loss_L, -dual_clip * advantage_L), loss_L)
    metrics = ratio_metrics(log_ratio_L, mask_L)
    metrics |= clip_metrics(ratio_L, advantage_L, mask_L, low, high, None if detached else dual_clip)
    return PolicyLoss(loss_L, metrics)


def bounded(ratio_L: Tensor, low: Bound, high: Bound) -> Tensor:
    """Return the ratio limited to [low, high], each a number, a tensor or None."""
    if low is not None:
        ratio_L = ratio_L.clamp(min=low)
    return ratio_L if high is None else ratio_L.clamp(max=high)


def masked_mean(value_L: Tensor, mask_L: Tensor) -> Tensor:
    """Return the mean over the masked tokens, 0 if there are none."""
    return torch.where(mask_L, value_L, 0.0).sum() / mask_L.sum().clamp(min=1)


@torch.no_grad()
def ratio_metrics(log_ratio_L: Tensor, mask_L: Tensor) -> dict[str, Tensor]:
    """How far the policy has moved: two estimates of KL(π_old ‖ π) and the range of the ratios.

    ``approx_kl`` = mean(r - 1 - log r), never negative; ``approx_kl_k1`` = mean(-log r).
    """
    ratio_L = log_ratio_L.exp()
    return {
        "approx_kl": masked_mean(ratio_L - 1.0 - log_ratio_L, mask_L),
        "approx_kl_k1": masked_mean(-log_ratio_L, mask_L),
        "ratio_mean": masked_mean(ratio_L, mask_L),
        "ratio_max": ratio_L.max() if len(ratio_L) else ratio_L.new_ones(()),
        "ratio_min": ratio_L.min() if len(ratio_L) else ratio_L.new_ones(()),
    }


@torch.no_grad()
def clip_metrics(
    ratio_L: Tensor, advantage_L: Tensor, mask_L: Tensor, low: Bound, high: Bound, dual_clip: float | None
) -> dict[str, Tensor]:
    """Shares of the tokens whose loss a bound decided: above with A > 0, below with A < 0, dual clip with A < 0."""
    nowhere = torch.zeros_like(mask_L)
    above_L = nowhere if high is None else (ratio_L > high) & (advantage_L > 0)
    below_L = nowhere if low is None else (ratio_L < low) & (advantage_L < 0)
    dual_L = nowhere if dual_clip is None else (ratio_L > dual_clip) & (advantage_L < 0)
    return {
        "clip_fraction_high": masked_mean(above_L.to(ratio_L.dtype), mask_L),
        "clip_fraction_low": masked_mean(below_L.to(ratio_L.dtype), mask_L),
        "clip_fraction_dual": masked_mean(dual_L.to(ratio_L.dtype), mask_L),
    }
