"""The forward pass of Llama-like models in about a third of the operations that transformers' modules take.

A small model's decoding step is made of many tiny operations, whose dispatch costs more than their arithmetic. For
the families below the same pass, over the model's own parameters (nothing is copied, so nothing can be stale), is
written out with fused normalisation and rotation. Any other model runs through its own modules.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear, rms_norm, silu
from transformers import LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

from agentrl.engines.slots import SlotCache, Window

_FAMILY = (LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)

_Affine = tuple[Tensor, Tensor | None]
"""Weight and bias."""


def _affine(module: Any) -> _Affine:
    return module.weight, module.bias


@dataclass(frozen=True, slots=True)
class _Layer:
    """The parameters of one decoder layer."""

    input_norm: Tensor
    query: _Affine
    key: _Affine
    value: _Affine
    query_norm: Tensor | None
    key_norm: Tensor | None
    output: _Affine
    post_norm: Tensor
    gate: _Affine
    up: _Affine
    down: _Affine

    @classmethod
    def of(cls, layer: Any) -> "_Layer":
        attention, mlp = layer.self_attn, layer.mlp
        return cls(
            input_norm=layer.input_layernorm.weight,
            query=_affine(attention.q_proj),
            key=_affine(attention.k_proj),
            value=_affine(attention.v_proj),
            query_norm=attention.q_norm.weight if hasattr(attention, "q_norm") else None,
            key_norm=attention.k_norm.weight if hasattr(attention, "k_norm") else None,
            output=_affine(attention.o_proj),
            post_norm=layer.post_attention_layernorm.weight,
            gate=_affine(mlp.gate_proj),
            up=_affine(mlp.up_proj),
            down=_affine(mlp.down_proj),
        )


class LeanModel:
    """A Llama, Qwen2 or Qwen3 that writes to and reads from a slot cache.

    Args:
      model: one that :meth:`fits`.
      cache: where keys and values go.
    """

    def __init__(self, model: Any, cache: SlotCache) -> None:
        self._inner = model.model
        self._head = _affine(model.lm_head)
        self._layers = [_Layer.of(layer) for layer in model.model.layers]
        self._cache = cache
        self._eps: float = model.config.rms_norm_eps
        self._head_width: int = model.model.layers[0].self_attn.head_dim

    @staticmethod
    def fits(model: Any) -> bool:
        """Tell whether ``model`` is of a known family with nothing added: no adapters, quantisation or hooks."""
        if type(model) not in _FAMILY or model.config.hidden_act != "silu":
            return False
        for name, module in model.named_modules():
            is_projection = name.endswith(("_proj", "lm_head"))
            if (is_projection and type(module) is not Linear) or module._forward_hooks or module._forward_pre_hooks:
                return False
        return True

    def __call__(self, ids_BT: Tensor, window: Window) -> Tensor:
        """Return the scores after each row's last column, (B, V)."""
        hidden = self._inner.embed_tokens(ids_BT)
        positions_BT = window.positions_BT.clamp(max=self._cache.max_context - 1)
        cos, sin = self._inner.rotary_emb(hidden, positions_BT)
        half = sin.shape[-1] // 2
        # x1, x2 -> x1 cos - x2 sin, x2 cos + x1 sin: the halves change places, and the first sine its sign.
        signed_sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        rotation = cos[:, :, None], signed_sin[:, :, None]
        for index, layer in enumerate(self._layers):
            hidden = hidden + self._attention(index, layer, self._norm(hidden, layer.input_norm), rotation)
            normed = self._norm(hidden, layer.post_norm)
            hidden = hidden + linear(silu(linear(normed, *layer.gate)) * linear(normed, *layer.up), *layer.down)
        return linear(self._norm(hidden[:, -1], self._inner.norm.weight), *self._head)

    def _attention(self, index: int, layer: _Layer, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Attend in layer ``index``: (B, T, hidden) -> (B, T, hidden)."""
        shape = (*hidden.shape[:2], -1, self._head_width)
        query = linear(hidden, *layer.query).view(shape)
        key = linear(hidden, *layer.key).view(shape)
        value = linear(hidden, *layer.value).view(shape)
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = self._norm(query, layer.query_norm), self._norm(key, layer.key_norm)
        query, key = _rotate(query, rotation), _rotate(key, rotation)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        out = self._cache.attend(query, key, value, index, self._head_width**-0.5)
        return linear(out.transpose(1, 2).flatten(2), *layer.output)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, weight.shape, weight, self._eps)


def _rotate(x_BTHD: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate position-wise (RoFormer, arXiv:2104.09864, Eq. 34, in the half-split layout of Llama's weights)."""
    cos, signed_sin = rotation
    return torch.addcmul(x_BTHD * cos, x_BTHD.roll(x_BTHD.shape[-1] // 2, dims=-1), signed_sin)
