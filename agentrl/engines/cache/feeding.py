"""What sessions are fed before they sample, cut into windows and passes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agentrl.engines.cache.prefixes import SharedRows
from agentrl.engines.cache.sessions import Session
from agentrl.engines.cache.slots import SlotCache, Window, rows_of


@dataclass(frozen=True, slots=True)
class Piece:
    """Ids that a session is fed, from position ``begin`` on."""

    session: Session
    begin: int
    ids: NDArray[np.int64]


def feeding_passes(cache: SlotCache, fed: Sequence[Piece], limit: int) -> list[list[Window]]:
    """Return windows over everything that is fed, the windows of one pass together.

    A window holds at most ``limit`` tokens with their padding, a pass as many without.
    """
    passes: list[list[Window]] = [[]]
    size = 0
    for first in range(0, max(len(piece.ids) for piece in fed), limit):
        pieces = [Piece(p.session, p.begin + first, p.ids[first : first + limit]) for p in fed if len(p.ids) > first]
        # Rows with and without a prefix apart: side by side, each would be padded by what only the others have.
        for is_forked in (False, True):
            kind = [piece for piece in pieces if bool(piece.session.prefix.pieces) is is_forked]
            for group in _groups(kind, limit):
                num_tokens = sum(len(piece.ids) for piece in group)
                if size + num_tokens > limit and passes[-1]:
                    passes.append([])
                    size = 0
                passes[-1].append(_window(cache, group))
                size += num_tokens
    return passes


def _groups(pieces: list[Piece], limit: int) -> Iterator[list[Piece]]:
    """Yield pieces of about equal length together, of at most ``limit`` padded tokens."""
    pieces = sorted(pieces, key=lambda piece: len(piece.ids), reverse=True)
    while pieces:
        longest = len(pieces[0].ids)
        # Much shorter rows wait for a group of their own: padding them costs more than another window.
        group = [piece for piece in pieces[: max(1, limit // longest)] if 2 * len(piece.ids) >= longest]
        pieces = pieces[len(group) :]
        yield group


def _window(cache: SlotCache, group: list[Piece]) -> Window:
    """Return the window over the pieces of ``group`` side by side."""
    group = sorted(group, key=lambda piece: piece.session.slot)
    lengths = np.array([len(piece.ids) for piece in group])
    begins = np.array([piece.begin for piece in group])
    grid = np.arange(lengths.max())
    is_real = grid < lengths[:, None]
    ids = np.zeros(is_real.shape, np.int64)
    ids[is_real] = np.concatenate([piece.ids for piece in group])
    positions = np.where(is_real, begins[:, None] + grid, cache.max_context)
    return cache.window_of(
        rows_of(np.array([piece.session.slot for piece in group]), cache.device),
        torch.from_numpy(ids).to(cache.device),
        torch.from_numpy(positions).to(cache.device),
        max(piece.begin - piece.session.prefix.length + len(piece.ids) for piece in group),
        real_N=None if is_real.all() else torch.from_numpy(np.flatnonzero(is_real)).to(cache.device),
        shared=SharedRows.of([piece.session.prefix for piece in group], cache.device),
    )
