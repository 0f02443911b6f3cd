"""Attention of merged sequences on a GPU: one compiled kernel that skips the blocks in which no token sees another."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention


def ancestor_mask(ends_U: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return the mask function of a trie: k is in the past of q iff k <= q < ends[k].

    ``ends_U`` is that of `agentrl.update.tree.Trie`, whose depth-first order makes descendants an interval.
    """

    def in_past(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (k <= q) & (q < ends_U[k])

    return in_past


def block_mask(ends_U: Tensor) -> BlockMask:
    """Return which blocks of (queries, keys) hold a pair where the key is in the query's past."""
    size = len(ends_U)
    return create_block_mask(ancestor_mask(ends_U), B=None, H=None, Q_LEN=size, KV_LEN=size, device=str(ends_U.device))


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scale: float | None) -> Tensor:
    """Query (1, H, U, D), key and value (1, Hkv, U, D) -> (1, U, H, D)."""
    kernel = _compiled() if query.is_cuda else flex_attention  # uncompiled it makes the whole matrix: for tests
    output: Tensor = kernel(query, key, value, block_mask=mask, scale=scale, enable_gqa=query.shape[1] != key.shape[1])
    return output.transpose(1, 2)
