"""The running slots, as a decoding step addresses them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agentrl.engines.cache.prefixes import NO_PREFIX, SharedRows
from agentrl.engines.cache.sessions import Session
from agentrl.engines.cache.slots import Rows, SlotCache, Window, rows_of
from agentrl.engines.cache.state import SlotState
from agentrl.engines.sampling import Mix

MAX_GAP = 2.0
"""Rows of a batch for each that runs: a gathered copy of the cache costs more than idle rows between running ones."""


def is_sparse(slots: Sequence[int]) -> bool:
    """Tell whether ascending slots lie too far apart to be rows side by side."""
    return slots[-1] + 1 - slots[0] > MAX_GAP * len(slots)


@dataclass(frozen=True, slots=True)
class Batch:
    """The slots that run.

    Attributes:
      slots: them, ascending.
      in_rows: the index of each among the rows.
      rows: what takes part in a pass, idle slots in between as well.
      mix: which kinds of sampling they ask for.
      shared_lengths: the length of the prefix of each.
      shared: the prefixes of the rows; None where no row has any.
    """

    slots: NDArray[np.int64]
    in_rows: NDArray[np.int64]
    rows: Rows
    mix: Mix
    shared_lengths: NDArray[np.int64]
    shared: SharedRows | None

    @classmethod
    def of(cls, sessions: Sequence[Session], mix: Mix, device: torch.device) -> "Batch":
        """Address the sessions, in the order of their slots."""
        slots = np.array([session.slot for session in sessions])
        rows = rows_of(slots, device, max_gap=MAX_GAP)
        in_rows = slots - rows.start if isinstance(rows, slice) else np.arange(len(slots))
        prefixes = [NO_PREFIX] * (rows.stop - rows.start if isinstance(rows, slice) else len(slots))
        for row, session in zip(in_rows, sessions, strict=True):
            prefixes[row] = session.prefix
        lengths = np.array([session.prefix.length for session in sessions])
        return cls(slots, in_rows, rows, mix, lengths, SharedRows.of(prefixes, device))

    def window(self, cache: SlotCache, state: SlotState) -> Window:
        """Return the window over the pending token of each row."""
        context = int((state.host_lengths_K[self.slots] - self.shared_lengths).max()) + 1
        pending_B1, positions_B1 = state.pending_K[self.rows][:, None], state.lengths_K[self.rows][:, None]
        return cache.window_of(self.rows, pending_B1, positions_B1, context, shared=self.shared)
