"""Keys and values of many sessions in preallocated slots, and the attention that reads them.

Axes: ``_B`` rows of one forward pass, ``T`` new tokens a row, ``S`` context positions read, ``H`` heads, ``D`` width.
"""

import math
import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from agentrl.engines.cache.prefixes import Block, SharedRows
from agentrl.models.dense import Extras, dense_attention

ATTENTION = "agentrl_slots"

# On CPU the fused kernel pays a fixed price per row and head, which two batched products do not: up to about this
# many positions they are faster by a quarter at 100 and even at 300 (heads of 16 and 32).
_SHORT = 256

# A part of its own costs about a dozen small operations for each root and layer (40 µs on CPU), which is what three
# more rows take to read so many numbers as keys and values. On GPU the launches weigh more; that is not measured.
_SHARED = 1 << 15

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
    """New tokens of some slots, and what they write to and read from the cache.

    Attributes:
      rows: the slots, in the order of the batch.
      slots_B1: the same as indices, shape (B, 1).
      ids_BT: the new tokens, padded on the right.
      real_N: which of the B · T columns are not padding; None: all.
      positions_BT: where each lies in its session; ``max_context`` marks padding, shape (B, T).
      places_BT: where it lies in its slot: the same, unless the session has a prefix.
      context: S, the number of leading places that are read.
      mask_B1TS: what is added to the attention scores: 0 for positions up to the token's own, else -inf. Where
        prefixes are shared, their P positions come first: (B, 1, T, P + S).
      shared: the prefixes of the rows; None where no row has any.
    """

    rows: Rows
    slots_B1: Tensor
    ids_BT: Tensor
    real_N: Tensor | None
    positions_BT: Tensor
    places_BT: Tensor
    context: int
    mask_B1TS: Tensor
    shared: SharedRows | None


class SlotCache:
    """The KV cache of a fixed number of sessions, (slots, Hkv, max_context + 1, D) per layer.

    It stands where transformers expects a ``Cache``: a model's attention calls :meth:`update`. Layers are allocated
    when first written, so widths may differ between them, and on CPU they take memory as positions are written. The
    last position is scratch: padding is written there.

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
        self.device = device
        self._dtype = dtype
        self._slots = torch.arange(num_slots, device=device)
        self._grid = torch.arange(max_context, device=device)
        self.window: Window | None = None
        """What :meth:`update` writes and reads."""

    @property
    def position_bytes(self) -> int:
        """Memory of one position in all layers; 0 before the first pass."""
        return sum(tensor[0, :, 0].nbytes for tensor in (*self.keys, *self.values))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: the engine gives all positions and the mask itself, but early transformers 5 asks all the same."""
        return 0

    def window_of(
        self,
        rows: Rows,
        ids_BT: Tensor,
        positions_BT: Tensor,
        context: int,
        *,
        real_N: Tensor | None = None,
        shared: SharedRows | None = None,
    ) -> Window:
        """Return where tokens at these positions of the sessions in ``rows`` are written and what they read.

        That is ``context`` places, rounded up to a multiple of 8, which attention kernels on GPU want of a mask.
        """
        context = min(-(-context // 8) * 8, self.max_context)
        places_BT = positions_BT
        if shared is not None:
            places_BT = torch.where(
                positions_BT < self.max_context, positions_BT - shared.lengths_B[:, None], self.max_context
            )
        hidden = self._grid[:context] > places_BT[:, None, :, None]
        if shared is not None:
            absent = self._grid[: shared.width] >= shared.lengths_B[:, None, None, None]
            hidden = torch.cat([absent.expand(*hidden.shape[:3], -1), hidden], dim=-1)
        mask = torch.zeros(hidden.shape, dtype=self._dtype, device=hidden.device).masked_fill_(hidden, -torch.inf)
        slots_B1 = self._slots[rows][:, None]
        return Window(rows, slots_B1, ids_BT, real_N, positions_BT, places_BT, context, mask, shared)

    def update(
        self, key_BHTD: Tensor, value_BHTD: Tensor, layer: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new keys and values of ``layer``; return all that the window reads, (B, Hkv, [P +] S, D) each."""
        window = self.window
        assert window is not None, "a forward pass without a window"
        keys, values = key_BHTD.transpose(1, 2), value_BHTD.transpose(1, 2)
        self.write(layer, window.slots_B1, window.places_BT, keys, values)
        return self._read(layer, window)

    def write(self, layer: int, slots: Tensor, places: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write keys and values (..., Hkv, D) of ``layer`` to these slots and places (...)."""
        if layer == len(self.keys):
            self._allocate(keys, values)
        self.keys[layer][slots, :, places] = keys
        self.values[layer][slots, :, places] = values

    def attend(self, window: Window, layer: int, query: Tensor, scale: float) -> Tensor:
        """Attend from query (B, H, T, D) to all that the window reads of ``layer``; return (B, H, T, D)."""
        shared = window.shared
        if shared is not None and (query.shape[2] == 1 or query.device.type == "cpu"):
            own_mask = window.mask_B1TS[..., shared.width :]
            keys, values = self._own(layer, window)
            ways = shared.attend if query.shape[2] == 1 else shared.attend_many
            return ways(layer, query, keys, values, own_mask, scale)
        return attend(query, *self._read(layer, window), window.mask_B1TS, scale)

    def _read(self, layer: int, window: Window) -> tuple[Tensor, Tensor]:
        """Return what the window reads, copies of shared positions in front."""
        keys, values = self._own(layer, window)
        return (keys, values) if window.shared is None else window.shared.gather(layer, keys, values)

    def _own(self, layer: int, window: Window) -> tuple[Tensor, Tensor]:
        """Return what the window reads of the slots."""
        where = (window.rows, slice(None), slice(window.context))
        return self.keys[layer][where], self.values[layer][where]

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of slot ``source`` over those of slot ``target``."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]

    def worth_sharing(self, count: int) -> bool:
        """Tell whether reading ``count`` positions in a part of their own is likely to be faster than from copies."""
        if not self.keys or self.keys[0].device.type != "cpu":
            return False
        return count * self.keys[0].shape[1] * self.keys[0].shape[3] >= _SHARED

    def freeze(self, slot: int, length: int, held: int) -> Block:
        """Take the first ``length`` of the ``held`` places of ``slot`` out into a block; the others move up."""
        keys = [key[slot, :, :length].transpose(1, 2).contiguous() for key in self.keys]
        block = Block(keys, [value[slot, :, :length].clone() for value in self.values])
        for tensor in (*self.keys, *self.values):
            tensor[slot, :, : held - length] = tensor[slot, :, length:held].clone()
        return block

    def _allocate(self, keys: Tensor, values: Tensor) -> None:
        for tensors, like in ((self.keys, keys), (self.values, values)):
            shape = (self.num_slots, like.shape[-2], self.max_context + 1, like.shape[-1])
            tensors.append(_untouched_zeros(shape, like))


def _untouched_zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return zeros with the dtype and device of ``like``, on CPU without touching their memory.

    What is masked must still be finite, since 0 · NaN is NaN. Fresh pages of the system read as zeros and take memory
    when they are written to; NumPy would ask for huge ones, of which a slot in use touches too much.
    """
    if like.device.type != "cpu":
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    pages = mmap.mmap(-1, math.prod(shape) * like.element_size())
    return torch.frombuffer(pages, dtype=like.dtype).view(shape)


def attend(query: Tensor, key: Tensor, value: Tensor, mask_B1TS: Tensor, scale: float | None) -> Tensor:
    """Attend from query (B, H, T, D) to key and value (B, Hkv, S, D); return (B, H, T, D).

    A single query token is attended with the H / Hkv heads of a KV head as query positions, which repeats no keys.
    """
    batch, heads, num_tokens, width = query.shape
    groups = heads // key.shape[1]
    if num_tokens > 1:
        on_cpu = query.device.type == "cpu"
        if groups > 1 and not on_cpu:
            # With a mask, no fused kernel on GPU takes fewer KV heads.
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        return scaled_dot_product_attention(query, key, value, attn_mask=mask_B1TS, scale=scale, enable_gqa=on_cpu)
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
      ModelError: the model wants what :class:`~agentrl.models.dense.Extras` does not know.
    """
    extras, scale = Extras.of(kwargs), kwargs.get("scaling")
    if not extras.needed(key.shape[2]):
        return attend(query, key, value, attention_mask, scale).transpose(1, 2), None
    visible_B1TS = attention_mask == 0
    if extras.window is not None:
        lengths_B1T1 = visible_B1TS.sum(-1, keepdim=True)  # of the past, the token itself included
        places_S = torch.arange(key.shape[2], device=key.device)
        visible_B1TS = visible_B1TS & (places_S >= lengths_B1T1 - extras.window)
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scale = query.shape[3] ** -0.5 if scale is None else scale
    return dense_attention(query, key, value, visible_B1TS, scale, extras).transpose(1, 2), None


AttentionInterface.register(ATTENTION, slot_attention)
