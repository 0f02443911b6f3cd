"""Importance ratios of the current policy to an older one, at the level of tokens, turns or sequences.

Axis suffixes: ``_L`` tokens of a packed batch, ``_S`` segments (turns or sequences).
"""

from typing import Literal

import torch
from torch import Tensor

from agentrl.errors import ConfigError, check_choice

RatioLevel = Literal["token", "turn", "sequence"]

# exp(20) is 5e8: far outside every clip range, far inside float32.
MAX_LOG_RATIO = 20.0


def segment_sum(value_L: Tensor, index_L: Tensor, mask_L: Tensor) -> Tensor:
    """Return at each token of the mask the sum over the masked tokens of its segment.

    Args:
      value_L: finite where masked out as well.
      index_L: int64 segment of each token, from 0.
      mask_L: bool, tokens that count; at the others the result means nothing.
    """
    index_L = torch.where(mask_L, index_L, 0)
    num_segments = int(index_L.max()) + 1 if len(index_L) else 0
    total_S = value_L.new_zeros(num_segments).index_add(0, index_L, value_L * mask_L)
    return total_S[index_L]


def segment_mean(value_L: Tensor, index_L: Tensor, mask_L: Tensor) -> Tensor:
    """Return at each token of the mask the mean over the masked tokens of its segment (see `segment_sum`)."""
    count_L = segment_sum(torch.ones_like(value_L), index_L, mask_L)
    return segment_sum(value_L, index_L, mask_L) / count_L.clamp(min=1.0)


def segment_index(level: RatioLevel, sequence_index: Tensor | None, turn_index: Tensor | None) -> Tensor | None:
    """Return the segment vector that belongs to a level, None for "token".

    Raises:
      ConfigError: unknown level, or the vector it needs is missing.
    """
    check_choice("ratio_level", level, ("token", "turn", "sequence"))
    if level == "token":
        return None
    index_L = turn_index if level == "turn" else sequence_index
    if index_L is None:
        raise ConfigError(f"ratio_level {level!r} needs {level}_index: the {level} number of each token")
    return index_L


def log_ratio(
    logprobs: Tensor,
    old_logprobs: Tensor,
    mask: Tensor,
    *,
    level: RatioLevel = "token",
    sequence_index: Tensor | None = None,
    turn_index: Tensor | None = None,
) -> Tensor:
    """Return the log ratio at each token, 0 where masked out, within ±20.

    Above the token level its value is the mean over the segment, and its gradient is that of the token alone:

        log s_t = sg[mean_{u in segment}(log π(u) - log π_old(u))] + log π(t) - sg[log π(t)]

    which is GSPO-token (arXiv:2507.18071, Eq. 13-14). If the advantage is constant in the segment and the loss is
    averaged over it, its gradient equals GSPO's own. Turn numbers must be unique over the batch, not only inside a
    sequence.
    """
    index_L = segment_index(level, sequence_index, turn_index)
    token_L = torch.where(mask, logprobs - old_logprobs, 0.0)
    if index_L is not None:
        shared_L = segment_mean(token_L.detach(), index_L, mask)
        token_L = torch.where(mask, shared_L + token_L - token_L.detach(), 0.0)
    return token_L.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def whole(mask: Tensor | None, like: Tensor) -> Tensor:
    """Return the mask, or one that is True everywhere."""
    return torch.ones_like(like, dtype=torch.bool) if mask is None else mask
