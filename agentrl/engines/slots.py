"""Keys and values of many sessions in preallocated slots, and the attention that reads them.

Axes: ``_B`` rows of one forward pass, ``T`` new tokens a row, ``S`` context positions read, ``H`` heads, ``D`` width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from agentrl.errors import EngineError

ATTENTION = "agentrl_slots"

# On CPU the fused kernel pays a fixed price per row and head, which two batched products do not: up to about this
# many positions they are faster by a quarter at 100 and even at 300 (heads of 16 and 32).
_SHORT = 256

Rows = slice | Tensor
"""Slots that take part in a forward pass: a slice where they lie side by side (no copy), else their indices."""


def rows_of(slots: NDArray[np.int64], device: torch.device, *, max_gap: float = 1.0) -> Rows:
    """Return ascending ``slots`` as a slice if it spans at most ``max_gap`` times as many, else as indices."""
    first, last = int(slots[0]), int(slots[-1])
    if last + 1 - first <= max_gap * len(slots):
        return slice(first, last + 1)
    return torch.from_numpy(slots).to(device)


@dataclass(frozen=True, slots=True)
class Window:
    """What one forward pass writes to and reads from the cache.

    Attributes:
      rows: the slots, in the order of the batch.
      slots_B1: the same as indices, shape (B, 1).
      positions_BT: where each new token lies in its session; ``max_context`` marks padding, shape (B, T).
      context: S, the number of leading positions that are read.
      mask_B1TS: what is added to the attention scores: 0 for positions up to the token's own, else -inf.
    """

    rows: Rows
    slots_B1: Tensor
    positions_BT: Tensor
    context: int
    mask_B1TS: Tensor


class SlotCache:
    """The KV cache of a fixed number of sessions, (slots, Hkv, max_context + 1, D) per layer.

    It stands where transformers expects a ``Cache``: a model's attention calls :meth:`update`. Layers are allocated
    when first written, so widths may differ between them. The last position is scratch: padding is written there.

    Args:
      num_slots: sessions held at a time.
      max_context: positions of each.
      dtype: of the attention mask, the model's.
      device: where the cache lives.
    """

    def __init__(self, num_slots: int, max_context: int, dtype: torch.dtype, device: torch.device) -> None:
        self.num_slots = num_slots
        self.max_context = max_context
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._dtype = dtype
        self._slots = torch.arange(num_slots, device=device)
        self._grid = torch.arange(max_context, device=device)
        self._window: Window | None = None

    def open_window(self, rows: Rows, positions_BT: Tensor, context: int) -> Window:
        """Say where the next forward pass writes and reads; it holds until the next call."""
        hidden = self._grid[:context] > positions_BT[:, None, :, None]
        mask = torch.zeros(hidden.shape, dtype=self._dtype, device=hidden.device).masked_fill_(hidden, -torch.inf)
        self._window = Window(rows, self._slots[rows][:, None], positions_BT, context, mask)
        return self._window

    def update(
        self, key_BHTD: Tensor, value_BHTD: Tensor, layer: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new keys and values of ``layer``; return all that the window reads, (B, Hkv, S, D) each."""
        assert self._window is not None, "a forward pass without an open window"
        if layer == len(self.keys):
            self._allocate(key_BHTD, value_BHTD)
        window = self._window
        keys, values = self.keys[layer], self.values[layer]
        keys[window.slots_B1, :, window.positions_BT] = key_BHTD.transpose(1, 2)
        values[window.slots_B1, :, window.positions_BT] = value_BHTD.transpose(1, 2)
        return keys[window.rows, :, : window.context], values[window.rows, :, : window.context]

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of slot ``source`` over those of slot ``target``."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]

    def _allocate(self, key_BHTD: Tensor, value_BHTD: Tensor) -> None:
        for tensors, like in ((self.keys, key_BHTD), (self.values, value_BHTD)):
            shape = (self.num_slots, like.shape[1], self.max_context + 1, like.shape[3])
            tensors.append(torch.zeros(shape, dtype=like.dtype, device=like.device))


def attend(query: Tensor, key: Tensor, value: Tensor, mask_B1TS: Tensor, scale: float | None) -> Tensor:
    """Attend from query (B, H, T, D) to key and value (B, Hkv, S, D); return (B, H, T, D).

    A single query token is attended with the H / Hkv heads of a KV head as query positions, which neither repeats
    keys nor needs ``enable_gqa`` (slow on CPU).
    """
    batch, heads, num_tokens, width = query.shape
    groups = heads // key.shape[1]
    if num_tokens > 1:
        if groups > 1:
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        return scaled_dot_product_attention(query, key, value, attn_mask=mask_B1TS, scale=scale)
    query = query.reshape(batch, key.shape[1], groups, width)
    if query.device.type == "cpu" and key.shape[2] <= _SHORT:
        scores = torch.matmul(query, key.transpose(-1, -2))
        weights = torch.add(mask_B1TS, scores, alpha=width**-0.5 if scale is None else scale).softmax(-1)
        out = torch.matmul(weights, value)
    else:
        out = scaled_dot_product_attention(query, key, value, attn_mask=mask_B1TS, scale=scale)
    return out.reshape(batch, heads, 1, -1)


def slot_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attend as transformers' modules ask for it: like :func:`attend`, but return (B, T, H, D).

    Raises:
      EngineError: the model wants something else than plain softmax attention.
    """
    for name in ("softcap", "s_aux"):
        if kwargs.get(name) is not None:
            raise EngineError(f"{type(module).__name__} uses {name!r}, which slot attention does not compute")
    return attend(query, key, value, attention_mask, kwargs.get("scaling")).transpose(1, 2), None


AttentionInterface.register(ATTENTION, slot_attention)
