"""Attention of the unique tokens of a trie: what a token sees is a few intervals, each computed by a dense kernel.

Axis suffixes: ``_U`` unique tokens, ``_HUD`` heads first, ``_S`` runs of a group, ``_K`` tokens of the longest of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from agentrl.trainer.tree import Part

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def tree_attention(
    query_HUD: Tensor,
    key_HUD: Tensor,
    value_HUD: Tensor,
    groups: Sequence[Tensor],
    order_U: Tensor,
    parts: Sequence[Part],
    scale: float,
) -> Tensor:
    """Return the attention of every token over its past, shape (U, H, D), on CPU.

    A token's past is cut into its own run and one interval of each run above (`agentrl.trainer.tree.Trie`). Softmax
    over a union follows from those over its pieces, with o the output and z the log of the normaliser of each:

        z = log Σᵢ exp zᵢ,   o = Σᵢ exp(zᵢ - z) oᵢ

    and the gradient splits likewise: with p = exp(s - z) and Σ o·∂o over the whole past, each piece's share of the
    gradient of queries, keys and values is what the usual backward kernel gives from the merged o and z. So every
    kernel is dense, nothing is gathered from the runs above, and no mask is made.

    Args:
      query_HUD: queries.
      key_HUD: keys, as many heads as queries.
      value_HUD: values.
      groups: for runs of similar length, the number of each token, (S, K); see `agentrl.trainer.packed.Packing`.
      order_U: for each token, its index in the concatenation of the flattened groups.
      parts: what tokens see beyond their own run.
      scale: of the scores.
    """
    output: Tensor = _TreeAttention.apply(query_HUD, key_HUD, value_HUD, groups, order_U, parts, scale)  # type: ignore[no-untyped-call]
    return output.transpose(0, 1)


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_HUD: Tensor,
        key_HUD: Tensor,
        value_HUD: Tensor,
        groups: Sequence[Tensor],
        order_U: Tensor,
        parts: Sequence[Part],
        scale: float,
    ) -> Tensor:
        inputs = query_HUD, key_HUD, value_HUD
        own = [_forward(*(_take(x, index_SK) for x in inputs), 0.0, True, scale=scale) for index_SK in groups]
        output_HUD = _give((output for output, _ in own), order_U)
        log_sum_HU = _give((log_sum for _, log_sum in own), order_U)
        for part in parts:
            keys, queries = slice(*part[:2]), slice(*part[2:])
            pieces = query_HUD[None, :, queries], key_HUD[None, :, keys], value_HUD[None, :, keys]
            output, log_sum = _forward(*pieces, 0.0, False, scale=scale)
            _merge(output_HUD[:, queries], log_sum_HU[:, queries], output[0], log_sum[0])
        ctx.save_for_backward(*inputs, output_HUD, log_sum_HU, order_U, *groups)
        ctx.parts, ctx.scale = parts, scale
        return output_HUD

    @staticmethod
    def backward(ctx: Any, slope_HUD: Tensor) -> tuple[Tensor | None, ...]:
        query_HUD, key_HUD, value_HUD, output_HUD, log_sum_HU, order_U, *groups = ctx.saved_tensors
        tensors = slope_HUD, query_HUD, key_HUD, value_HUD, output_HUD
        own = []
        for index_SK in groups:
            # where a short run is padded, an infinite normaliser makes its probabilities and gradients 0
            padding_SK = torch.zeros_like(index_SK, dtype=torch.bool)
            padding_SK[:, 1:] = index_SK[:, 1:] == 0
            log_sum_SHK = _take(log_sum_HU, index_SK).masked_fill(padding_SK[:, None], torch.inf)
            taken = (_take(x, index_SK) for x in tensors)
            own.append(_backward(*taken, log_sum_SHK, 0.0, True, scale=ctx.scale))
        query_grad, key_grad, value_grad = (_give(one, order_U) for one in zip(*own, strict=True))
        for part in ctx.parts:
            keys, queries = slice(*part[:2]), slice(*part[2:])
            where = queries, queries, keys, keys, queries
            pieces = [x[None, :, at] for x, at in zip((*tensors, log_sum_HU), (*where, queries), strict=True)]
            gradients = _backward(*pieces, 0.0, False, scale=ctx.scale)
            for total, at, gradient in zip(
                (query_grad, key_grad, value_grad), (queries, keys, keys), gradients, strict=True
            ):
                total[:, at] += gradient[0]
        return query_grad, key_grad, value_grad, None, None, None, None


def _take(x_HU: Tensor, index_SK: Tensor) -> Tensor:
    """(H, U, ...) -> (S, H, K, ...)."""
    taken = x_HU.index_select(1, index_SK.flatten())
    return taken.view(len(taken), *index_SK.shape, *taken.shape[2:]).transpose(0, 1)


def _give(groups_SHK: Iterator[Tensor] | Sequence[Tensor], order_U: Tensor) -> Tensor:
    """(S, H, K, ...) of each group -> (H, U, ...)."""
    rows = [x.transpose(0, 1).flatten(1, 2) for x in groups_SHK]
    return torch.cat(rows, dim=1).index_select(1, order_U)


def _merge(output_HQD: Tensor, log_sum_HQ: Tensor, more_HQD: Tensor, more_log_sum_HQ: Tensor) -> None:
    """Take another piece of the past into the attention of some tokens, in place."""
    share_HQ1 = torch.sigmoid(more_log_sum_HQ - log_sum_HQ)[..., None]  # exp(z₂) / (exp(z₁) + exp(z₂))
    output_HQD.lerp_(more_HQD, share_HQ1.to(output_HQD.dtype))
    torch.logaddexp(log_sum_HQ, more_log_sum_HQ, out=log_sum_HQ)
