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
    level: int
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
        keys = [[(id(piece.block), piece.length) for piece in prefix.pieces] for prefix in prefixes]
        order = sorted(range(len(prefixes)), key=keys.__getitem__)
        lengths = [prefix.length for prefix in prefixes]
        self.width = max(lengths)
        """P, positions of the longest prefix."""
        self.lengths_B = torch.tensor(lengths, device=device)
        self._order_B = torch.tensor(order, device=device)
        self._inverse_B = self._order_B.argsort()
        self._num_levels = max(len(key) for key in keys)
        self._shares = _shares([prefixes[row] for row in order])

    @classmethod
    def of(cls, prefixes: Sequence[Prefix], device: torch.device) -> "SharedRows | None":
        """Return the prefixes of the rows of a batch; None if all are empty."""
        return cls(prefixes, device) if any(prefix.pieces for prefix in prefixes) else None

    def gather(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, Hkv, P + S, D): copies of the shared positions of each row in front of its own.

        A pass of many tokens a row reads them through one fused kernel, for which a copy is cheap.
        """
        batch, heads, context, width = keys.shape
        batch, heads, context, width = keys.shape
        shape = (batch, heads, self.width + context, width)
        both_keys, both_values = keys.new_zeros(shape), values.new_zeros(shape)
        both_keys[:, :, self.width :], both_values[:, :, self.width :] = keys, values
        for share in self._shares:
            rows = self._order_B[share.first : share.last]
            length = share.end - share.begin
            both_keys[rows, :, share.begin : share.end] = share.block.keys[layer][..., :length].transpose(1, 2)
            both_values[rows, :, share.begin : share.end] = share.block.values[layer][:, :length]
        return both_keys, both_values

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, mask_B11S: Tensor, scale: float) -> Tensor:
        """Attend from one token a row, query (B, H, 1, D), to its prefix and its own key, value (B, Hkv, S, D).

        Each part k of the positions gives the largest of its scores m_k, l_k = Σ exp(s - m_k) and o_k = Σ exp(s - m_k)
        v; with m the largest of all, Σ exp(m_k - m) o_k / Σ exp(m_k - m) l_k is one softmax over all positions
        (FlashAttention, arXiv:2205.14135, section 3.1). The queries of all rows that share a piece form one matrix,
        so a piece is read once for all of them (Hydragen, arXiv:2402.05099).
        """
        batch, num_heads, _, width = query.shape
        heads = key.shape[1]
        groups = num_heads // heads
        query = (query * scale).view(batch, heads, groups, width)
        by_head = query[self._order_B].transpose(0, 1).reshape(heads, batch * groups, width)
        shape = (self._num_levels, heads, batch * groups, 1)
        tops = by_head.new_full(shape, -torch.inf, dtype=_wide(by_head))
        sums = torch.zeros_like(tops)
        outs = by_head.new_zeros(*shape[:3], width)
        for share in self._shares:
            rows = slice(share.first * groups, share.last * groups)
            length = share.end - share.begin
            scores = torch.matmul(by_head[:, rows], share.block.keys[layer][..., :length])
            found = _weigh(scores, share.block.values[layer][:, :length])
            for kept, part in zip((tops, sums, outs), found, strict=True):
                kept[share.level, :, rows] = part
        own = _weigh(torch.matmul(query, key.transpose(-1, -2)) + mask_B11S, value)
        tops, sums, outs = (
            torch.cat([part[None], self._by_row(kept)]) for part, kept in zip(own, (tops, sums, outs), strict=True)
        )
        weights = (tops - tops.amax(0)).exp_()
        out = (weights * outs).sum(0) / (weights * sums).sum(0)
        return out.to(query.dtype).view(batch, num_heads, 1, width)

    def _by_row(self, by_head: Tensor) -> Tensor:
        """Bring (levels, Hkv, B · G, _) in sorted order into (levels, B, Hkv, G, _) in the order of the batch."""
        levels, heads, _, width = by_head.shape
        return by_head.view(levels, heads, len(self._order_B), -1, width).transpose(1, 2)[:, self._inverse_B]


def _wide(like: Tensor) -> torch.dtype:
    """Return the dtype of sums: float32 at least."""
    return torch.promote_types(like.dtype, torch.float32)


def _weigh(scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return max s, Σ exp(s - max s) and Σ exp(s - max s) v."""
    scores = scores.to(_wide(scores))
    top = scores.amax(-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    return top, weights.sum(-1, keepdim=True), torch.matmul(weights.to(values.dtype), values)


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
                shares.append(_Share(pieces[level].block, level, begin, end, first, last))
            first = last
    return shares
