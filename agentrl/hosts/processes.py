"""Environments in processes: worlds that burn a core, hang, leak or die."""

import asyncio
import atexit
import pickle
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from agentrl.env import Outcome, TextEnv
from agentrl.errors import ConfigError
from agentrl.hosts import child
from agentrl.hosts.base import EnvHost, HostedEnv
from agentrl.hosts.child import Asked, Child
from agentrl.hosts.faults import EnvFault, fault_of
from agentrl.hosts.options import HostOptions
from agentrl.hosts.watch import Watch

GRACE_S = 2.0
"""Seconds that processes have to end by themselves."""
MOST_ENTRIES = 3
"""Processes that an episode may be carried on in: where those die under it, it is to blame."""


class ProcessHost(EnvHost):
    """Calls environments in processes, several in each if so configured.

    The calls that are made at one moment to the environments of a process go there as one message. At the limit of a
    call its process is killed, with all that it has started, and another takes its place; so it is where a process
    dies. The others that lived in it are played again, action by action, in another process, which is as if nothing had
    happened to them; where an environment cannot be repeated its episode is lost, as ``INFRA_LOST``.

    Raises:
      ConfigError: the factory cannot be pickled.
    """

    kind: ClassVar[str] = "processes"

    def __init__(self, factory: Callable[[], TextEnv], options: HostOptions) -> None:
        super().__init__(factory, options)
        try:
            self._pickled = pickle.dumps(factory)
        except Exception as error:
            raise ConfigError(
                f"environments cannot live in processes, for what makes them cannot be sent there ({error}): give "
                "functools.partial(agentrl.make, 'mine/Env-v0') or a function at the top of a module"
            ) from None
        self._children: set[Child] = set()
        self._envs: dict[int, ProcessEnv] = {}
        self._number = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch = Watch(self._look)
        self._to_send: set[Child] = set()
        child.prepare()
        self._at_exit = partial(_close, weakref.ref(self))
        atexit.register(self._at_exit)

    # -- places ------------------------------------------------------------------------------------------------------

    def _new(self) -> "ProcessEnv":
        self._number += 1
        env = ProcessEnv(self, self._number)
        self._envs[env.number] = env
        return env

    def place(self, number: int) -> Child:
        """Return the process that an environment is to live in."""
        for one in self._children:
            if not (one.is_retiring or one.is_dead) and len(one.envs) < self.options.per_process:
                break
        else:
            one = Child(self._pickled)
            self._children.add(one)
            self._follow(one)
        one.envs.add(number)
        return one

    def _is_worn(self, env: HostedEnv) -> bool:
        assert isinstance(env, ProcessEnv)
        home = env.home
        if home is not None and self._has_served(home):
            home.is_retiring = True
        return env.is_broken or home is None or home.is_retiring

    def _has_served(self, one: Child) -> bool:
        episodes, memory_mb = self.options.recycle_episodes, self.options.recycle_mb
        return (episodes is not None and one.episodes >= episodes) or (
            memory_mb is not None and one.memory_mb > memory_mb
        )

    async def _discard(self, env: HostedEnv) -> None:
        assert isinstance(env, ProcessEnv)
        home = env.home
        if home is not None and not env.is_inside:
            with suppress(Exception):
                await env.call("close")
        elif home is not None:  # left in the middle: closed when it comes out, and killed if it does not
            env.ask_to_close()
        self._envs.pop(env.number, None)
        if home is not None:
            home.envs.discard(env.number)
            if home.is_retiring and not home.envs and not home.is_dead:
                home.stop()

    # -- messages ----------------------------------------------------------------------------------------------------

    def ask(self, home: Child, call: Asked) -> None:
        """Put a call in line for a process; it leaves when what is ready in the event loop has run."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            for one in self._children:
                self._follow(one)
        home.ask(call)
        if not self._to_send:
            loop.call_soon(self._send)
        self._to_send.add(home)
        self._watch.begin()

    def _send(self) -> None:
        for home in self._to_send:
            home.send()
            if home.wire.has_rest and self._loop is not None:
                self._loop.add_writer(home.wire.fileno(), self._flush, home)
        self._to_send.clear()

    def _flush(self, home: Child) -> None:
        home.wire.flush()
        if not home.wire.has_rest and self._loop is not None:
            self._loop.remove_writer(home.wire.fileno())

    def _follow(self, one: Child) -> None:
        """Have the event loop tell of a process."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.add_reader(one.wire.fileno(), self._receive, one)
            self._loop.add_reader(one.sentinel, self._bury, one)

    def _forget(self, one: Child) -> None:
        if self._loop is not None and not self._loop.is_closed():
            for descriptor in (one.wire.fileno(), one.sentinel):
                if descriptor >= 0:
                    self._loop.remove_reader(descriptor)
                    self._loop.remove_writer(descriptor)

    def _receive(self, one: Child) -> None:
        one.receive()
        if one.wire.is_closed and self._loop is not None:  # its end is told of by the sentinel
            self._loop.remove_reader(one.wire.fileno())

    # -- endings -----------------------------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Kill the processes that are over a limit; return whether any is busy."""
        for one in list(self._children):
            one.receive()
            call = one.overdue(time.monotonic())
            if call is not None:
                self.events["timed_out"] += 1
                one.kill()
                env = self._envs.get(call.env)
                fault = env.overtime(call.name, call.limit_s) if env else EnvFault("TimeLimit", "no answer")
                self._end(one, fault)
        return any(one.is_busy for one in self._children)

    def _bury(self, one: Child) -> None:
        """Take note that a process has ended, which nobody asked for unless it is retiring."""
        one.receive()
        text = one.ending
        if not one.is_retiring:
            self.events["died"] += 1
        self._end(one, EnvFault("HostDied", text, Outcome.INFRA_LOST if one.was_killed else Outcome.ENV_ERROR))

    def _end(self, one: Child, fault: EnvFault) -> None:
        """Give everyone in a process that has ended what is due: a fault to who was in a call, the rest play on."""
        self._forget(one)
        self._children.discard(one)
        present, rest = one.take_unanswered()
        one.is_dead = True
        if present is not None:
            present.settle(False, fault, 0.0)
        for number in one.envs:
            env = self._envs.get(number)
            if env is not None:
                env.lose_home(fault)
        for call in rest:
            call.settle(False, _LostError(), 0.0)
        one.bury()

    def close(self) -> None:
        """End the processes; those that do not end in ``GRACE_S`` are killed."""
        for one in self._children:
            self._forget(one)
            one.stop()
        until = time.monotonic() + GRACE_S
        for one in self._children:
            if not one.has_ended(max(0.0, until - time.monotonic())):
                one.kill()
        for one in self._children:
            one.bury()
        self._children.clear()
        self._envs.clear()
        self._idle.clear()
        atexit.unregister(self._at_exit)


def _close(reference: "weakref.ref[ProcessHost]") -> None:
    host = reference()
    if host is not None:
        host.close()


class _LostError(Exception):
    """The process ended before the call was made."""


class ProcessEnv(HostedEnv):
    """An environment in a process.

    Args:
      host: decides where it lives.
      number: its name there.

    Attributes:
      home: the process; None where it has none any more.
      is_inside: a call is under way.
    """

    def __init__(self, host: ProcessHost, number: int) -> None:
        super().__init__(host.options)
        self.number = number
        self.home: Child | None = None
        self.is_inside = False
        self._host = host
        self._journal: list[tuple[str, tuple[Any, ...]]] = []
        self._lost_to: EnvFault | None = None
        self._entries = 0

    def lose_home(self, fault: EnvFault) -> None:
        """Take note that the process has ended."""
        self.home, self._lost_to = None, fault

    def ask_to_close(self) -> None:
        """Have it closed when it comes out of what it is doing."""
        self._put("close", (), self._limits["close"], lambda *answer: None)

    async def _call(self, name: str, args: tuple[Any, ...], limit_s: float) -> Any:
        while True:
            if self.home is None and name == "close":
                return None
            if self.home is None:
                await self._enter(name)
            try:
                answer = await self._ask(name, args, limit_s)
            except _LostError:
                continue
            self._note(name, args)
            return answer

    def _note(self, name: str, args: tuple[Any, ...]) -> None:
        """Remember how to come here again."""
        if name in ("reset", "restore"):
            self._journal, self._entries = [], 0
            if self.home is not None:
                self.home.episodes += 1
        if name in ("reset", "restore", "step", "script", "advise", "skip_to"):
            self._journal.append((name, args))

    async def _enter(self, name: str) -> None:
        """Find a home, and come to where the episode was in the last one.

        Raises:
          EnvFault: the episode cannot be repeated, or its processes die under it.
        """
        lost = self._lost_to
        self._entries += 1
        if lost is not None and self.declared is not None:
            if self._entries > MOST_ENTRIES or (self._journal and not self.declared.is_repeatable):
                raise EnvFault("HostDied", f"{lost.text}, which it shared", Outcome.INFRA_LOST)
            self._host.events["re-entered"] += 1
        try:
            self.home = self._host.place(self.number)
        except OSError as error:
            raise EnvFault(type(error).__name__, f"no process could be started: {error}", Outcome.INFRA_LOST) from error
        if name == "make":
            return
        await self._ask("make", (), self._limits["make"])
        for past, args in self._journal if name not in ("reset", "restore") else ():
            await self._ask(past, args, self._limits["reset"])

    async def _ask(self, name: str, args: tuple[Any, ...], limit_s: float) -> Any:
        future = asyncio.get_running_loop().create_future()

        def settle(succeeded: bool, value: Any, busy_s: float) -> None:
            self.is_inside = False
            self._host.busy_s += busy_s
            if future.done():
                return
            if succeeded:
                future.set_result(value)
            else:
                future.set_exception(value if isinstance(value, _LostError) else fault_of(value))

        self._put(name, args, limit_s, settle)
        self.is_inside = True
        return await future

    def _put(
        self, name: str, args: tuple[Any, ...], limit_s: float, settle: Callable[[bool, Any, float], None]
    ) -> None:
        assert self.home is not None
        self._host.ask(self.home, Asked(self.number, name, pickle.dumps((self.number, name, args)), limit_s, settle))
