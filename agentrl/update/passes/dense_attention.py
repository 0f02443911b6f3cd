"""Attention of packed or merged sequences with windows, soft caps and sinks: a block of queries at a time.

Axis suffixes: ``_L`` tokens of the row, ``_H`` heads, ``_D`` their width, ``_S`` sequences or runs of a group, ``_K``
tokens of the longest of them, ``_P`` what the last of these has in its past, itself included.
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from agentrl.models.dense import Extras, dense_attention
from agentrl.update.passes.tree import Part
from agentrl.update.passes.tree_attention import give, take

# Queries whose scores exist at a time.
_BLOCK = 256


def past_of(first: int, parts: tuple[Part, ...]) -> list[slice]:
    """Return the tokens above the run that begins with token ``first`` of a trie, from the root down."""
    above = (part for part in parts if part.first_query <= first < part.last_query)
    return [slice(part.first_key, part.last_key) for part in sorted(above)]


def packed_dense(
    query_LHD: Tensor,
    key_LHD: Tensor,
    value_LHD: Tensor,
    groups: tuple[Tensor, ...],
    order_L: Tensor,
    scale: float,
    extras: Extras,
) -> Tensor:
    """Return the attention of every token over its own sequence's past, shape (L, H, D); see `Packing` for the rest."""
    outputs = []
    for at_SK in groups:
        query, key, value = (take(x_LHD, at_SK) for x_LHD in (query_LHD, key_LHD, value_LHD))
        outputs.append(_by_blocks(query, key, value, scale, extras))
    return give(outputs, order_L)


def merged_dense(
    query_LHD: Tensor,
    key_LHD: Tensor,
    value_LHD: Tensor,
    runs: tuple[int, ...],
    parts: tuple[Part, ...],
    scale: float,
    extras: Extras,
) -> Tensor:
    """Return the attention of every token of a trie over its past, shape (L, H, D): each run apart."""
    outputs, first = [], 0
    for length in runs:
        own = slice(first, first + length)
        past = [*past_of(first, parts), own]
        keys, values = (torch.cat([x[at] for at in past]).transpose(0, 1)[None] for x in (key_LHD, value_LHD))
        queries = query_LHD[own].transpose(0, 1)[None]
        outputs.append(_by_blocks(queries, keys, values, scale, extras)[0].transpose(0, 1))
        first += length
    return torch.cat(outputs)


def _by_blocks(query_SHKD: Tensor, key_SHPD: Tensor, value_SHPD: Tensor, scale: float, extras: Extras) -> Tensor:
    """Attend from the last K of P positions to those before them; return (S, H, K, D)."""
    length, ahead = query_SHKD.shape[2], key_SHPD.shape[2] - query_SHKD.shape[2]
    outputs = []
    for begin in range(0, length, _BLOCK):
        end = min(begin + _BLOCK, length)
        lowest = 0 if extras.window is None else max(0, ahead + begin - extras.window + 1)
        keys = slice(lowest, ahead + end)
        distance_TP = torch.arange(ahead + begin, ahead + end, device=query_SHKD.device)[:, None] - torch.arange(
            lowest, ahead + end, device=query_SHKD.device
        )
        visible_TP = distance_TP >= 0
        if extras.window is not None:
            visible_TP &= distance_TP < extras.window
        part = query_SHKD[:, :, begin:end], key_SHPD[:, :, keys], value_SHPD[:, :, keys]
        # scores are made again in the backward pass: kept, they would be most of the memory
        arguments = *part, visible_TP[None, None], scale, extras
        outputs.append(checkpoint(dense_attention, *arguments, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(outputs, dim=2)
