"""Penalties on the distance to a reference policy, estimated per sampled token.

Axis suffix: ``_L`` tokens of a packed batch.
"""

from typing import Literal

import torch
from torch import Tensor

from agentrl.errors import check_choice
from agentrl.losses.ratio import MAX_LOG_RATIO, whole

KlKind = Literal["k1", "k2", "k3"]


def kl_penalty(
    logprobs: Tensor,
    ref_logprobs: Tensor,
    mask: Tensor | None = None,
    *,
    kind: KlKind = "k3",
    clamp: float | None = 10.0,
    scale: Tensor | None = None,
) -> Tensor:
    """Estimate KL(π ‖ π_ref) from each sampled token, d = log π_ref - log π.

        k1 = -d          unbiased, any sign; as a loss its expected gradient is 0: use it in rewards only
        k2 = d² / 2      biased; its gradient is that of KL(π ‖ π_ref), unbiased
        k3 = e^d - d - 1 unbiased, never negative; the loss of GRPO (DeepSeekMath, arXiv:2402.03300, Eq. 4)

    Source: J. Schulman, "Approximating KL divergence" (2020). d is limited to ±20 first.

    Args:
      logprobs: log π with gradient; any value where masked out.
      ref_logprobs: log π_ref.
      mask: bool, tokens that count; None for all.
      kind: estimator.
      clamp: limit of the result's size (as in verl); beyond it there is no gradient. None for no limit.
      scale: factor per token, for example one per difficulty of the task.

    Returns:
      shape (L,), nats, 0 where masked out.
    """
    check_choice("KL kind", kind, ("k1", "k2", "k3"))
    mask_L = whole(mask, logprobs)
    d_L = torch.where(mask_L, ref_logprobs - logprobs, 0.0).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    if kind == "k1":
        penalty_L = -d_L
    elif kind == "k2":
        penalty_L = 0.5 * d_L**2
    else:
        penalty_L = torch.expm1(d_L) - d_L
    if clamp is not None:
        penalty_L = penalty_L.clamp(-clamp, clamp)
    return penalty_L if scale is None else penalty_L * torch.where(mask_L, scale, 0.0)


def entropy_bonus(entropies: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return -H at each token (0 where masked out): add it to the loss times a small coefficient."""
    return -torch.where(whole(mask, entropies), entropies, 0.0)
