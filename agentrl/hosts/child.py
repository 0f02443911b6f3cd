"""A process that environments live in, seen from the one that asks."""

import multiprocessing
import os
import pickle
import signal
import socket
import sys
import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, reduction
from typing import Any

from agentrl.hosts import worker
from agentrl.hosts.progress import Progress
from agentrl.hosts.wire import Wire

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""How processes are started: forked from a server that has our modules loaded and neither threads nor a GPU."""

START_S = 120.0
"""Seconds that a process may take to take up a call, when it starts for the most part."""


@dataclass(slots=True, eq=False)
class Asked:
    """A call that is under way.

    Attributes:
      env: number of the environment in its process.
      name: of the call.
      pickled: what is sent.
      limit_s: seconds that it may take.
      settle: told whether it succeeded, and its result or its fault, and the seconds it took.
    """

    env: int
    name: str
    pickled: bytes
    limit_s: float
    settle: Callable[[bool, Any, float], None]


class Child:
    """Starts the process; sends calls and takes answers without ever waiting.

    Args:
      factory: pickled, makes an environment.

    Attributes:
      envs: numbers of the environments that live in it.
      episodes: begun in it.
      memory_mb: when it last answered.
      is_retiring: it takes no more environments.
      is_dead: it has ended.
    """

    def __init__(self, factory: bytes) -> None:
        self.envs: set[int] = set()
        self.episodes = 0
        self.memory_mb = 0.0
        self.is_retiring = self.is_dead = False
        self._waiting: list[Asked] = []
        self._asked: deque[Asked] = deque()
        self._since = 0.0
        self._progress = Progress()
        self._answered = self._begun = 0
        ours, theirs = socket.socketpair()
        context: Any = multiprocessing.get_context(METHOD)
        self._process = context.Process(
            target=worker.work,
            args=(theirs, reduction.DupFd(self._progress.descriptor), factory, dict(os.environ)),
            name="agentrl-env",
            daemon=False,
        )
        with _without_main(factory):
            self._process.start()
        theirs.close()
        self.wire = Wire(ours)

    @property
    def sentinel(self) -> int:
        """A descriptor that can be read once the process has ended."""
        sentinel: int = self._process.sentinel
        return sentinel

    @property
    def is_busy(self) -> bool:
        """Something was asked and is not answered."""
        return bool(self._asked or self._waiting)

    def ask(self, call: Asked) -> None:
        """Put a call in line; :meth:`send` sends it, with all others of this moment."""
        self._waiting.append(call)

    def send(self) -> None:
        """Send the calls in line as one message."""
        if self._waiting and not self.is_dead:
            if not self._asked:
                self._since = time.monotonic()
            self._asked.extend(self._waiting)
            message = pickle.dumps([call.pickled for call in self._waiting])
            self._waiting = []
            self.wire.send(message)

    def receive(self) -> None:
        """Take the answers that have come."""
        for message in self.wire.receive():
            letter: worker.Letter = pickle.loads(message)
            self.memory_mb = letter.memory_mb
            for reply in letter.replies:
                call = self._asked.popleft()
                self._answered += 1
                try:
                    succeeded, value = pickle.loads(reply.pickled)
                except Exception as error:  # what an environment sends may be anything
                    succeeded, value = False, error
                call.settle(succeeded, value, reply.busy_s)

    def overdue(self, now: float) -> Asked | None:
        """Return the call that is over its limit, if one is; or the oldest, where the process does not take it up."""
        begun, _ = self._progress.read()
        if begun != self._begun:
            self._begun, self._since = begun, now
        if not self._asked:
            return None
        call = self._present()
        if now - self._since > (START_S if call is None else call.limit_s):
            return call or self._asked[0]
        return None

    def _present(self) -> Asked | None:
        """Return the call that is being made."""
        begun, finished = self._progress.read()
        return self._asked[finished - self._answered] if begun > finished else None

    def take_unanswered(self) -> tuple[Asked | None, list[Asked]]:
        """Return the call that was being made, and those behind it; nobody is going to answer them."""
        present = self._present()
        rest = [call for call in (*self._asked, *self._waiting) if call is not present]
        self._asked.clear()
        self._waiting = []
        return present, rest

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        self._process.join(1.0)
        code = self._process.exitcode
        if code is None:
            return "its process does not answer any more"
        if code >= 0:
            return f"its process ended with exit code {code}"
        with suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process was ended by signal {-code}"

    @property
    def was_killed(self) -> bool:
        """True if SIGKILL ended it: the system, which was short of memory, or somebody."""
        return bool(self._process.exitcode == -signal.SIGKILL)

    def stop(self) -> None:
        """Let it end by itself, once it has answered."""
        self.wire.close()

    def kill(self) -> None:
        """End it and all that it has started."""
        with suppress(ProcessLookupError, PermissionError):
            if self._process.pid is not None and not self.has_ended(0):
                os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            self._process.kill()

    def has_ended(self, timeout_s: float) -> bool:
        """Wait for its end so long; return whether it came."""
        return len(connection.wait([self.sentinel], timeout_s)) > 0

    def bury(self) -> None:
        """Free what is kept of a process that has ended."""
        self.is_dead = True
        self.wire.close()
        self._process.join(1.0)
        self._progress.close()
        with suppress(ValueError):
            self._process.close()


@contextmanager
def _without_main(factory: bytes) -> Iterator[None]:
    """Start a process that does not run this one's main module again, unless what it unpickles comes from there."""
    main = sys.modules["__main__"]
    if b"__main__" not in factory:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def prepare() -> None:
    """Start the server that processes are forked from, so that it loads our modules while this one goes on."""
    if METHOD == "forkserver":
        from multiprocessing import forkserver

        multiprocessing.set_forkserver_preload([worker.__name__, "agentrl.making"])
        forkserver.ensure_running()
