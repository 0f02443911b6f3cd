"""Correction for tokens that were sampled by another policy than the one whose log-probs the loss calls old.

The sampler (another engine, other kernels, earlier weights) had log-probs μ; the trainer computes π_old. All functions
return weights per token, without gradient, to multiply the loss with: 0 drops the token. Where the loss takes μ itself
for π_old, its ratio already includes the correction: do not apply it twice.
Axis suffix: ``_L`` tokens of a packed batch; arguments are of shape (L,).
"""

from typing import Literal

import torch
from torch import Tensor

from agentrl.errors import ConfigError, check_choice
from agentrl.losses.ratio import MAX_LOG_RATIO, segment_mean, segment_sum, whole

Correction = Literal["tis", "icepop", "sequence_tis", "sequence_mask", "geometric_filter", "k3_filter"]
CORRECTIONS = ("tis", "icepop", "sequence_tis", "sequence_mask", "geometric_filter", "k3_filter")
# (low, high) of each correction's statistic
BOUNDS = {
    "tis": (0.0, 2.0),
    "icepop": (0.5, 5.0),
    "sequence_tis": (0.0, 2.0),
    "sequence_mask": (0.0, 2.0),
    "geometric_filter": (0.999, 1.001),
    "k3_filter": (0.0, 1e-3),
}


@torch.no_grad()
def mismatch_weights(
    old_logprobs: Tensor,
    behavior_logprobs: Tensor,
    mask: Tensor | None = None,
    *,
    kind: Correction = "tis",
    low: float | None = None,
    high: float | None = None,
    sequence_index: Tensor | None = None,
) -> Tensor:
    """Weight of each token from ρ = π_old / μ.

        tis               min(max(ρ, low), high)                        truncated importance sampling; 0 to 2
        icepop            ρ where low <= ρ <= high, else 0              masked; 0.5 to 5
        sequence_tis      min(max(Π ρ, low), high) of the sequence      0 to 2
        sequence_mask     Π ρ where low <= Π ρ <= high, else 0          0 to 2
        geometric_filter  1 where low <= exp(mean log ρ) <= high        0.999 to 1.001
        k3_filter         1 where mean(ρ - 1 - log ρ) <= high           0 to 0.001

    The last four need ``sequence_index``. Products punish long sequences; the two filters do not. Multiply weights of a
    filter and of a token correction to have both. Sources: TIS, "Your Efficient RL Framework Secretly Brings You
    Off-Policy RL Training" (2025); IcePop, Ling team (2025); the defaults are those of verl and slime.

    Returns:
      shape (L,), 0 where masked out.
    """
    check_choice("correction", kind, CORRECTIONS)
    bound = [given if given is not None else usual for given, usual in zip((low, high), BOUNDS[kind], strict=True)]
    mask_L = whole(mask, old_logprobs)
    log_L = torch.where(mask_L, old_logprobs - behavior_logprobs, 0.0).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    statistic_L = log_L.exp() if kind in ("tis", "icepop") else _of_sequence(log_L, mask_L, kind, sequence_index)
    inside_L = (statistic_L >= bound[0]) & (statistic_L <= bound[1])
    if kind in ("tis", "sequence_tis"):
        weight_L = statistic_L.clamp(*bound)
    elif kind in ("icepop", "sequence_mask"):
        weight_L = torch.where(inside_L, statistic_L, 0.0)
    else:
        weight_L = inside_L.to(log_L.dtype)
    return torch.where(mask_L, weight_L, 0.0)


@torch.no_grad()
def off_policy_sequence_mask(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    sequence_index: Tensor,
    threshold: float = 1e-4,
) -> Tensor:
    """Drop the tokens with A < 0 of sequences that the policy has left: mean(log π_old - log π) > threshold.

    Source: OPSM in slime. Returns weights 0 or 1, 0 where masked out.
    """
    mask_L = whole(mask, logprobs)
    moved_L = segment_mean(torch.where(mask_L, old_logprobs - logprobs, 0.0), sequence_index, mask_L)
    return (mask_L & ~((advantages < 0) & (moved_L > threshold))).to(logprobs.dtype)


@torch.no_grad()
def second_moment_mask(
    logprobs: Tensor, old_logprobs: Tensor, mask: Tensor | None = None, *, threshold: float = 0.04
) -> Tensor:
    """Drop the tokens of largest (log r)² until the mean over the rest is at most ``threshold``.

    Paper: M2PO, arXiv:2510.01161. Returns weights 0 or 1, 0 where masked out; tokens with r = 1 are always kept.
    """
    mask_L = whole(mask, logprobs)
    square_L = torch.where(mask_L, logprobs - old_logprobs, 0.0).square()
    ascending, order = square_L[mask_L].sort()
    mean = ascending.cumsum(0) / torch.arange(1, len(ascending) + 1, device=ascending.device)
    kept = torch.zeros_like(ascending)
    kept[order[mean <= threshold]] = 1.0
    weight_L = torch.zeros_like(square_L)
    weight_L[mask_L] = kept
    return weight_L


def _of_sequence(log_L: Tensor, mask_L: Tensor, kind: Correction, sequence_index: Tensor | None) -> Tensor:
    """Return at each token the statistic of its sequence that ``kind`` bounds."""
    if sequence_index is None:
        raise ConfigError(f"correction {kind!r} needs sequence_index: the sequence number of each token")
    if kind == "k3_filter":
        return segment_mean(torch.expm1(log_L) - log_L, sequence_index, mask_L)
    if kind == "geometric_filter":
        return segment_mean(log_L, sequence_index, mask_L).exp()
    return segment_sum(log_L, sequence_index, mask_L).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
