"""Environments in threads: worlds that wait for something, each in a thread of its own."""

import asyncio
import ctypes
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

from agentrl.env import TextEnv
from agentrl.hosts.base import EnvHost, HostedEnv
from agentrl.hosts.faults import fault_of
from agentrl.hosts.guard import GUARD, OvertimeError
from agentrl.hosts.options import HostOptions
from agentrl.hosts.resident import Resident
from agentrl.hosts.watch import Watch

GRACE_S = 2.0
"""Seconds that threads have to come out of their environments before they are left behind."""


class ThreadHost(EnvHost):
    """Calls each environment in a thread of its own, so that they wait side by side while the engine goes on.

    At the limit of a call its thread is left behind with the environment, and told to end where Python can; it is a
    daemon, which keeps no process alive. Exceptions of every kind are faults; a crash ends the run.
    """

    kind: ClassVar[str] = "threads"

    def __init__(self, factory: Callable[[], TextEnv], options: HostOptions) -> None:
        super().__init__(factory, options)
        self._envs: set[ThreadedEnv] = set()
        self.watch = Watch(self._look)

    def _new(self) -> "ThreadedEnv":
        env = ThreadedEnv(self)
        self._envs.add(env)
        return env

    async def _discard(self, env: HostedEnv) -> None:
        assert isinstance(env, ThreadedEnv)
        if not env.is_inside:
            with suppress(Exception):
                await env.call("close")
        self._envs.discard(env)
        if env.is_inside:
            env.leave_behind()
        else:
            env.end()

    def close(self) -> None:
        """Close the environments, and wait for their threads a little while."""
        until = time.monotonic() + GRACE_S
        for env in self._envs:
            env.end()
        for env in self._envs:
            env.join(max(0.0, until - time.monotonic()))
        self._envs.clear()
        self._idle.clear()

    def _look(self) -> bool:
        now = time.monotonic()
        for env in list(self._envs):
            env.check(now)
        return any(env.is_inside for env in self._envs)


class _Call(NamedTuple):
    name: str
    args: tuple[Any, ...]
    limit_s: float
    began: float
    future: asyncio.Future[Any]


class ThreadedEnv(HostedEnv):
    """An environment in a thread.

    Attributes:
      is_inside: a call is under way.
    """

    def __init__(self, host: ThreadHost) -> None:
        super().__init__(host.options)
        self._host = host
        self._resident = Resident(host.factory)
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._present: _Call | None = None
        self._thread = threading.Thread(target=self._live, name="agentrl-env", daemon=True)
        self._thread.start()

    @property
    def is_inside(self) -> bool:
        """A call is under way."""
        return self._present is not None

    async def _call(self, name: str, args: tuple[Any, ...], limit_s: float) -> Any:
        future = asyncio.get_running_loop().create_future()
        self._present = _Call(name, args, limit_s, time.monotonic(), future)
        self._calls.put(self._present)
        self._host.watch.begin()
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # A thread cannot be stopped, and nobody may close an environment that it still uses.
            await asyncio.wait([future], timeout=GRACE_S)
            raise

    def check(self, now: float) -> None:
        """End the call that is under way if it is over its limit."""
        call = self._present
        if call is not None and now - call.began > call.limit_s and not call.future.done():
            self._host.events["timed_out"] += 1
            call.future.set_exception(self.overtime(call.name, call.limit_s))
            call.future.exception()  # somebody who was cancelled does not ask for it

    def leave_behind(self) -> None:
        """Let the thread end as soon as it comes out, and tell it to where it is in Python code."""
        self.end()
        ident = self._thread.ident
        if ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(OvertimeError))

    def end(self) -> None:
        """Let the thread close the environment and end, after the call that is under way."""
        self._calls.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout_s)

    def _live(self) -> None:
        """Take calls until there are no more, then close the environment: what the thread does."""
        with suppress(BaseException):
            while (call := self._calls.get()) is not None:
                self._answer(call)
        with suppress(BaseException):
            self._resident.close()

    def _answer(self, call: _Call) -> None:
        answer, fault = None, None
        began = time.perf_counter()
        GUARD.enter()
        try:
            answer = self._resident.perform(call.name, call.args)
        except BaseException as error:
            fault = fault_of(error)
            if fault is not error:
                fault.__cause__ = error
        busy_s = time.perf_counter() - began
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            call.future.get_loop().call_soon_threadsafe(self._settle, call, answer, fault, busy_s)

    def _settle(self, call: _Call, answer: Any, fault: Exception | None, busy_s: float) -> None:
        self._host.busy_s += busy_s
        if self._present is call:
            self._present = None
        if call.future.done():
            return
        if fault is None:
            call.future.set_result(answer)
        else:
            call.future.set_exception(fault)
