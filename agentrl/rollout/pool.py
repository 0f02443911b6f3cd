"""Environments that are built once and used for many episodes, called inline or in threads."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from agentrl.env import TextEnv

T = TypeVar("T")


class EnvPool:
    """A pool of environments made by one factory.

    Args:
      factory: makes an environment; each call must return a new one.
      size: most environments in use at once.
      threads: call the environments in threads, so that slow ones (browsers, sandboxes) do not hold up the engine.
        Environments that take microseconds are faster inline.

    Attributes:
      busy_s: seconds spent inside environments, added up over threads.
    """

    def __init__(self, factory: Callable[[], TextEnv], size: int, *, threads: bool = False) -> None:
        self._factory = factory
        self._idle: list[TextEnv] = []
        self._executor = ThreadPoolExecutor(size, "agentrl-env") if threads else None
        self.busy_s = 0.0

    async def acquire(self) -> TextEnv:
        """Return an idle environment, or a new one."""
        return self._idle.pop() if self._idle else await self.call(self._factory)

    def release(self, env: TextEnv) -> None:
        """Give back an environment that is fit for another episode."""
        self._idle.append(env)

    async def discard(self, env: TextEnv) -> None:
        """Close an environment that raised. What its ``close`` may raise adds nothing to what was recorded."""
        with contextlib.suppress(Exception):
            await self.call(env.close)

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a method of an environment and return its result; its exceptions pass through.

        Cancelled while a thread is inside the environment, it waits until the thread has come out.
        """
        if self._executor is None:
            return self._timed(function, args, kwargs)
        run = partial(self._timed, function, args, kwargs)
        future = asyncio.get_running_loop().run_in_executor(self._executor, run)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # A thread cannot be stopped, and nobody may close an environment that it still uses.
            await asyncio.wait([future])
            raise

    def close(self) -> None:
        """Close the idle environments, after waiting for calls that still run in threads; see :meth:`discard`."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        while self._idle:
            with contextlib.suppress(Exception):
                self._idle.pop().close()

    def _timed(self, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        begin = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            self.busy_s += time.perf_counter() - begin
