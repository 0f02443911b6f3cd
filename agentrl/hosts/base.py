"""The interface between what plays episodes and the places where environments live."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from agentrl.env import Expert, Outcome, Snapshot, SnapshotLevel, TextEnv
from agentrl.errors import AgentrlError
from agentrl.hosts.answers import Answer, Beginning
from agentrl.hosts.faults import EnvFault
from agentrl.hosts.options import LIMIT_OF, Declared, HostOptions, limits_s


class HostedEnv(ABC):
    """An environment in a host, one call at a time. Every call may raise what this says.

    Attributes:
      declared: what it says about itself.
      is_broken: it raised, hung or died: it cannot be used for another episode.
      episodes: that it has begun.

    Raises:
      EnvFault: it raised, gave a bad answer, took longer than its limit, or died.
      AgentrlError: an error of agentrl's own, such as a task that does not exist.
    """

    def __init__(self, options: HostOptions) -> None:
        self.declared: Declared | None = None
        self._options = options
        self._limits = limits_s(options.time_limit_s, None)
        self.is_broken = False
        self.episodes = 0

    async def make(self) -> None:
        """Make the environment; before any other call."""
        self.declare(await self.call("make"))

    def declare(self, declared: Declared) -> None:
        """Take note of what the environment says about itself."""
        self.declared, self._limits = declared, limits_s(self._options.time_limit_s, declared.time_limit_s)

    @property
    def name(self) -> str:
        """Name of its class."""
        return self._said.name

    @property
    def is_stateless(self) -> bool:
        """Its answers depend on task and action alone."""
        return self._said.is_stateless

    @property
    def snapshot_level(self) -> SnapshotLevel:
        """How faithfully it can be restored."""
        return self._said.level

    @property
    def _said(self) -> Declared:
        assert self.declared is not None
        return self.declared

    async def first_task(self, split: str) -> str | None:
        """Return the first task of a split; None where it is empty."""
        first: str | None = await self.call("first_task", split)
        return first

    async def reset(self, seed: int, task_id: str) -> Beginning:
        """Begin an episode."""
        self.episodes += 1
        began: Beginning = await self.call("reset", seed, task_id)
        return began

    async def step(self, action: str) -> Answer:
        """Play one turn."""
        answer: Answer = await self.call("step", action)
        return answer

    async def snapshot(self) -> Snapshot:
        """Return the point of the episode."""
        snapshot: Snapshot = await self.call("snapshot")
        return snapshot

    async def restore(self, snapshot: Snapshot) -> None:
        """Go to a point of an episode."""
        self.episodes += 1
        await self.call("restore", snapshot)

    async def skip_to(self, turn: int) -> None:
        """Count on from ``turn``, in a world whose answers do not depend on what was done."""
        await self.call("skip_to", turn)

    async def solution(self) -> list[str] | None:
        """Return the environment's plan."""
        plan: list[str] | None = await self.call("solution")
        return plan

    async def script(self, make: Callable[..., tuple[Any, Expert]], *args: Any) -> Any:
        """Let ``make(env, *args)`` make a scripted policy where the environment lives; return what it gives beside it.

        ``make`` must be picklable where environments live in processes.
        """
        return await self.call("script", make, *args)

    async def advise(self) -> str | None:
        """Return what the scripted policy would do now; None where it gives up."""
        action: str | None = await self.call("advise")
        return action

    async def call(self, name: str, *args: Any) -> Any:
        """Make a call of :class:`~agentrl.hosts.resident.Resident` and remember whether the environment survived it."""
        try:
            return await self._call(name, args, self._limits[LIMIT_OF[name]])
        except AgentrlError:
            raise
        except BaseException:  # cancelled, it may be left in the middle
            self.is_broken = True
            raise

    @abstractmethod
    async def _call(self, name: str, args: tuple[Any, ...], limit_s: float) -> Any: ...

    def overtime(self, name: str, limit_s: float) -> EnvFault:
        """Return the fault of a call that took longer than its limit.

        Only a step can be the action's own doing: of the other calls, and before it has declared anything, the
        environment is to blame.
        """
        outcome = self.declared.overtime if self.declared is not None else Outcome.ENV_ERROR
        if outcome.is_verdict and name != "step":
            outcome = Outcome.ENV_ERROR
        return EnvFault("TimeLimit", f"no answer within {limit_s:g} s", outcome)


class EnvHost(ABC):
    """A place where environments live, lent to one episode at a time.

    Args:
      factory: makes an environment; each call must return a new one.
      options: of the host.

    Attributes:
      busy_s: seconds spent inside environments, added up.
      events: how often something was ``timed_out``, ``died``, ``recycled`` or ``re-entered``.
    """

    kind: ClassVar[str]

    def __init__(self, factory: Callable[[], TextEnv], options: HostOptions) -> None:
        self.factory = factory
        self.options = options
        self.busy_s = 0.0
        self.events: Counter[str] = Counter()
        self._idle: list[HostedEnv] = []

    async def acquire(self) -> HostedEnv:
        """Return an idle environment, or a new one.

        Raises:
          EnvFault: it could not be made.
          AgentrlError: an error of agentrl's own.
        """
        while self._idle:
            env = self._idle.pop()
            if not self._is_worn(env):
                return env
            await self._retire(env)
        env = self._new()
        try:
            await env.make()
        except BaseException:
            env.is_broken = True
            await self._discard(env)
            raise
        return env

    async def release(self, env: HostedEnv, *, is_fit: bool = True) -> None:
        """Give an environment back. One that broke, was left in the middle or has served its time is replaced."""
        if env.is_broken or not is_fit:
            await self._discard(env)
        elif self._is_worn(env):
            await self._retire(env)
        else:
            self._idle.append(env)

    async def _retire(self, env: HostedEnv) -> None:
        self.events["recycled"] += 1
        await self._discard(env)

    def _is_worn(self, env: HostedEnv) -> bool:
        most = self.options.recycle_episodes
        return env.is_broken or (most is not None and env.episodes >= most)

    @abstractmethod
    def _new(self) -> HostedEnv:
        """Return a place for an environment that is yet to be made."""

    @abstractmethod
    async def _discard(self, env: HostedEnv) -> None:
        """Close an environment; what that may raise adds nothing to what was recorded."""

    @abstractmethod
    def close(self) -> None:
        """Close the environments and end what they live in; those that do not end are killed or left behind."""

    def __enter__(self) -> "EnvHost":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def make_host(factory: Callable[[], TextEnv], options: HostOptions | None = None) -> EnvHost:
    """Return the host that the options name.

    Raises:
      ConfigError: the factory cannot be sent to another process, and must be.
    """
    options = options or HostOptions()
    if options.kind == "processes":
        from agentrl.hosts.processes import ProcessHost

        return ProcessHost(factory, options)
    if options.kind == "threads":
        from agentrl.hosts.threads import ThreadHost

        return ThreadHost(factory, options)
    from agentrl.hosts.inline import InlineHost

    return InlineHost(factory, options)


def as_host(source: "Callable[[], TextEnv] | EnvHost") -> EnvHost:
    """Return a host as it is, and an inline one for what makes environments."""
    return source if isinstance(source, EnvHost) else make_host(source)
