"""The process that environments live in: it answers calls, one after the other, until nobody asks any more."""

import ctypes
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from agentrl.env import TextEnv
from agentrl.hosts.faults import EnvFault, fault_of
from agentrl.hosts.progress import Progress
from agentrl.hosts.resident import Resident
from agentrl.hosts.wire import receive_message, send_message

HOLD_S = 0.005
"""Seconds that an answer may wait for those behind it, to go in one message."""
PR_SET_PDEATHSIG = 1


class Reply(NamedTuple):
    """One answer.

    Attributes:
      busy_s: seconds that the call took.
      pickled: whether it succeeded, and its result or its fault.
    """

    busy_s: float
    pickled: bytes


class Letter(NamedTuple):
    """Answers, in the order of the calls.

    Attributes:
      replies: to the oldest calls that had none yet.
      memory_mb: of the process.
    """

    replies: list[Reply]
    memory_mb: float


def work(end: socket.socket, memory: Any, factory: bytes, environ: Mapping[str, str]) -> None:
    """Answer the calls that come over the socket: what a process does.

    It is the first of a group of its own, so that what it starts ends with it, and Ctrl-C is the affair of the process
    that asks. It ends when that one does.
    """
    with suppress(OSError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    os.environ.update(environ)
    _Worker(end, Progress(memory.detach()), factory).serve()


class _Worker:
    def __init__(self, end: socket.socket, progress: Progress, factory: bytes) -> None:
        self._end = end
        self._progress = progress
        self._count = 0
        self._factory = factory
        self._residents: dict[int, Resident] = {}
        self._replies: list[Reply] = []
        self._sent = time.perf_counter()

    def serve(self) -> None:
        """Answer until the other end has gone."""
        while True:
            try:
                calls = pickle.loads(receive_message(self._end))
            except EOFError:
                break
            self._sent = time.perf_counter()
            for call in calls:
                self._replies.append(self._answer(call))
                if time.perf_counter() - self._sent > HOLD_S:
                    self._send()
            self._send()
        for resident in self._residents.values():
            with suppress(BaseException):
                resident.close()

    def _send(self) -> None:
        if self._replies:
            send_message(self._end, pickle.dumps(Letter(self._replies, memory_mb())))
        self._replies, self._sent = [], time.perf_counter()

    def _answer(self, call: bytes) -> Reply:
        began = time.perf_counter()
        self._count += 1
        self._progress.write(self._count, self._count - 1)
        try:
            number, name, args = pickle.loads(call)
            result = self._perform(number, name, args)
            busy_s = time.perf_counter() - began
            return Reply(busy_s, pickle.dumps((True, result)))
        except BaseException as error:
            return Reply(time.perf_counter() - began, _pickled_fault(error))
        finally:
            self._progress.write(self._count, self._count)

    def _perform(self, number: int, name: str, args: tuple[Any, ...]) -> Any:
        if name == "make":
            self._residents[number] = Resident(self._make)
        resident = self._residents[number]
        if name == "close":
            del self._residents[number]
        return resident.perform(name, args)

    def _make(self) -> TextEnv:
        factory: Callable[[], TextEnv] = pickle.loads(self._factory)
        return factory()


def _pickled_fault(error: BaseException) -> bytes:
    """Return what was raised, with the traceback as a note, as a failed answer."""
    fault = fault_of(error)
    fault.add_note("".join(traceback.format_exception(error)))
    try:
        return pickle.dumps((False, fault))
    except Exception:
        return pickle.dumps((False, EnvFault(type(error).__name__, str(fault))))


def memory_mb() -> float:
    """Return the resident memory of this process in MB; 0 where it cannot be told."""
    with suppress(OSError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


def _end_with_parent() -> None:
    """Have the system kill this process when the one that forked it has ended, even inside an environment."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
