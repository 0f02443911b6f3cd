"""The forward pass of Llama-like models in about a third of the operations that transformers' modules take.

A small model's decoding step is made of many tiny operations, whose dispatch costs more than their arithmetic. For
the families below the same pass, over the model's own parameters (nothing is copied, so nothing can be stale), is
written out with fused normalisation and rotation. Any other model runs through its own modules.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, rms_norm, silu

from agentrl.engines.cache.slots import SlotCache, Window
from agentrl.engines.forward.packed import Packed
from agentrl.models.llama import Affine, Layer, affine, is_bare

_Rotation = tuple[Tensor, Tensor]
"""Cosines and signed sines of each token, (N, 1, D)."""


class LeanModel:
    """A Llama, Qwen2 or Qwen3 that writes to and reads from a slot cache.

    Args:
      model: one that :meth:`fits`.
      cache: where keys and values go.
    """

    def __init__(self, model: Any, cache: SlotCache) -> None:
        self._inner = model.model
        self._head = affine(model.lm_head)
        self._layers = [Layer.of(layer) for layer in model.model.layers]
        self._cache = cache
        self._eps: float = model.config.rms_norm_eps
        self._head_width: int = model.model.layers[0].self_attn.head_dim

    @staticmethod
    def fits(model: Any) -> bool:
        """Tell whether ``model`` is of a known family with nothing added: see `agentrl.models.llama.is_bare`."""
        return is_bare(model)

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

    def _write(self, index: int, layer: Layer, hidden: Tensor, rotation: _Rotation, packed: Packed) -> None:
        """Cache keys and values of layer ``index``."""
        key = self._norm(self._heads(hidden, layer.key), layer.key_norm)
        value = self._heads(hidden, layer.value)
        self._cache.write(index, packed.slots_N, packed.places_N, _rotate(key, rotation), value)

    def _attention(self, index: int, layer: Layer, hidden: Tensor, rotation: _Rotation, packed: Packed) -> Tensor:
        """Attend in layer ``index``: (N, hidden) -> (N, hidden)."""
        query = _rotate(self._norm(self._heads(hidden, layer.query), layer.query_norm), rotation)
        scale = self._head_width**-0.5
        outs = [
            packed.tokens(number, self._cache.attend(window, index, packed.rows(number, query), scale))
            for number, window in enumerate(packed.windows)
        ]
        return linear(outs[0] if len(outs) == 1 else torch.cat(outs), *layer.output)

    def _advance(self, layer: Layer, hidden: Tensor, attended: Tensor) -> Tensor:
        """Return the layer's output, given that of its attention."""
        hidden = hidden + attended
        normed = self._norm(hidden, layer.post_norm)
        return hidden + linear(silu(linear(normed, *layer.gate)) * linear(normed, *layer.up), *layer.down)

    def _heads(self, hidden: Tensor, projection: Affine) -> Tensor:
        return linear(hidden, *projection).view(len(hidden), -1, self._head_width)

    def _norm(self, x: Tensor, weight: Tensor | None) -> Tensor:
        return x if weight is None else rms_norm(x, weight.shape, weight, self._eps)


def _rotate(x_NHD: Tensor, rotation: _Rotation) -> Tensor:
    """Rotate position-wise (RoFormer, arXiv:2104.09864, Eq. 34, in the half-split layout of Llama's weights)."""
    cos, signed_sin = rotation
    return torch.addcmul(x_NHD * cos, x_NHD.roll(x_NHD.shape[-1] // 2, dims=-1), signed_sin)
