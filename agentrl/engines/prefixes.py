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
        self._shares = _shares([prefixes[row] for row in order])
        self._scores: Tensor | None = None

    @classmethod
    def of(cls, prefixes: Sequence[Prefix], device: torch.device) -> "SharedRows | None":
        """Return the prefixes of the rows of a batch; None if all are empty."""
        return cls(prefixes, device) if any(prefix.pieces for prefix in prefixes) else None

    def gather(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, Hkv, P + S, D): copies of the shared positions of each row in front of its own.

        A pass of many tokens a row reads them through one fused kernel, for which a copy is cheap.
        """
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

        Either part gives the mass z = ln Σ exp(score) of its positions and o, the mean of their values under the
        softmax of its scores; Σ softmax(z) o over the two is one softmax over all positions (FlashAttention,
        arXiv:2205.14135, section 3.1). The queries of all rows that share a piece form one matrix, so a piece is read
        once for all of them (Hydragen, arXiv:2402.05099).
        """
        batch, num_heads, _, width = query.shape
        heads = key.shape[1]
        groups = num_heads // heads
        query = (query * scale).view(batch, heads, groups, width)
        sorted_query = query[self._order_B].transpose(0, 1).reshape(heads, batch * groups, width)
        outs, masses = self._attend_shared(layer, sorted_query, groups)
        outs, masses = (part.view(heads, batch, groups, -1).transpose(0, 1)[self._inverse_B] for part in (outs, masses))
        own_scores = torch.matmul(query, key.transpose(-1, -2)).add_(mask_B11S)
        weights, own_masses = _softmax(own_scores.to(_wide(query.dtype)))
        own_outs = torch.matmul(weights.to(value.dtype), value)
        share = torch.sigmoid(masses - own_masses).to(query.dtype)
        return own_outs.lerp_(outs, share).view(batch, num_heads, 1, width)

    def _attend_shared(self, layer: int, query: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Attend from query (Hkv, B · G, D), rows sorted, to the prefixes; return o, and z with a last axis of 1."""
        scores = self._scratch(query)
        for share in self._shares:
            rows = slice(share.first * groups, share.last * groups)
            keys = share.block.keys[layer][..., : share.end - share.begin]
            scores[:, rows, share.begin : share.end] = torch.bmm(query[:, rows], keys)
        weights, masses = _softmax(scores)
        weights = weights.to(query.dtype)
        outs = torch.zeros_like(query)
        for share in self._shares:
            rows = slice(share.first * groups, share.last * groups)
            values = share.block.values[layer][:, : share.end - share.begin]
            outs[:, rows] += torch.bmm(weights[:, rows, share.begin : share.end], values)
        return outs, masses

    def _scratch(self, query: Tensor) -> Tensor:
        """Return room for scores, (Hkv, B · G, P); where no row has a position they are as low as can be, for good."""
        if self._scores is None:
            shape, dtype = (*query.shape[:2], self.width), _wide(query.dtype)
            # Not -inf, of which rows without a prefix would make NaN.
            self._scores = torch.full(shape, torch.finfo(dtype).min / 2, dtype=dtype, device=query.device)
        return self._scores


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of scores: float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def _softmax(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return softmax(scores) and ln Σ exp(scores), the latter from the largest score s and its weight w as s - ln w."""
    weights = scores.softmax(-1)
    return weights, scores.amax(-1, keepdim=True) - weights.amax(-1, keepdim=True).log()


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
