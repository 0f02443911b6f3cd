"""Named losses of the PPO family, each a setting of `policy_loss`, and SAPO, whose gate is smooth.

All take flat tensors over tokens, shape (L,), and return a loss per token. Axis suffix: ``_L`` tokens.
"""

from typing import Literal

import torch
from torch import Tensor

from agentrl.errors import ConfigError, check_choice
from agentrl.losses.entropy_balanced import entropy_aware_advantages
from agentrl.losses.policy_gradient import PolicyLoss, clip_metrics, policy_loss, ratio_metrics
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
    entropies: Tensor | None = None,
    coefficient: float = 0.2,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
    dialect: Literal["safe", "authors"] = "safe",
) -> PolicyLoss:
    """Clip as PPO does, but keep a bounded gradient above the upper bound; uncertain tokens get more advantage.

    The bound there is (1 + ε) r / sg(r): value 1 + ε, gradient (1 + ε) ∇log π. Paper: AEPO, arXiv:2510.14545. Like its
    code it applies to all tokens above the bound, not to those of high entropy alone.

    ``dialect="safe"``: ratios are limited as in `policy_loss`. ``dialect="authors"``: as in the code, a ratio that
    under- or overflows to 0 or infinity makes the loss NaN, even where the mask is False, and so does a single token
    with ``entropies``.

    Args:
      logprobs, old_logprobs, advantages, mask: as in `policy_loss`.
      entropies: of each token, for `entropy_aware_advantages`; None leaves the advantages as they are.
      coefficient: of the entropies.
      clip_low, clip_high, dual_clip: as in `policy_loss`.
      dialect: see above.
    """
    check_choice("dialect", dialect, ("safe", "authors"))
    if entropies is not None:
        advantages = entropy_aware_advantages(
            advantages, entropies.detach(), mask, coefficient=coefficient, dialect=dialect
        )
    if dialect == "authors":
        return _aepo_of_the_code(logprobs, old_logprobs, advantages, mask, 1.0 - clip_low, 1.0 + clip_high, dual_clip)
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


def _aepo_of_the_code(
    logprobs_L: Tensor,
    old_L: Tensor,
    advantage_L: Tensor,
    mask: Tensor | None,
    low: float,
    high: float,
    dual_clip: float | None,
) -> PolicyLoss:
    mask_L = whole(mask, logprobs_L)
    log_ratio_L = logprobs_L - old_L
    ratio_L = log_ratio_L.exp()
    highest_L = high / ratio_L.detach() * ratio_L
    bounded_L = torch.minimum(ratio_L.clamp(min=low), highest_L)
    loss_L = torch.maximum(-advantage_L * ratio_L, -advantage_L * bounded_L)
    if dual_clip is not None:
        loss_L = torch.where(advantage_L < 0, torch.minimum(loss_L, -dual_clip * advantage_L), loss_L)
    metrics = ratio_metrics(log_ratio_L, mask_L) | clip_metrics(ratio_L, advantage_L, mask_L, low, high, dual_clip)
    return PolicyLoss(loss_L * mask_L, metrics)  # 0 · NaN is NaN


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
