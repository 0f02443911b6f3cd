"""Packed forward pass: sequences of different lengths through an unmodified Hugging Face model without padding.

All sequences of a batch are laid end to end as one row of L tokens, with positions that restart in each. Only inside
attention are they brought side by side, where causality hides the right padding: nothing else sees a pad.
Sequences that begin alike can be merged first: then the row holds every token that has the same past once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from agentrl.update import flex
from agentrl.update.settings import Precision
from agentrl.update.tree import Part, Trie
from agentrl.update.tree_attention import give, take, tree_attention

NAME = "agentrl_packed"


# Sequences are padded only to the longest of their group; a shorter one than this share of it begins a new group.
GROUP_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the tokens of each sequence lie, or of each run of a trie.

    Attributes:
      positions_L: position of each token inside its sequence.
      groups: for sequences of similar length, the index in the row of each token, (S, K), 0 where there is none.
      order_L: for each token, its index in the concatenation of the flattened groups.
      parts: what tokens of merged sequences see beyond their own run.
      block_mask: the same for the kernel of the GPU; None on CPU and where nothing is merged.
    """

    positions_L: Tensor
    groups: tuple[Tensor, ...]
    order_L: Tensor
    parts: tuple[Part, ...] = ()
    block_mask: Any = None

    @classmethod
    def of(cls, lengths_S: Sequence[int], device: torch.device | str = "cpu") -> "Packing":
        """Lay out sequences of the given lengths."""
        lengths = np.asarray(lengths_S)
        starts = lengths.cumsum() - lengths
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        order = np.empty(lengths.sum(), dtype=np.int64)
        groups, offset = [], 0
        for members in _similar(lengths):
            grid = np.arange(lengths[members].max())
            inside = grid[None, :] < lengths[members, None]
            index = np.where(inside, starts[members, None] + grid[None, :], 0)
            order[index[inside]] = offset + np.flatnonzero(inside)
            groups.append(torch.as_tensor(index, device=device))
            offset += index.size
        return cls(torch.as_tensor(positions, device=device), tuple(groups), torch.as_tensor(order, device=device))

    @classmethod
    def of_trie(cls, trie: Trie, device: torch.device | str = "cpu") -> "Packing":
        """Lay out merged sequences."""
        block_mask = None
        if trie.parts and torch.device(device).type == "cuda":
            block_mask = flex.block_mask(torch.as_tensor(trie.ends_U, device=device))
        positions = torch.as_tensor(trie.depths_U, device=device)
        return replace(cls.of(trie.runs, device), positions_L=positions, parts=trie.parts, block_mask=block_mask)


def _similar(lengths_S: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the sequences in groups of similar length, long ones first."""
    order = np.argsort(-lengths_S, kind="stable")
    while len(order):
        count = int((lengths_S[order] >= GROUP_SHARE * lengths_S[order[0]]).sum())
        yield order[:count]
        order = order[count:]


def _packed_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *, packing: Packing, **kwargs: Any
) -> tuple[Tensor, None]:
    """Causal attention inside each sequence. Query (1, H, L, D), key and value (1, Hkv, L, D) -> (1, L, H, D)."""
    heads, width = query.shape[1], query.shape[3]
    query, key = query.to(value.dtype), key.to(value.dtype)  # under autocast the rotation has widened them
    if packing.block_mask is not None:
        return flex.attention(query, key, value, packing.block_mask, kwargs.get("scaling")), None
    repeats = heads // key.shape[1]
    if repeats > 1:  # enable_gqa falls off the fused path on CPU
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    query_LHD, key_LHD, value_LHD = (x[0].transpose(0, 1) for x in (query, key, value))
    scale = kwargs.get("scaling") or width**-0.5
    if packing.parts:
        groups, order_L, parts = packing.groups, packing.order_L, packing.parts
        return tree_attention(query_LHD, key_LHD, value_LHD, groups, order_L, parts, scale)[None], None
    outputs_SHKD = []
    for index_SK in packing.groups:
        q_SHKD, k_SHKD, v_SHKD = (take(x_LHD, index_SK) for x_LHD in (query_LHD, key_LHD, value_LHD))
        outputs_SHKD.append(scaled_dot_product_attention(q_SHKD, k_SHKD, v_SHKD, is_causal=True, scale=scale))
    return give(outputs_SHKD, packing.order_L)[None], None


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


def packed_hidden_states(model: Any, ids_L: Tensor, packing: Packing, dtype: Precision = "float32") -> Tensor:
    """Return the last hidden state of every token, shape (L, hidden).

    In bfloat16 the products with the weights and attention are, and so is the result; norms and the sum of the layers
    stay in the weights' own dtype. "float32" leaves all in that.
    """
    is_half = dtype == "bfloat16"
    with packed_attention(model), torch.autocast(ids_L.device.type, torch.bfloat16, enabled=is_half):
        output = model.base_model(
            input_ids=ids_L[None], position_ids=packing.positions_L[None], use_cache=False, packing=packing
        )
    hidden: Tensor = output.last_hidden_state[0]
    return hidden.bfloat16() if is_half else hidden
