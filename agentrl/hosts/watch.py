"""A look, now and then, at calls that are under way."""

import asyncio
from collections.abc import Callable

TICK_S = 0.05
"""Seconds between looks: how late the end of a time limit may be noticed."""


class Watch:
    """Looks as long as there is something to see, in whichever event loop runs.

    Args:
      look: looks, and returns whether anything is still under way.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_on = False

    def begin(self) -> None:
        """See to it that somebody looks."""
        loop = asyncio.get_running_loop()
        if self._is_on and loop is self._loop:
            return
        self._loop, self._is_on = loop, True
        loop.call_later(TICK_S, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        self._is_on = self._look()
        if self._is_on:
            loop.call_later(TICK_S, self._tick, loop)
