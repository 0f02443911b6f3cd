"""Remembering the results of a function, within a number of bytes."""

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ENTRY_BYTES = 256
"""What remembering costs beside argument and result, about."""


class Memory(Generic[K, V]):
    """A function of one argument whose results are remembered; those that were not asked for longest are forgotten.

    Observations are what it is for: short ones that repeat a lot, among long ones that never do. So the bound is one of
    bytes, not of entries, and what would take more than an eighth of it is not remembered at all.

    Args:
      function: pure.
      max_bytes: of arguments and results together.
      size: bytes of a result; None for what `sys.getsizeof` says, which is right for texts and arrays that own their
        data.

    Attributes:
      num_bytes: held now.
    """

    def __init__(self, function: Callable[[K], V], max_bytes: int, size: Callable[[V], int] | None = None) -> None:
        self._function = function
        self._max_bytes = max_bytes
        self._size: Callable[[V], int] = size or sys.getsizeof
        self._known: OrderedDict[K, V] = OrderedDict()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def __call__(self, argument: K) -> V:
        """Return the function's result, which must not be changed."""
        known = self._known
        if argument in known:
            known.move_to_end(argument)
            return known[argument]
        result = self._function(argument)
        size = self._bytes(argument, result)
        if size <= self._max_bytes // 8:
            known[argument] = result
            self.num_bytes += size
            while self.num_bytes > self._max_bytes:
                self.num_bytes -= self._bytes(*known.popitem(last=False))
        return result

    def _bytes(self, argument: K, result: V) -> int:
        return sys.getsizeof(argument) + self._size(result) + ENTRY_BYTES
