"""Packed forward pass: sequences of different lengths through an unmodified Hugging Face model without padding.

All sequences of a batch are laid end to end as one row of L tokens, with positions that restart in each. Only inside
attention are they brought side by side, where causality hides the right padding: nothing else sees a pad.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

NAME = "agentrl_packed"


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the tokens of each sequence lie.

    Attributes:
      positions_L: position of each token inside its sequence.
      pad_index_SK: for sequence s and position k, the index of its token in the row (0 where there is none).
      flat_index_L: for each token, its index in the flattened (S, K) rectangle.
    """

    positions_L: Tensor
    pad_index_SK: Tensor
    flat_index_L: Tensor

    @classmethod
    def of(cls, lengths_S: Sequence[int], device: torch.device | str = "cpu") -> "Packing":
        """Lay out sequences of the given lengths."""
        lengths = torch.as_tensor(np.asarray(lengths_S), device=device)
        longest = int(lengths.max())
        starts = lengths.cumsum(0) - lengths
        grid = torch.arange(longest, device=device)
        inside = grid[None, :] < lengths[:, None]
        pad_index = torch.where(inside, starts[:, None] + grid[None, :], 0)
        flat_index = inside.flatten().nonzero().squeeze(1)
        return cls((flat_index % longest), pad_index, flat_index)


def _packed_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *, packing: Packing, **kwargs: Any
) -> tuple[Tensor, None]:
    """Causal attention inside each sequence. Query (1, H, L, D), key and value (1, Hkv, L, D) -> (1, L, H, D)."""
    heads, width = query.shape[1], query.shape[3]
    num_sequences, longest = packing.pad_index_SK.shape
    pad_index = packing.pad_index_SK.flatten()

    def side_by_side(x_1HLD: Tensor) -> Tensor:
        padded = x_1HLD[0].index_select(1, pad_index).view(x_1HLD.shape[1], num_sequences, longest, width)
        return padded.transpose(0, 1)

    repeats = heads // key.shape[1]
    key_SHKD, value_SHKD = side_by_side(key), side_by_side(value)
    if repeats > 1:  # enable_gqa falls off the fused path on CPU
        key_SHKD, value_SHKD = (x.repeat_interleave(repeats, dim=1) for x in (key_SHKD, value_SHKD))
    out_SHKD = scaled_dot_product_attention(
        side_by_side(query), key_SHKD, value_SHKD, is_causal=True, scale=kwargs.get("scaling")
    )
    out = out_SHKD.transpose(1, 2).reshape(num_sequences * longest, heads, width)
    return out.index_select(0, packing.flat_index_L)[None], None


AttentionInterface.register(NAME, _packed_attention)
AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Route the model's attention through the packed layout inside the block."""
    config = model.config
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def packed_hidden_states(model: Any, ids_L: Tensor, packing: Packing) -> Tensor:
    """Return the last hidden state of every token, shape (L, hidden)."""
    with packed_attention(model):
        output = model.base_model(
            input_ids=ids_L[None], position_ids=packing.positions_L[None], use_cache=False, packing=packing
        )
    hidden: Tensor = output.last_hidden_state[0]
    return hidden
