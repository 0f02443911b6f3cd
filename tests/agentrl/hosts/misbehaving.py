"""A world that misbehaves once, in a way and at a place that are named."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentrl.env import Outcome, Snapshot
from tests.agentrl.rollout.corridor import Corridor

Deed = Callable[[Any], Any]


class Misbehaving(Corridor):
    """A corridor that does ``deed`` at ``place``, at the second step for "step", the first time that anybody can.

    The file is the memory of it, since the process that misbehaves may not live to remember.
    """

    time_limit_s = 20.0

    def __init__(self, place: str, deed: Deed, file: Path) -> None:
        self.place, self.deed, self.file = place, deed, file
        self._act("make")
        super().__init__(max_turns=6)

    def _act(self, place: str, given: Any = None) -> Any:
        if place != self.place:
            return given
        try:
            os.close(os.open(self.file, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return given
        return self.deed(given)

    def reset(self, **arguments: Any) -> Any:
        return self._act("reset", super().reset(**arguments))

    def step(self, action: str) -> Any:
        answer = super().step(action)
        return self._act("step", answer) if self.turn == 2 else answer

    def snapshot(self) -> Snapshot:
        snapshot: Snapshot = self._act("snapshot", super().snapshot())
        return snapshot

    def close(self) -> None:
        self._act("close")
        super().close()


class Expensive(Misbehaving):
    """A world in which what takes too long is the action's own doing."""

    overtime = Outcome.FAILURE


class Telling(Corridor):
    """Says which process and which instance it is."""

    def _start(self, *args: Any) -> str:
        super()._start(*args)
        return f"{os.getpid()} {id(self)}"


def sleep(seconds: float, given: Any) -> Any:
    time.sleep(seconds)
    return given


def end_by(signum: int, given: Any) -> None:
    os.kill(os.getpid(), signum)
    time.sleep(60)
