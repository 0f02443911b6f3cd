"""Named losses of the PPO family, each a setting of `policy_loss`, and SAPO, whose gate is smooth.

All take flat tensors over tokens, shape (L,), and return a loss per token. Axis suffix: ``_L`` tokens.
"""

import torch
from torch import Tensor

from agentrl.errors import ConfigError
from agentrl.losses.policy_gradient import PolicyLoss, policy_loss, ratio_metrics
from agentrl.losses.ratio import log_ratio, whole


def gspo(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    sequence_index: Tensor,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
) -> PolicyLoss:
    """Clip the geometric-mean ratio of the sequence. Reduce it with "sequence_mean". Paper: GSPO, arXiv:2507.18071."""
    return policy_loss(
        logprobs,
        old_logprobs,
        advantages,
        mask,
        ratio_level="sequence",
        sequence_index=sequence_index,
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=None,
    )


def cispo(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    clip_low: float | None = None,
    clip_high: float = 0.2,
) -> PolicyLoss:
    """Weigh log π by the clipped ratio, detached: no token loses its gradient. Paper: CISPO, arXiv:2506.13585, Eq. 4.

    No lower bound by default, as in the paper; users choose upper bounds from 0.2 to 5.
    """
    return policy_loss(logprobs, old_logprobs, advantages, mask, clip_low=clip_low, clip_high=clip_high, detached=True)


def loop(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor | None = None, *, eps: float = 0.1
) -> PolicyLoss:
    """Clip the ratio to [1 / (1 + ε), 1 + ε], symmetric in its log. Paper: LOOP, arXiv:2502.01600.

    Its advantages are leave-one-out, `agentrl.credit.rloo`.
    """
    return policy_loss(
        logprobs, old_logprobs, advantages, mask, clip_low=1.0 - 1.0 / (1.0 + eps), clip_high=eps, dual_clip=None
    )


def aepo(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
) -> PolicyLoss:
    """Clip as PPO does, but keep a bounded gradient above the upper bound.

    The bound there is (1 + ε) r / sg(r): value 1 + ε, gradient (1 + ε) ∇log π. Paper: AEPO, arXiv:2510.14545. Like its
    code it applies to all tokens above the bound, not to those of high entropy alone; unlike it, ratios of 0 or
    infinity do not make it NaN. The paper's other half is `entropy_aware_advantages`.
    """
    return policy_loss(
        logprobs,
        old_logprobs,
        advantages,
        mask,
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        keep_high_gradient=True,
    )


def sapo(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    temperature_positive: float = 1.0,
    temperature_negative: float = 1.05,
) -> PolicyLoss:
    """Replace the clip by a soft gate on the ratio: loss = -A (4/τ) σ(τ (r - 1)).

    τ is ``temperature_positive`` where A > 0, else ``temperature_negative``. At r = 1 the gradient is -A ∇log π. Paper:
    SAPO (soft adaptive policy optimization), arXiv:2511.20347.
    """
    if temperature_positive <= 0 or temperature_negative <= 0:
        raise ConfigError(f"temperatures are {temperature_positive} and {temperature_negative}: both must be positive")
    mask_L = whole(mask, logprobs)
    log_ratio_L = log_ratio(logprobs, old_logprobs, mask_L)
    advantage_L = torch.where(mask_L, advantages, 0.0)
    tau_L = torch.where(advantage_L > 0, temperature_positive, temperature_negative).to(logprobs.dtype)
    gate_L = 4.0 / tau_L * torch.sigmoid(tau_L * (log_ratio_L.exp() - 1.0))
    return PolicyLoss(-advantage_L * gate_L, ratio_metrics(log_ratio_L, mask_L))
