"""Keys and values that several sessions share, and the attention over them in two parts.

A fork freezes what its parent has cached into a :class:`Block`, which parent and fork then only refer to. A session
is its :class:`Prefix`, a chain of blocks from the first position on, and what it has added since, in its slot. Nobody
writes to a block and nobody counts references: it lives as long as a session, or a chain, refers to it.

Axes: ``_B`` rows of one forward pass, ``S`` own positions read, ``P`` shared positions, ``H`` heads, ``G`` query
heads of one KV head, ``D`` width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from agentrl.models import fused


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Keys (Hkv, D, positions) and values (Hkv, positions, D) of adjacent positions for each layer.

    So both of the products in the attention read them row by row, which on CPU is up to half faster.
    """

    keys: list[Tensor]
    values: list[Tensor]

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.values[0].shape[1]

    @property
    def num_bytes(self) -> int:
        """Memory of all layers."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))


@dataclass(frozen=True, slots=True)
class Piece:
    """The first ``length`` positions of a block."""

    block: Block
    length: int


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first positions of a session, as pieces in their order."""

    pieces: tuple[Piece, ...] = ()

    @property
    def length(self) -> int:
        """Positions in all pieces."""
        return sum(piece.length for piece in self.pieces)

    def extended(self, block: Block) -> "Prefix":
        """Return the prefix with a whole block behind it."""
        return Prefix((*self.pieces, Piece(block, block.length)))

    def cut(self, length: int) -> "Prefix":
        """Return the prefix of at most ``length`` positions."""
        pieces = []
        for piece in self.pieces:
            if length <= 0:
                break
            pieces.append(Piece(piece.block, min(piece.length, length)))
            length -= piece.length
        return Prefix(tuple(pieces))


NO_PREFIX = Prefix()


@dataclass(frozen=True, slots=True)
class _Share:
    """A piece at positions ``begin`` to ``end``, and the rows that begin with it (adjacent in the sorted batch)."""

    block: Block
    begin: int
    end: int
    first: int
    last: int


class SharedRows:
    """The prefixes of the rows of a batch, sorted so that rows with the same pieces are adjacent.

    Args:
      prefixes: of each row; at least one is not empty.
      device: where the model runs.
    """

    def __init__(self, prefixes: Sequence[Prefix], device: torch.device) -> None:
        seen: dict[Block, int] = {}
        keys = [[(seen.setdefault(p.block, len(seen)), p.length) for p in prefix.pieces] for prefix in prefixes]
        order = sorted(range(len(prefixes)), key=keys.__getitem__)
        lengths = [prefix.length for prefix in prefixes]
        self.width = max(lengths)
        """P, positions of the longest prefix."""
        self.lengths_B = torch.tensor(lengths, device=device)
        self._order = order
        is_sorted = order == sorted(order)
        self._order_B = None if is_sorted else torch.tensor(order, device=device)
        self._inverse_B = None if self._order_B is None else self._order_B.argsort()
        self._shares = _shares([prefixes[row] for row in order])
        self._scores: Tensor | None = None

    @classmethod
    def of(cls, prefixes: Sequence[Prefix], device: torch.device) -> "SharedRows | None":
        """Return the prefixes of the rows of a batch; None if all are empty."""
        return cls(prefixes, device) if any(prefix.pieces for prefix in prefixes) else None

    def gather(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, Hkv, P + S, D): copies of the shared positions of each row in front of its own.

        For a pass of many tokens a row on devices other than CPU: one fused kernel reads them, so a copy is cheap.
        """
        batch, heads, context, width = keys.shape
        shape = (batch, heads, self.width + context, width)
        both_keys, both_values = keys.new_zeros(shape), values.new_zeros(shape)
        both_keys[:, :, self.width :], both_values[:, :, self.width :] = keys, values
        for share in self._shares:
            rows = self._order[share.first : share.last]
            length = share.end - share.begin
            both_keys[rows, :, share.begin : share.end] = share.block.keys[layer][..., :length].transpose(1, 2)
            both_values[rows, :, share.begin : share.end] = share.block.values[layer][:, :length]
        return both_keys, both_values

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, mask_B11S: Tensor, scale: float) -> Tensor:
        """Attend from one token a row, query (B, H, 1, D), to its prefix and its own key, value (B, Hkv, S, D).

        The queries of all rows that share a piece form one matrix, so a piece is read once for all of them (Hydragen,
        arXiv:2402.05099). The scores of both parts, P + S, lie side by side under one softmax: so few numbers need no
        merging.
        """
        batch, num_heads, _, width = query.shape
        heads, context = key.shape[1:3]
        groups = num_heads // heads
        query = (query * scale).view(batch, heads, groups, width)
        scores = self._scratch(query, context)
        by_head = self._sorted(query).transpose(0, 1).reshape(heads, batch * groups, width)
        for share in self._shares:
            rows = slice(share.first * groups, share.last * groups)
            keys = share.block.keys[layer][..., : share.end - share.begin]
            torch.bmm(by_head[:, rows], keys, out=scores[:, rows, share.begin : share.end])
        own_scores = self._sorted(torch.matmul(query, key.transpose(-1, -2)).add_(mask_B11S))
        scores[..., self.width :].view(heads, batch, groups, context).copy_(own_scores.transpose(0, 1))
        weights = scores.softmax(-1, dtype=_wide(query.dtype)).to(query.dtype)
        own_weights = weights[..., self.width :].view(heads, batch, groups, context).transpose(0, 1)
        outs = torch.zeros_like(by_head)
        for share in self._shares:
            rows = slice(share.first * groups, share.last * groups)
            values = share.block.values[layer][:, : share.end - share.begin]
            outs[:, rows].baddbmm_(weights[:, rows, share.begin : share.end], values)
        out = torch.matmul(self._unsorted(own_weights), value)
        out += self._unsorted(outs.view(heads, batch, groups, width).transpose(0, 1))
        return out.view(batch, num_heads, 1, width)

    def attend_many(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, mask_B1TS: Tensor, scale: float
    ) -> Tensor:
        """Attend from T tokens a row, query (B, H, T, D), on CPU: each part in a fused kernel of its own.

        The results are merged by their masses z, the log of the normaliser (:mod:`agentrl.models.fused`). A piece is
        neither copied nor masked for the rows that share it.
        """
        batch, num_heads, tokens, width = query.shape
        heads = key.shape[1]
        stride = num_heads // heads * tokens
        own_outs, own_masses = _by_kv_head(query, key, value, mask_B1TS, scale)

        def rows_by_head(part: Tensor, *shape: int) -> Tensor:
            return self._sorted(part.reshape(batch, heads, stride, *shape)).transpose(0, 1).flatten(1, 2)[None]

        query, outs, masses = rows_by_head(query, width), rows_by_head(own_outs, width), rows_by_head(own_masses)
        for share in self._shares:
            rows = slice(share.first * stride, share.last * stride)
            length = share.end - share.begin
            # The kernel takes rows that lie together, so keys are turned back: little against the arithmetic.
            keys = share.block.keys[layer][None, ..., :length].transpose(-1, -2).contiguous()
            values = share.block.values[layer][None, :, :length]
            part, part_masses = fused.forward(query[:, :, rows], keys, values, scale=scale)
            fused.merge(outs[:, :, rows], masses[:, :, rows], part, part_masses)
        return self._unsorted(outs.view(heads, batch, -1, width).transpose(0, 1)).reshape(batch, num_heads, -1, width)

    def _sorted(self, tensor: Tensor) -> Tensor:
        return tensor if self._order_B is None else tensor[self._order_B]

    def _unsorted(self, tensor: Tensor) -> Tensor:
        return tensor if self._inverse_B is None else tensor[self._inverse_B]

    def _scratch(self, query: Tensor, context: int) -> Tensor:
        """Return room for scores, (Hkv, B · G, P + S): -inf for good where a row has no position of a prefix."""
        batch, heads, groups, _ = query.shape
        shape = (heads, batch * groups, self.width + context)
        if self._scores is None or self._scores.shape != shape:
            self._scores = query.new_full(shape, -torch.inf)
        return self._scores


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of scores: float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def _by_kv_head(query: Tensor, key: Tensor, value: Tensor, mask_B1TS: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Attend from query (B, H, T, D) to key, value (B, Hkv, S, D); return o, and z of shape (B, H, T).

    Each KV head apart, as the kernel of older releases takes as many of them as there are query heads; a view serves.
    """
    parts = []
    for head, queries in enumerate(query.chunk(key.shape[1], dim=1)):
        one_key, one_value = (part[:, head : head + 1].expand(-1, queries.shape[1], -1, -1) for part in (key, value))
        parts.append(fused.forward(queries, one_key, one_value, attn_mask=mask_B1TS, scale=scale))
    outs, masses = zip(*parts, strict=True)
    return torch.cat(outs, dim=1), torch.cat(masses, dim=1)


def _shares(prefixes: Sequence[Prefix]) -> list[_Share]:
    """Find the runs of rows with the same first pieces, for each number of pieces; ``prefixes`` are sorted."""
    shares = []
    for level in range(max(len(prefix.pieces) for prefix in prefixes)):
        first = 0
        for pieces, run in groupby(prefix.pieces[: level + 1] for prefix in prefixes):
            last = first + len(list(run))
            if len(pieces) > level:
                begin = sum(piece.length for piece in pieces[:level])
                end = begin + pieces[level].length
                shares.append(_Share(pieces[level].block, begin, end, first, last))
            first = last
    return shares
