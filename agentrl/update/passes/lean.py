"""The training pass of Llama-like models on CPU in a fraction of the passes over memory that their own modules take.

Gradients are those of the modules up to rounding. Of the last layer only what is wanted is computed: keys and values
of all tokens, the rest for those alone that predict a scored one.

Axis suffixes: ``_L`` tokens of the row, ``_Q`` wanted ones.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from agentrl.models.llama import Layer, is_bare
from agentrl.update.passes.lean_layers import advance, project
from agentrl.update.passes.packed import Packing
from agentrl.update.passes.pieces import Pieces
from agentrl.update.passes.tree_attention import tree_attention

FEW = 0.5
"""Attention of up to this share of the tokens is computed under a mask, which skips less than causality does."""


def fits(model: Any) -> bool:
    """Tell whether `lean_hidden_states` computes what ``model`` does: a bare one of the family, in float32, on CPU.

    Whatever changes a pass leaves it to the model's own modules: autocast, dropout, gradient checkpointing.
    """
    inner = model.base_model
    if not is_bare(model) or torch.is_autocast_enabled("cpu"):
        return False
    config = inner.config
    is_checkpointed = any(getattr(module, "gradient_checkpointing", False) for module in inner.modules())
    is_varied = model.training and (config.attention_dropout or is_checkpointed)
    if is_varied or getattr(config, "mlp_bias", False):
        return False
    return all(p.dtype == torch.float32 and p.device.type == "cpu" for p in inner.parameters())


def lean_hidden_states(model: Any, ids_L: Tensor, packing: Packing, wanted_Q: Tensor) -> Tensor:
    """Return the last hidden states of the wanted tokens, shape (Q, hidden). The model must fit."""
    inner = model.base_model
    rows_P, question_Q = torch.unique(wanted_Q, return_inverse=True)
    eps: float = inner.config.rms_norm_eps
    hidden = inner.embed_tokens(ids_L)
    cos, sin = inner.rotary_emb(hidden, packing.positions_L[None])
    half = cos.shape[-1] // 2
    rotation_L = torch.complex(cos[0, :, None, :half].contiguous(), sin[0, :, None, :half].contiguous())
    *layers, last = inner.layers
    layout = packing.groups, packing.order_L, packing.parts
    pieces = Pieces.of_all(*layout)
    for module in layers:
        heads = _Heads(module)
        hidden, query, key, value = heads.project(hidden, rotation_L, eps)
        hidden = _advance(heads, hidden, tree_attention(query, key, value, pieces, heads.scale), eps)
    heads = _Heads(last)
    if len(rows_P) > FEW * len(ids_L):
        hidden, query, key, value = heads.project(hidden, rotation_L, eps)
        attended = tree_attention(query, key, value, pieces, heads.scale).index_select(0, rows_P)
        hidden = hidden.index_select(0, rows_P)
    else:
        hidden, _, key, value = heads.project(hidden, rotation_L, eps, queries=False)
        hidden, query, _, _ = heads.project(hidden[rows_P], rotation_L[rows_P], eps, keys=False)
        attended = tree_attention(query, key, value, Pieces.of_few(*layout, rows_P), heads.scale)
    hidden = _advance(heads, hidden, attended, eps)
    return rms_norm(hidden, inner.norm.weight.shape, inner.norm.weight, eps).index_select(0, question_Q)


class _Heads:
    """A layer's parameters as `project` wants them.

    Args:
      module: the layer.
    """

    def __init__(self, module: Any) -> None:
        self.layer = Layer.of(module)
        attention = module.self_attn
        self.scale: float = attention.scaling
        self._counts = [len(weight) // attention.head_dim for weight, _ in (self.layer.query, self.layer.key)]

    def project(
        self, hidden: Tensor, rotation: Tensor, eps: float, *, queries: bool = True, keys: bool = True
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the hidden states, queries, keys and values."""
        layer, (heads, kv_heads) = self.layer, self._counts
        heads, kv_heads = heads * queries, kv_heads * keys
        turned = [(layer.query, layer.query_norm, heads)] * queries + [(layer.key, layer.key_norm, kv_heads)] * keys
        weights = [_interleave(weight, n) for (weight, _), _, n in turned] + [layer.value[0]] * keys
        biases = [_interleave(bias, n) for (_, bias), _, n in turned if bias is not None]
        scales = [_interleave(scale, 1).expand(n, -1) for _, scale, n in turned if scale is not None]
        if layer.value[1] is not None and keys:
            biases.append(layer.value[1])
        weight = torch.cat(weights) * layer.input_norm
        bias, scale = (torch.cat(one) if one else None for one in (biases, scales))
        return project(hidden, weight, bias, scale, rotation, heads, kv_heads, eps)


def _interleave(x: Tensor, heads: int) -> Tensor:
    """Let the two halves of each head take turns: (heads · D, ...) -> (heads · D, ...)."""
    half = len(x) // heads // 2
    return x.view(heads, 2, half, *x.shape[1:]).transpose(1, 2).flatten(0, 2)


def _advance(heads: _Heads, hidden: Tensor, attended: Tensor, eps: float) -> Tensor:
    layer = heads.layer
    gate, up = (weight * layer.post_norm for weight, _ in (layer.gate, layer.up))
    return advance(hidden, attended.flatten(1), *layer.output, gate, up, layer.down[0], eps)
