"""Shaping of token advantages and masks by entropy.

Axis suffix: ``_L`` tokens of a packed batch; all arguments are of shape (L,).
"""

from typing import Literal

import torch
from torch import Tensor

from agentrl.errors import ConfigError, check_choice
from agentrl.losses.ratio import whole

# A spread of entropies below this share of their size is rounding (float32 has 1e-7).
ROUNDING = 1e-6


@torch.no_grad()
def entropy_aware_advantages(
    advantages: Tensor,
    entropies: Tensor,
    mask: Tensor | None = None,
    *,
    coefficient: float = 0.2,
    dialect: Literal["safe", "authors"] = "safe",
) -> Tensor:
    """Scale each advantage by how uncertain its token was: A (1 + a z), z the z-score of its entropy in the batch.

    Give it the whole batch of an update, not a micro-batch. Paper: AEPO, arXiv:2510.14545; a = 0.2 in its code.

    ``dialect="safe"``: the factor is never negative, and 1 where entropies are equal up to rounding or where there is
    one token. ``dialect="authors"``: as in the code, where a token with z < -1/a changes sign, rounding is amplified to
    factors such as 1.19, and a single token makes the loss NaN.

    Returns:
      shape (L,), without gradient, 0 where masked out.
    """
    check_choice("dialect", dialect, ("safe", "authors"))
    mask_L = whole(mask, advantages)
    entropy_L, advantage_L = torch.where(mask_L, entropies, 0.0), torch.where(mask_L, advantages, 0.0)
    count = mask_L.sum()
    mean = entropy_L.sum() / count.clamp(min=1)
    centred_L = torch.where(mask_L, entropy_L - mean, 0.0)
    if dialect == "authors":
        deviation = (centred_L.square().sum() / (count - 1)).sqrt()
        z_L = centred_L / torch.where(deviation == 0, 1.0, deviation)
        return advantage_L * (1.0 + coefficient * z_L)
    deviation = (centred_L.square().sum() / (count - 1).clamp(min=1)).sqrt()
    is_flat = deviation <= ROUNDING * mean.abs()
    z_L = torch.where(is_flat, 0.0, centred_L / torch.where(is_flat, 1.0, deviation))
    return advantage_L * (1.0 + coefficient * z_L).clamp(min=0.0)


@torch.no_grad()
def top_tokens(advantages: Tensor, entropies: Tensor, mask: Tensor | None = None, *, share: float) -> Tensor:
    """Return the mask of the tokens with the largest |A| H: at least one, at most ``share`` of those in the mask.

    Paper: D3S, arXiv:2509.22115, token level; its sample level is `agentrl.credit.d3s`. Tokens whose product is 0 are
    not chosen, so that no credit means no token.

    Raises:
      ConfigError: share is not in (0, 1].
    """
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"share is {share}: give the share of tokens to keep, more than 0 and at most 1")
    mask_L = whole(mask, advantages)
    weight_L = torch.where(mask_L, advantages.abs() * entropies, 0.0)
    keep = min(len(weight_L), max(1, int(share * int(mask_L.sum()))))
    chosen_L = torch.zeros_like(mask_L)
    chosen_L[weight_L.topk(keep).indices] = True
    return chosen_L & (weight_L > 0)
