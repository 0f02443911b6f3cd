"""The slots of an engine: lent to sessions, moved, and their beginnings shared.

A session's first positions may lie in blocks that others share, its prefix; the cache holds the others in its slot.
"""

import heapq

import torch

from agentrl.engines.cache.sessions import Session
from agentrl.engines.cache.slots import SlotCache
from agentrl.engines.cache.state import SlotState


class SlotPool:
    """Which slots are free, and what those that are not hold: keys and values, and the state of sampling.

    Args:
      num_slots: sessions held at a time.
      max_context: positions of each.
      dtype: the model's.
      device: where it runs.
      min_shared: fewest positions that are shared instead of copied; None: where sharing is likely to be faster.
    """

    def __init__(
        self, num_slots: int, max_context: int, dtype: torch.dtype, device: torch.device, min_shared: int | None
    ) -> None:
        self.cache = SlotCache(num_slots, max_context, dtype, device)
        self.state = SlotState(num_slots, max_context, device)
        self._free = list(range(num_slots))
        self._min_shared = min_shared

    @property
    def lowest_free(self) -> int:
        """The lowest free slot; the number of slots where none is."""
        return self._free[0] if self._free else self.cache.num_slots

    def lend(self) -> Session:
        """Return an empty session with a slot of its own; one must be free."""
        return Session(heapq.heappop(self._free))

    def take_back(self, session: Session) -> None:
        """Free the slot of a session that has ended."""
        heapq.heappush(self._free, session.slot)

    def lower(self, session: Session) -> None:
        """Move a session that runs into the lowest free slot."""
        source, target = session.slot, heapq.heappop(self._free)
        self.cache.copy(source, target, self.num_own(session))
        self.state.move(source, target)
        session.slot = target
        heapq.heappush(self._free, source)

    def num_own(self, session: Session) -> int:
        """Return how many positions of a session its slot holds, in the middle of a turn as well."""
        is_running = bool(self.state.host_running_K[session.slot])
        cached = int(self.state.host_lengths_K[session.slot]) if is_running else session.length
        return cached - session.prefix.length

    def inherit(self, parent: Session, child: Session, length: int, *, shares: bool) -> bool:
        """Let an empty session begin with the first ``length`` cached positions of another.

        Where it ``shares``, positions that are enough for it move from the slot of ``parent`` into a block of both.
        Return whether some did.
        """
        count = length - parent.prefix.length
        moves = shares and count > 0 and self._is_enough(count)
        if moves:
            parent.prefix = parent.prefix.extended(self.cache.freeze(parent.slot, count, self.num_own(parent)))
        child.prefix, child.length = parent.prefix.cut(length), length
        self.cache.copy(parent.slot, child.slot, length - child.prefix.length)
        self.state.place(child.slot, length)
        return moves

    def _is_enough(self, count: int) -> bool:
        return self.cache.worth_sharing(count) if self._min_shared is None else count >= self._min_shared
