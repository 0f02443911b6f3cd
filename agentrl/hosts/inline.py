"""Environments that are called right here, between the engine's steps."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from agentrl.env import TextEnv
from agentrl.hosts.base import EnvHost, HostedEnv
from agentrl.hosts.faults import fault_of
from agentrl.hosts.guard import GUARD, OvertimeError, is_own_interrupt
from agentrl.hosts.options import HostOptions
from agentrl.hosts.resident import Resident


class InlineHost(EnvHost):
    """Calls environments in the thread that asks. Nothing else happens until they answer.

    What Python can interrupt is interrupted at the limit of a call (in the main thread), and exceptions of every kind
    are faults, ``SystemExit`` and ``os._exit`` included. What stays inside C code, or crashes, is beyond it.
    """

    kind: ClassVar[str] = "inline"

    def __init__(self, factory: Callable[[], TextEnv], options: HostOptions | None = None) -> None:
        super().__init__(factory, options or HostOptions())

    def _new(self) -> "InlineEnv":
        return InlineEnv(self, self.factory)

    async def _discard(self, env: HostedEnv) -> None:
        with suppress(Exception):
            await env.call("close")

    def close(self) -> None:
        """Close the idle environments."""
        while self._idle:
            env = self._idle.pop()
            assert isinstance(env, InlineEnv)
            with suppress(Exception):
                env.close_now()


class InlineEnv(HostedEnv):
    """An environment in this thread."""

    def __init__(self, host: InlineHost, factory: Callable[[], TextEnv]) -> None:
        super().__init__(host.options)
        self._host = host
        self._resident = Resident(factory)

    def close_now(self) -> None:
        """Close the environment outside of an event loop."""
        self._perform("close", (), self._limits["close"])

    async def _call(self, name: str, args: tuple[Any, ...], limit_s: float) -> Any:
        return self._perform(name, args, limit_s)

    def _perform(self, name: str, args: tuple[Any, ...], limit_s: float) -> Any:
        began = time.perf_counter()
        try:
            GUARD.enter(limit_s)
            try:
                return self._resident.perform(name, args)
            finally:
                GUARD.leave()
        except OvertimeError:
            self._host.events["timed_out"] += 1
            raise self.overtime(name, limit_s) from None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and not is_own_interrupt(error):
                raise
            fault = fault_of(error)
            if fault is error:
                raise
            raise fault from error
        finally:
            self._host.busy_s += time.perf_counter() - began


def held(env: TextEnv) -> HostedEnv:
    """Return an environment that exists already, as one of an inline host's own."""
    hosted = InlineEnv(InlineHost(lambda: env), lambda: env)
    hosted.declare(hosted._resident.make())
    return hosted
