"""Sampling of one token for each row of a batch, with log-probabilities and exact entropies.

Axes: ``_B`` rows, ``_V`` vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Mix:
    """Which kinds of rows a batch holds, so that work nobody asked for is left out."""

    greedy: bool
    drawn: bool
    nucleus: bool
    alternatives: bool = False


@dataclass(frozen=True, slots=True)
class Sampled:
    """One token per row.

    Attributes:
      ids_B: the tokens, int64.
      logprobs_B: their log-probabilities in nats.
      entropies_B: entropies in nats of the distribution that the log-probabilities belong to.
      alternative_ids_B: the most probable tokens that were not sampled, where the mix asks for them; else None.
      alternative_logprobs_B: their log-probabilities.
    """

    ids_B: Tensor
    logprobs_B: Tensor
    entropies_B: Tensor
    alternative_ids_B: Tensor | None = None
    alternative_logprobs_B: Tensor | None = None


def sample(logits_BV: Tensor, temperature_B: Tensor, top_p_B: Tensor, uniforms_B: Tensor, mix: Mix) -> Sampled:
    """Sample by inverting the cumulative distribution at one uniform number per row.

        p_v = softmax(logits / temperature)_v,  token = min{v : p_0 + ... + p_v > u},  H = -Σ p_v ln p_v

    One uniform decides one token, so a row's tokens depend on its own numbers alone. A temperature of 0 takes the
    most probable token and reports log-probability and entropy at temperature 1. Nucleus sampling (Holtzman et al.,
    arXiv:1904.09751) keeps the smallest set of most probable tokens whose mass reaches ``top_p``; what is reported
    stays that of the full distribution.

    Args:
      logits_BV: finite scores, any float dtype; all arithmetic is in float32.
      temperature_B: not negative.
      top_p_B: in (0, 1].
      uniforms_B: in [0, 1), float32.
      mix: what the batch holds; must cover every row whose result matters.
    """
    logits = logits_BV.float()
    if mix.drawn:
        scale = torch.where(temperature_B > 0, temperature_B, 1.0)
        logits = logits / scale[:, None]
    logprobs_BV = torch.log_softmax(logits, dim=-1)
    probs_BV = logprobs_BV.exp()
    entropies_B = -torch.linalg.vecdot(probs_BV, logprobs_BV)
    ids_B = _invert(probs_BV, uniforms_B) if mix.drawn else logprobs_BV.argmax(dim=-1)
    if mix.nucleus:
        rows = (top_p_B < 1).nonzero().squeeze(1)
        ids_B[rows] = _invert_nucleus(probs_BV[rows], top_p_B[rows], uniforms_B[rows])
    if mix.drawn and mix.greedy:
        ids_B = torch.where(temperature_B > 0, ids_B, logprobs_BV.argmax(dim=-1))
    logprobs_B = logprobs_BV.gather(1, ids_B[:, None]).squeeze(1)
    if not mix.alternatives:
        return Sampled(ids_B, logprobs_B, entropies_B)
    others = logprobs_BV.scatter_(1, ids_B[:, None], -torch.inf).max(dim=-1)
    return Sampled(ids_B, logprobs_B, entropies_B, others.indices, others.values)


def _invert(probs_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """Return the first index whose cumulative mass exceeds the uniform's share of the total."""
    cumulative = probs_BV.cumsum(dim=-1)
    targets = uniforms_B[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, targets, right=True).squeeze(1).clamp_(max=probs_BV.shape[1] - 1)


def _invert_nucleus(probs_BV: Tensor, top_p_B: Tensor, uniforms_B: Tensor) -> Tensor:
    """Invert within the most probable tokens that together reach ``top_p``."""
    ordered, indices = probs_BV.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = ordered.masked_fill(before >= top_p_B[:, None], 0.0)
    return indices.gather(1, _invert(kept, uniforms_B)[:, None]).squeeze(1)
