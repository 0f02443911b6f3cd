"""How far a process has come with its calls, written where both sides see it, also after its death."""

import mmap
import os
import struct
import tempfile

COUNTS = struct.Struct("=QQ")


class Progress:
    """Two numbers in memory that two processes share.

    Args:
      descriptor: of the memory, from the other process; None makes some.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            with tempfile.TemporaryFile() as file:
                file.truncate(COUNTS.size)
                descriptor = os.dup(file.fileno())
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, COUNTS.size)

    def write(self, begun: int, finished: int) -> None:
        """Note how many calls were begun and finished."""
        COUNTS.pack_into(self._memory, 0, begun, finished)

    def read(self) -> tuple[int, int]:
        """Return how many calls were begun and finished."""
        begun, finished = COUNTS.unpack_from(self._memory, 0)
        return begun, finished

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
        os.close(self.descriptor)
