"""Attention of merged sequences on a GPU: one compiled kernel that skips the blocks in which no token sees another."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, create_block_mask, flex_attention

from agentrl.models.dense import Extras


def ancestor_mask(
    ends_U: Tensor, depths_U: Tensor, window: int | None = None
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return the mask function of a trie: k is in the past of q iff k <= q < ends[k], and less than a window above it.

    ``ends_U`` and ``depths_U`` are those of `Trie`, whose depth-first order makes descendants an
    interval.
    """

    def in_past(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (k <= q) & (q < ends_U[k])

    if window is None:
        return in_past

    def in_window(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return in_past(batch, head, q, k) & (depths_U[q] - depths_U[k] < window)

    return in_window


def block_mask(ends_U: Tensor, depths_U: Tensor, window: int | None = None) -> BlockMask:
    """Return which blocks of (queries, keys) hold a pair where the query sees the key."""
    size, mask = len(ends_U), ancestor_mask(ends_U, depths_U, window)
    return create_block_mask(mask, B=None, H=None, Q_LEN=size, KV_LEN=size, device=str(ends_U.device))


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scale: float | None, extras: Extras | None = None
) -> Tensor:
    """Query (1, H, U, D), key and value (1, Hkv, U, D) -> (1, U, H, D); the mask holds the window of ``extras``."""
    kernel = _compiled() if query.is_cuda else flex_attention  # uncompiled it makes the whole matrix: for tests
    extras = extras or Extras()
    modifier = None if extras.softcap is None else capped(extras.softcap)
    is_grouped = query.shape[1] != key.shape[1]
    arguments = {"score_mod": modifier, "block_mask": mask, "scale": scale, "enable_gqa": is_grouped}
    if extras.sinks_H is None:
        output: Tensor = kernel(query, key, value, **arguments)
        return output.transpose(1, 2)
    output, aux = kernel(query, key, value, return_aux=AuxRequest(lse=True), **arguments)
    # a sink is one more score in the normaliser: exp(z) / (exp(z) + exp(sink))
    kept = torch.sigmoid(aux.lse - extras.sinks_H.to(aux.lse.dtype)[None, :, None])
    return (output * kept[..., None].to(output.dtype)).transpose(1, 2)


def capped(softcap: float) -> Callable[..., Tensor]:
    """Return the modifier of scores s: softcap · tanh(s / softcap)."""

    def modify(score: Tensor, _batch: Tensor, _head: Tensor, _q: Tensor, _k: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return modify
