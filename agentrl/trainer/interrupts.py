"""Ctrl-C and a scheduler's request to end: the run gives up what it is playing, or finishes its step, and saves."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from agentrl.errors import AbortedError
from agentrl.update import distributed

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what ``kill`` and schedulers send before they take a machine away."""
REPEAT_S = 1.0
"""Seconds in which a signal is taken for the echo of the one before."""


class Interrupts:
    """While it is entered, the first signal is a request to stop and the next one stops at once.

    What follows within ``REPEAT_S`` is the same request: the children of a process that was killed are told twice.

    Args:
      say: told of the request.

    Attributes:
      requested: there was a request.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.requested = False
        self._say = say
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        # A process that another one started gets both as SIGINT from it; SIGTERM is how it is made to end.
        signals = SIGNALS if multiprocessing.parent_process() is None else (signal.SIGINT,)
        self._before = {signum: signal.signal(signum, self._take) for signum in signals}
        return self

    def __exit__(self, *exc: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _take(self, signum: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._since = True, time.monotonic()
            self._say("interrupted: ending this step, then saving (again: stop at once)")
        elif time.monotonic() - self._since > REPEAT_S:
            raise KeyboardInterrupt


def unless_aborted(play: Callable[[], T]) -> T:
    """Return what this process played, if none of the processes gave up: each of them must call it.

    A process learns of a request by its own signal; one that had finished already hears of it here.

    Raises:
      AbortedError: one gave up; each process raises it.
    """
    own: AbortedError | None = None
    try:
        result = play()
    except AbortedError as error:
        own = error
    if distributed.all_sum([float(own is not None)])[0]:
        raise own or AbortedError("another process was told to stop")
    return result
