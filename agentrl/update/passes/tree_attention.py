"""Attention of the tokens of a packed row or a trie: what a token sees is a few intervals, each computed densely.

Axis suffixes: ``_U`` tokens of the row, ``_P`` the ones whose attention is wanted, ``_H`` heads, ``_G`` heads of keys
and values, ``_D`` their width, ``_S`` runs of a group, ``_K`` tokens of the longest of them, ``_W`` the most queries in
one of them. Tensors keep the order of tokens, heads, width in memory: then rows are copied whole.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from agentrl.models import fused
from agentrl.update.passes.pieces import Pieces


def tree_attention(query_PHD: Tensor, key_UGD: Tensor, value_UGD: Tensor, pieces: Pieces, scale: float) -> Tensor:
    """Return the attention of every query over its past, shape (P, H, D), on CPU.

    A token's past is cut into its own run and one interval of each run above (`Trie`). Softmax
    over a union follows from those over its pieces, outputs o and log-normalisers z (:mod:`agentrl.models.fused`),
    and the gradient splits likewise: with p = exp(s - z) and Σ o·∂o over the whole past, each piece's share of the
    gradient of queries, keys and values is what the usual backward kernel gives from the merged o and z. So every
    kernel is dense, and nothing is gathered from the runs above. A mask is made only where few tokens are queries.

    Args:
      query_PHD: queries.
      key_UGD: keys; each of their heads serves H / G heads of queries, one after the other.
      value_UGD: values.
      pieces: what the queries see.
      scale: of the scores.
    """
    output: Tensor = _TreeAttention.apply(query_PHD, key_UGD, value_UGD, pieces, scale)  # type: ignore[no-untyped-call]
    return output


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query_PHD: Tensor, key_UGD: Tensor, value_UGD: Tensor, pieces: Pieces, scale: float
    ) -> Tensor:
        heads, own = query_PHD.shape[1], []
        for keys_SK, queries_SW, _, mask in pieces.own:
            key, value = (_expand(take(x, keys_SK), heads) for x in (key_UGD, value_UGD))
            query, is_causal = take(query_PHD, queries_SW), mask is None
            own.append(fused.forward(query, key, value, 0.0, is_causal, attn_mask=mask, scale=scale))
        output_PHD = give((output for output, _ in own), pieces.query_order_P)
        log_sum_PH = give((log_sum for _, log_sum in own), pieces.query_order_P)
        for part in pieces.parts:
            keys, queries = slice(*part[:2]), slice(*part[2:])
            key, value = (_expand(_heads_first(x[keys]), heads) for x in (key_UGD, value_UGD))
            output, log_sum = fused.forward(_heads_first(query_PHD[queries]), key, value, 0.0, False, scale=scale)
            fused.merge(output_PHD[queries], log_sum_PH[queries], output[0].transpose(0, 1), log_sum[0].T)
        ctx.save_for_backward(query_PHD, key_UGD, value_UGD, output_PHD, log_sum_PH)
        ctx.pieces, ctx.scale = pieces, scale
        return output_PHD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_PHD: Tensor) -> tuple[Tensor | None, ...]:
        query_PHD, key_UGD, value_UGD, output_PHD, log_sum_PH = ctx.saved_tensors
        heads, kv_heads, pieces = query_PHD.shape[1], key_UGD.shape[1], ctx.pieces
        of_queries = slope_PHD.contiguous(), query_PHD, output_PHD, log_sum_PH
        own = []
        for keys_SK, queries_SW, is_padding_SW, mask in pieces.own:
            slope, query, output, log_sum_SHW = (take(x, queries_SW) for x in of_queries)
            # where there is no query, an infinite normaliser makes probabilities and gradients 0
            log_sum_SHW.masked_fill_(is_padding_SW[:, None], torch.inf)
            key, value = (_expand(take(x, keys_SK), heads) for x in (key_UGD, value_UGD))
            tensors = slope, query, key, value, output, log_sum_SHW
            gradients = fused.backward(*tensors, 0.0, mask is None, attn_mask=mask, scale=ctx.scale)
            own.append((gradients[0], *(_fold(gradient, kv_heads) for gradient in gradients[1:])))
        orders = pieces.query_order_P, pieces.key_order_U, pieces.key_order_U
        totals = [give(one, order) for one, order in zip(zip(*own, strict=True), orders, strict=True)]
        for part in pieces.parts:
            keys, queries = slice(*part[:2]), slice(*part[2:])
            slope, query, output, log_sum = (_heads_first(x[queries]) for x in of_queries)
            key, value = (_expand(_heads_first(x[keys]), heads) for x in (key_UGD, value_UGD))
            gradients = fused.backward(slope, query, key, value, output, log_sum, 0.0, False, scale=ctx.scale)
            totals[0][queries] += gradients[0][0].transpose(0, 1)
            for total, gradient in zip(totals[1:], gradients[1:], strict=True):
                total[keys] += _fold(gradient, kv_heads)[0].transpose(0, 1)
        return *totals, None, None


def _expand(x_SGKD: Tensor, heads: int) -> Tensor:
    """Give each head of queries its head of keys: (S, G, K, D) -> (S, H, K, D)."""
    kv_heads = x_SGKD.shape[1]
    return x_SGKD if kv_heads == heads else x_SGKD.repeat_interleave(heads // kv_heads, dim=1)


def _fold(x_SHKD: Tensor, kv_heads: int) -> Tensor:
    """Add up over the heads of queries that a head of keys serves: (S, H, K, D) -> (S, G, K, D)."""
    return x_SHKD if x_SHKD.shape[1] == kv_heads else x_SHKD.view(len(x_SHKD), kv_heads, -1, *x_SHKD.shape[2:]).sum(2)


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
