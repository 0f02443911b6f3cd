"""The forward pass of Llama-like models in about a third of the operations that transformers' modules take.

A small model's decoding step is made of many tiny operations, whose dispatch costs more than their arithmetic. For
the families below the same pass, over the model's own parameters (nothing is copied, so nothing can be stale), is
written out with fused normalisation and rotation. Any other model runs through its own modules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear, rms_norm, silu
from transformers import LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

from agentrl.engines.packed import Packed
from agentrl.engines.slots import SlotCache, Window

_FAMILY = (LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)

_Affine = tuple[Tensor, Tensor | None]
"""Weight and bias."""

_Rotation = tuple[Tensor, Tensor]
"""Cosines and signed sines of each token, (N, 1, D)."""


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
        """Tell whether ``model`` is of a known family with nothing added: no windows, adapters, quantisation, hooks."""
        if type(model) not in _FAMILY or model.config.hidden_act != "silu":
            return False
        if set(getattr(model.config, "layer_types", None) or []) - {"full_attention"}:
            return False
        for name, module in model.named_modules():
            is_projection = name.endswith(("_proj", "lm_head"))
            if (is_projection and type(module) is not Linear) or module._forward_hooks or module._forward_pre_hooks:
                return False
        return True

    def __call__(self, windows: Sequence[Window], *, samples: bool = True) -> Tensor | None:
        """Compute the tokens of all windows side by side; of the last layer, for most only keys and values.

        Args:
          windows: new tokens. If the last is to be sampled from it has one token a row.
          samples: return the scores after the tokens of the last window, (B, V).
        """
        packed = Packed(windows)
        hidden = self._inner.embed_tokens(packed.ids_N)
        cos, sin = (part[0] for part in self._inner.rotary_emb(hidden, packed.positions_N[None]))
        half = sin.shape[-1] // 2
        # x1, x2 -> x1 cos - x2 sin, x2 cos + x1 sin: the halves change places, and the first sine its sign.
        signed_sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        rotation = cos[:, None], signed_sin[:, None]
        for index, layer in enumerate(self._layers):
            normed = self._norm(hidden, layer.input_norm)
            self._write(index, layer, normed, rotation, packed)
            if index < len(self._layers) - 1:
                hidden = self._advance(layer, hidden, self._attention(index, layer, normed, rotation, packed))
        if not samples:
            return None
        last = packed.last
        rotation = rotation[0][last], rotation[1][last]
        attended = self._attention(index, layer, normed[last], rotation, Packed(windows[-1:]))
        hidden = self._advance(layer, hidden[last], attended)
        return linear(self._norm(hidden, self._inner.norm.weight), *self._head)

    def _write(self, index: int, layer: _Layer, hidden: Tensor, rotation: _Rotation, packed: Packed) -> None:
        """Cache keys and values of layer ``index``."""
        key = self._norm(self._heads(hidden, layer.key), layer.key_norm)
        value = self._heads(hidden, layer.value)
        self._cache.write(index, packed.slots_N, packed.places_N, _rotate(key, rotation), value)

    def _attention(self, index: int, layer: _Layer, hidden: Tensor, rotation: _Rotation, packed: Packed) -> Tensor:
        """Attend in layer ``index``: (N, hidden) -> (N, hidden)."""
        query = _rotate(self._norm(self._heads(hidden, layer.query), layer.query_norm), rotation)
        scale = self._head_width**-0.5
        outs = [
            packed.tokens(number, self._cache.attend(window, index, packed.rows(number, query), scale))
            for number, window in enumerate(packed.windows)
        ]
        return linear(outs[0] if len(outs) == 1 else torch.cat(outs), *layer.output)

    def _advance(self, layer: _Layer, hidden: Tensor, attended: Tensor) -> Tensor:
        """Return the layer's output, given that of its attention."""
        hidden = hidden + attended
        normed = self._norm(hidden, layer.post_norm)
        return hidden + linear(silu(linear(normed, *layer.gate)) * linear(normed, *layer.up), *layer.down)

    def _heads(self, hidden: Tensor, projection: _Affine) -> Tensor:
        return linear(hidden, *projection).view(len(hidden), -1, self._head_width)

    def _norm(self, x: Tensor, weight: Tensor | None) -> Tensor:
        return x if weight is None else rms_norm(x, weight.shape, weight, self._eps)


def _rotate(x_NHD: Tensor, rotation: _Rotation) -> Tensor:
    """Rotate position-wise (RoFormer, arXiv:2104.09864, Eq. 34, in the half-split layout of Llama's weights)."""
    cos, signed_sin = rotation
    return torch.addcmul(x_NHD * cos, x_NHD.roll(x_NHD.shape[-1] // 2, dims=-1), signed_sin)
