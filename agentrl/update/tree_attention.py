"""Attention of the unique tokens of a trie: what a token sees is a few intervals, each computed by a dense kernel.

Axis suffixes: ``_U`` unique tokens, ``_H`` heads, ``_D`` their width, ``_S`` runs of a group, ``_K`` tokens of the
longest of them. Tensors keep the order of tokens, heads, width in memory: then rows are copied whole.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from agentrl.engines import fused
from agentrl.update.tree import Part


def tree_attention(
    query_UHD: Tensor,
    key_UHD: Tensor,
    value_UHD: Tensor,
    groups: Sequence[Tensor],
    order_U: Tensor,
    parts: Sequence[Part],
    scale: float,
) -> Tensor:
    """Return the attention of every token over its past, shape (U, H, D), on CPU.

    A token's past is cut into its own run and one interval of each run above (`agentrl.update.tree.Trie`). Softmax
    over a union follows from those over its pieces, outputs o and log-normalisers z (:mod:`agentrl.engines.fused`),
    and the gradient splits likewise: with p = exp(s - z) and Σ o·∂o over the whole past, each piece's share of the
    gradient of queries, keys and values is what the usual backward kernel gives from the merged o and z. So every
    kernel is dense, nothing is gathered from the runs above, and no mask is made.

    Args:
      query_UHD: queries.
      key_UHD: keys, as many heads as queries.
      value_UHD: values.
      groups: for runs of similar length, the number of each token, (S, K); see `agentrl.update.packed.Packing`.
      order_U: for each token, its index in the concatenation of the flattened groups.
      parts: what tokens see beyond their own run.
      scale: of the scores.
    """
    arguments = query_UHD, key_UHD, value_UHD, groups, order_U, parts, scale
    output: Tensor = _TreeAttention.apply(*arguments)  # type: ignore[no-untyped-call]
    return output


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_UHD: Tensor,
        key_UHD: Tensor,
        value_UHD: Tensor,
        groups: Sequence[Tensor],
        order_U: Tensor,
        parts: Sequence[Part],
        scale: float,
    ) -> Tensor:
        inputs = query_UHD, key_UHD, value_UHD
        own = [fused.forward(*(take(x, index_SK) for x in inputs), 0.0, True, scale=scale) for index_SK in groups]
        output_UHD = give((output for output, _ in own), order_U)
        log_sum_UH = give((log_sum for _, log_sum in own), order_U)
        for part in parts:
            keys, queries = slice(*part[:2]), slice(*part[2:])
            pieces = (_heads_first(x[at]) for x, at in zip(inputs, (queries, keys, keys), strict=True))
            output, log_sum = fused.forward(*pieces, 0.0, False, scale=scale)
            fused.merge(output_UHD[queries], log_sum_UH[queries], output[0].transpose(0, 1), log_sum[0].T)
        ctx.save_for_backward(*inputs, output_UHD, log_sum_UH, order_U, *groups)
        ctx.parts, ctx.scale = parts, scale
        return output_UHD

    @staticmethod
    def backward(ctx: Any, slope_UHD: Tensor) -> tuple[Tensor | None, ...]:
        query_UHD, key_UHD, value_UHD, output_UHD, log_sum_UH, order_U, *groups = ctx.saved_tensors
        tensors = slope_UHD.contiguous(), query_UHD, key_UHD, value_UHD, output_UHD, log_sum_UH
        own = []
        for index_SK in groups:
            *taken, log_sum_SHK = (take(x, index_SK) for x in tensors)
            # where a short run is padded, an infinite normaliser makes its probabilities and gradients 0
            padding_SK = torch.zeros_like(index_SK, dtype=torch.bool)
            padding_SK[:, 1:] = index_SK[:, 1:] == 0
            log_sum_SHK.masked_fill_(padding_SK[:, None], torch.inf)
            own.append(fused.backward(*taken, log_sum_SHK, 0.0, True, scale=ctx.scale))
        totals = [give(one, order_U) for one in zip(*own, strict=True)]
        for part in ctx.parts:
            keys, queries = slice(*part[:2]), slice(*part[2:])
            where = queries, queries, keys, keys, queries, queries
            pieces = (_heads_first(x[at]) for x, at in zip(tensors, where, strict=True))
            gradients = fused.backward(*pieces, 0.0, False, scale=ctx.scale)
            for total, at, gradient in zip(totals, where[1:4], gradients, strict=True):
                total[at] += gradient[0].transpose(0, 1)
        return *totals, None, None, None, None


def take(x_UH: Tensor, index_SK: Tensor) -> Tensor:
    """Bring the tokens of each run side by side: (U, H, ...) -> (S, H, K, ...)."""
    taken = x_UH.index_select(0, index_SK.flatten())
    return taken.view(*index_SK.shape, *taken.shape[1:]).transpose(1, 2)


def give(groups_SHK: Iterable[Tensor], order_U: Tensor) -> Tensor:
    """Put the tokens of all groups back: (S, H, K, ...) each -> (U, H, ...)."""
    return torch.cat([x.transpose(1, 2).flatten(0, 1) for x in groups_SHK]).index_select(0, order_U)


def _heads_first(x_UH: Tensor) -> Tensor:
    """(U, H, ...) -> (1, H, U, ...)."""
    return x_UH.transpose(0, 1)[None]
