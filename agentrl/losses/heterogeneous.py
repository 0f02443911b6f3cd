"""HAPO: tokens are treated by how uncertain the policy was of them.

Axis suffix: ``_L`` tokens of a packed batch; arguments are of shape (L,).
"""

import torch
from torch import Tensor

from agentrl.errors import ConfigError
from agentrl.losses.policy_gradient import PolicyLoss, policy_loss
from agentrl.losses.ratio import log_ratio, whole

# Entropy of a token that is as good as certain, nats: smaller ones would stretch the scale of all certain tokens.
CERTAIN = 1e-6


@torch.no_grad()
def relative_uncertainty(entropies: Tensor, mask: Tensor | None = None, *, pivot: float = 0.8) -> Tensor:
    """How uncertain each token was, -1 to 1: below 0 the most certain share ``pivot``, above it the others.

        x = log H - quantile(log H, pivot),   h = x / max x where x > 0,   x / |min x| where x < 0

    Give it the whole batch of an update. Paper: HAPO (heterogeneous adaptive policy optimization), from its public
    code, which divides x by its root mean square first; that cancels. Entropies below 1e-6 count as that much. Differs
    from the code: it divides by min x itself, so that h is never negative and certain tokens count as uncertain ones.

    Returns:
      shape (L,), without gradient; 0 where masked out, and everywhere if entropies are equal.

    Raises:
      ConfigError: ``pivot`` is not between 0 and 1.
    """
    if not 0.0 <= pivot <= 1.0:
        raise ConfigError(f"pivot is {pivot}: it is a quantile, 0 to 1")
    mask_L = whole(mask, entropies)
    result_L = torch.zeros_like(entropies)
    if not mask_L.any():
        return result_L
    log_A = entropies[mask_L].clamp(min=CERTAIN).log()
    ranked_A = log_A.sort().values  # torch.quantile refuses more than 16 M values
    at = pivot * (len(ranked_A) - 1)
    low, high = ranked_A[int(at)], ranked_A[min(int(at) + 1, len(ranked_A) - 1)]
    above_A = log_A - torch.lerp(low, high, at - int(at))
    scale_A = torch.where(above_A > 0, above_A.max(), -above_A.min())
    result_L[mask_L] = torch.where(scale_A > 0, above_A / scale_A.clamp(min=torch.finfo(log_A.dtype).tiny), 0.0)
    return result_L


def hapo(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    uncertainty: Tensor | None = None,
    redistribution: float = 1.0,
    widening: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 10.0,
) -> PolicyLoss:
    """Clipped loss whose advantages and bounds follow the token's uncertainty h.

        ε_low' = ε_low (1 + α |h|) where h <= 0,   ε_high' = ε_high (1 + α h) where h > 0
        A' = A (1 + β h)   if h > 0 and r is outside Z, or h <= 0 and r is inside Z = (1 - ε_low'/2, 1 + ε_high'/2)
             A             otherwise

    So a certain token learns less while it has hardly moved, and may fall further; an uncertain one learns more once
    it moves, and may rise further. With h = 0 or α = β = 0 it is `policy_loss`. Paper: HAPO, from its public code, in
    which the neutral zone Z is that of the widened bounds too. Its adaptive temperature belongs to sampling.

    Args:
      logprobs, old_logprobs, advantages, mask: as in `policy_loss`.
      uncertainty: h, from `relative_uncertainty`; None for 0.
      redistribution: β, 0 to 1 so that no advantage changes its sign.
      widening: α.
      clip_low, clip_high: ε_low, ε_high.
      dual_clip: as in `policy_loss`.

    Raises:
      ConfigError: β is not between 0 and 1, or α is negative.
    """
    if not 0.0 <= redistribution <= 1.0 or widening < 0.0:
        raise ConfigError(f"redistribution {redistribution} and widening {widening}: expected 0 to 1, and 0 or more")
    mask_L = whole(mask, logprobs)
    h_L = torch.zeros_like(logprobs) if uncertainty is None else torch.where(mask_L, uncertainty, 0.0)
    ratio_L = log_ratio(logprobs.detach(), old_logprobs, mask_L).exp()
    low_L = clip_low * (1.0 + widening * h_L.clamp(max=0.0).abs())
    high_L = clip_high * (1.0 + widening * h_L.clamp(min=0.0))
    is_near_L = (ratio_L > 1.0 - low_L / 2) & (ratio_L < 1.0 + high_L / 2)
    is_scaled_L = (h_L > 0) != is_near_L
    return policy_loss(
        logprobs,
        old_logprobs,
        torch.where(is_scaled_L, advantages * (1.0 + redistribution * h_L), advantages),
        mask,
        clip_low=low_L,
        clip_high=high_L,
        dual_clip=dual_clip,
    )
