"""Attention in plain operations, for models that ask for more than a softmax over the past.

Axes: ``_B`` rows, ``H`` heads, ``T`` query tokens, ``S`` key positions, ``D`` width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from agentrl.errors import ModelError

# Arguments of transformers' attention that change its result and are computed nowhere here.
_UNKNOWN = ("position_bias", "sinks", "indices", "block_indices")


@dataclass(frozen=True, slots=True)
class Extras:
    """What a layer's attention does beyond a softmax over the past.

        s = scale · q·k,  capped to softcap · tanh(s / softcap);  p = exp(s) / (exp(sink) + Σ exp(s))

    Attributes:
      window: a token sees itself and the window - 1 tokens before it; None: all before it.
      softcap: bound that scores approach; None without one (Gemma 2).
      sinks_H: a score in each head's normaliser that no value belongs to; None without (gpt-oss).
    """

    window: int | None = None
    softcap: float | None = None
    sinks_H: Tensor | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "Extras":
        """Read the arguments that a transformers model gives to its attention function.

        Raises:
          ModelError: one of them asks for something else.
        """
        for name in _UNKNOWN:
            if arguments.get(name) is not None:
                raise ModelError(f"the model's attention uses {name}, which is not computed here: choose another model")
        return cls(arguments.get("sliding_window"), arguments.get("softcap"), arguments.get("s_aux"))

    def needed(self, length: int) -> bool:
        """Tell whether anything differs from plain attention over ``length`` positions."""
        slides = self.window is not None and self.window < length
        return slides or self.softcap is not None or self.sinks_H is not None


def dense_attention(
    query: Tensor, key: Tensor, value: Tensor, visible_BHTS: Tensor, scale: float, extras: Extras
) -> Tensor:
    """Attend from query (B, H, T, D) to key and value (B, H, S, D), with soft cap and sinks; return (B, H, T, D).

    ``visible_BHTS`` tells which positions a token sees, its window included; axes of length 1 are broadcast. Scores are
    in float32 at least.
    """
    if extras.softcap is None and extras.sinks_H is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=visible_BHTS, scale=scale)
    scores = torch.matmul(query, key.transpose(-1, -2)) * scale
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if extras.softcap is not None:
        scores = extras.softcap * torch.tanh(scores / extras.softcap)
    scores = scores.masked_fill(~visible_BHTS, -torch.inf)
    if extras.sinks_H is not None:
        sinks = extras.sinks_H.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, sinks], dim=-1)
    weights = scores.softmax(-1)[..., : key.shape[2]]
    return torch.matmul(weights.to(value.dtype), value)
