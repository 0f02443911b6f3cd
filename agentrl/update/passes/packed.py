"""Packed forward pass: sequences of different lengths through an unmodified Hugging Face model without padding.

All sequences of a batch are laid end to end as one row of L tokens, with positions that restart in each. Only inside
attention are they brought side by side, where causality hides the right padding: nothing else sees a pad.
Sequences that begin alike can be merged first: then the row holds every token that has the same past once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from agentrl.models.dense import Extras
from agentrl.update.passes import flex
from agentrl.update.passes.dense_attention import merged_dense, packed_dense
from agentrl.update.passes.pieces import Pieces
from agentrl.update.passes.tree import Part, Trie
from agentrl.update.passes.tree_attention import give, take, tree_attention
from agentrl.update.settings import Precision

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
      runs: length of each sequence, or run.
      longest: tokens of the longest sequence.
      ends_L: for each token, the number of the first token after those that have it in their past.
      parts: what tokens of merged sequences see beyond their own run.
    """

    positions_L: Tensor
    groups: tuple[Tensor, ...]
    order_L: Tensor
    runs: tuple[int, ...]
    longest: int
    ends_L: Tensor
    parts: tuple[Part, ...] = ()
    _masks: dict[int | None, Any] = field(default_factory=dict)

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
        ends = np.repeat(starts + lengths, lengths)
        positions_L, order_L, ends_L = (torch.as_tensor(x, device=device) for x in (positions, order, ends))
        return cls(positions_L, tuple(groups), order_L, tuple(lengths.tolist()), int(max(lengths, default=0)), ends_L)

    @classmethod
    def of_trie(cls, trie: Trie, device: torch.device | str = "cpu") -> "Packing":
        """Lay out merged sequences."""
        runs = cls.of(trie.runs, device)
        depths_L, ends_L = (torch.as_tensor(x, device=device) for x in (trie.depths_U, trie.ends_U))
        longest = max(map(len, trie.nodes), default=0)
        return cls(depths_L, runs.groups, runs.order_L, runs.runs, longest, ends_L, trie.parts)

    def mask(self, window: int | None) -> Any:
        """Return what tokens see, at most ``window`` of it, for the kernel of the GPU."""
        if window not in self._masks:
            self._masks[window] = flex.block_mask(self.ends_L, self.positions_L, window)
        return self._masks[window]


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
    extras = Extras.of(kwargs)
    is_plain = not extras.needed(packing.longest)
    if query.is_cuda and not (is_plain and not packing.parts):
        mask = packing.mask(None if is_plain else extras.window)
        return flex.attention(query, key, value, mask, kwargs.get("scaling"), extras), None
    repeats = heads // key.shape[1]
    if repeats > 1:  # enable_gqa falls off the fused path on CPU
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    query_LHD, key_LHD, value_LHD = (x[0].transpose(0, 1) for x in (query, key, value))
    scale = kwargs.get("scaling") or width**-0.5
    groups, order_L, parts = packing.groups, packing.order_L, packing.parts
    if parts and (not is_plain or value.shape[3] != width):  # the kernel below wants equal widths
        return merged_dense(query_LHD, key_LHD, value_LHD, packing.runs, parts, scale, extras)[None], None
    if not is_plain:
        return packed_dense(query_LHD, key_LHD, value_LHD, groups, order_L, scale, extras)[None], None
    if parts:
        return tree_attention(query_LHD, key_LHD, value_LHD, Pieces.of_all(groups, order_L, parts), scale)[None], None
    outputs_SHKD = []
    for index_SK in groups:
        q_SHKD, k_SHKD, v_SHKD = (take(x_LHD, index_SK) for x_LHD in (query_LHD, key_LHD, value_LHD))
        outputs_SHKD.append(scaled_dot_product_attention(q_SHKD, k_SHKD, v_SHKD, is_causal=True, scale=scale))
    return give(outputs_SHKD, order_L)[None], None


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
