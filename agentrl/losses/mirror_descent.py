"""Mirror descent: the policy moves along the advantages, held by its divergence from the iteration's first policy.

Axis suffix: ``_L`` tokens of a packed batch; arguments are of shape (L,).
"""

from typing import Literal

import torch
from torch import Tensor

from agentrl.errors import ConfigError, check_choice
from agentrl.losses.policy_gradient import PolicyLoss, masked_mean, ratio_metrics
from agentrl.losses.ratio import log_ratio, whole


def mdpo(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    step_size: float = 1.0,
    dialect: Literal["paper", "authors"] = "paper",
) -> PolicyLoss:
    """Importance-weighted policy gradient without a clip, plus KL(π ‖ π_old) / t.

        loss = -r A + (r log r - r + 1) / t,   r = π/π_old

    The second term is an unbiased estimate of the divergence from tokens that π_old sampled; it is never negative, its
    gradient r log r ∇log π is unbiased too, and 0 at r = 1: it acts from the second update of an iteration on. With
    t = ∞ this is `policy_loss` without bounds. Paper: MDPO (mirror descent policy optimization), arXiv:2005.09814, the
    on-policy form.

    ``dialect="authors"`` is what its code adds, log r / t, whose gradient is 0 on average over π_old's tokens.

    Args:
      logprobs, old_logprobs, advantages, mask: as in `policy_loss`; old is the policy that the iteration began with.
      step_size: t, positive.
      dialect: see above.

    Raises:
      ConfigError: ``step_size`` is not positive.
    """
    check_choice("dialect", dialect, ("paper", "authors"))
    if not step_size > 0:
        raise ConfigError(f"step_size is {step_size}: the divergence is divided by it, so it is positive")
    mask_L = whole(mask, logprobs)
    log_ratio_L = log_ratio(logprobs, old_logprobs, mask_L)
    ratio_L = log_ratio_L.exp()
    distance_L = log_ratio_L if dialect == "authors" else ratio_L * log_ratio_L - torch.expm1(log_ratio_L)
    loss_L = distance_L / step_size - ratio_L * torch.where(mask_L, advantages, 0.0)
    return PolicyLoss(loss_L, ratio_metrics(log_ratio_L, mask_L) | {"old_kl": masked_mean(distance_L.detach(), mask_L)})
