"""The first prompts of open sessions, ordered so that those that begin alike are neighbours."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from agentrl.engines.cache.sessions import Session


class Prompts:
    """Sessions by the ids that they were fed first.

    They are sorted by the bytes of these ids: another order than that of the ids, with the same common beginnings.
    """

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._sessions: list[Session] = []

    def add(self, session: Session) -> None:
        """Take in a session that holds its first prompt and nothing else."""
        key = session.ids.tobytes()
        place = bisect_left(self._keys, key)
        self._keys.insert(place, key)
        self._sessions.insert(place, session)

    def discard(self, session: Session) -> None:
        """Forget a session, if it is here."""
        if session in self._sessions:
            place = self._sessions.index(session)
            del self._keys[place], self._sessions[place]

    def update(self, others: "Prompts") -> None:
        """Take in all sessions of ``others``."""
        for session in others._sessions:
            self.add(session)

    def closest(self, ids: NDArray[np.int64]) -> tuple[Session | None, int]:
        """Return the session that ``ids`` have the longest beginning in common with, and how many ids that is.

        The last of ``ids`` and of the session's prompt do not count: they are pending, not cached.
        """
        place = bisect_left(self._keys, ids.tobytes())
        best, most = None, 0
        for neighbour in range(max(0, place - 1), min(place + 1, len(self._keys))):
            common = _common(np.frombuffer(self._keys[neighbour], ids.dtype)[:-1], ids[:-1])
            if common > most:
                best, most = self._sessions[neighbour], common
        return best, most


def _common(first: NDArray[np.int64], second: NDArray[np.int64]) -> int:
    """Return how many ids two vectors have in common at their beginning."""
    length = min(len(first), len(second))
    differs = first[:length] != second[:length]
    return int(differs.argmax()) if differs.any() else length
