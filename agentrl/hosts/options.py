"""Which host environments live in, and how long it waits for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from agentrl.env import Outcome, SnapshotLevel, TextEnv
from agentrl.errors import ConfigError, nearest

KINDS = ("inline", "threads", "processes")
DEFAULT_LIMITS_S = {"make": 300.0, "reset": 60.0, "step": 60.0, "snapshot": 60.0, "close": 60.0}
"""The calls that have a limit each. ``make`` loads modules and data, ``reset`` is also planning and going back to a
snapshot, ``step`` also asking an expert."""
OVERTIMES = (Outcome.ENV_ERROR, Outcome.INFRA_LOST, Outcome.FAILURE)

LIMIT_OF = {
    "make": "make",
    "first_task": "make",
    "reset": "reset",
    "restore": "reset",
    "solution": "reset",
    "script": "reset",
    "step": "step",
    "advise": "step",
    "skip_to": "step",
    "snapshot": "snapshot",
    "close": "close",
}

TimeLimit = float | Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class HostOptions:
    """Where environments live.

    Attributes:
      kind: ``inline``, between the engine's steps: for worlds of microseconds. ``threads``: for worlds that wait, and
        may be in one process. ``processes``: for worlds that burn a core, hang, leak or die.
      time_limit_s: of each call but making it, or by call (``DEFAULT_LIMITS_S``); None is what the environment
        declares.
      per_process: environments that share a process.
      recycle_episodes: episodes after which an environment, or its process, is replaced; None for never.
      recycle_mb: memory of a process from which on it is replaced; None for never.

    Raises:
      ConfigError: a value is out of range, or has no use.
    """

    kind: Literal["inline", "threads", "processes"] = "inline"
    time_limit_s: TimeLimit = None
    per_process: int = 1
    recycle_episodes: int | None = None
    recycle_mb: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"host is {self.kind!r}, expected one of {list(KINDS)}{nearest(self.kind, KINDS)}")
        check_time_limit(self.time_limit_s)
        for name in ("per_process", "recycle_episodes", "recycle_mb"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, expected 1 or more")
        if self.kind != "processes" and (self.per_process != 1 or self.recycle_mb is not None):
            raise ConfigError(f"per_process and recycle_mb are of the host 'processes', and it is {self.kind!r}")


class Declared(NamedTuple):
    """What an environment says about itself.

    Attributes:
      name: of its class.
      level: how faithfully it can be restored.
      is_stateless: its answers depend on task and action alone.
      time_limit_s: of its calls.
      overtime: how an episode ends when a step takes longer.
    """

    name: str
    level: SnapshotLevel
    is_stateless: bool
    time_limit_s: TimeLimit
    overtime: Outcome

    @classmethod
    def by(cls, env: TextEnv) -> "Declared":
        """Return what ``env`` declares.

        Raises:
          ConfigError: a limit or the outcome of overtime is not one.
        """
        check_time_limit(env.time_limit_s)
        if env.overtime not in OVERTIMES:
            raise ConfigError(
                f"{type(env).__name__}.overtime is {env.overtime!r}, expected one of {[str(one) for one in OVERTIMES]}"
            )
        return cls(type(env).__name__, env.snapshot_level, env.is_stateless, env.time_limit_s, Outcome(env.overtime))

    @property
    def is_repeatable(self) -> bool:
        """True if an episode can be played again, action by action, to be where it was."""
        return self.is_stateless or self.level is not SnapshotLevel.NONE


def check_time_limit(limit: TimeLimit) -> None:
    """Check a time limit.

    Raises:
      ConfigError: it is not positive, or of no call.
    """
    for name, seconds in limit.items() if isinstance(limit, Mapping) else [("step", limit)]:
        if name not in DEFAULT_LIMITS_S:
            raise ConfigError(f"a time limit of {name!r}{nearest(name, DEFAULT_LIMITS_S)}")
        if seconds is not None and not seconds > 0:
            raise ConfigError(f"a time limit of {seconds} s, expected more than 0")


def limits_s(configured: TimeLimit, declared: TimeLimit) -> dict[str, float]:
    """Return the limit of each kind of call: what is configured, else declared, else ``DEFAULT_LIMITS_S``.

    >>> limits_s({"step": 2}, 30.0)
    {'make': 300.0, 'reset': 30.0, 'step': 2.0, 'snapshot': 30.0, 'close': 30.0}
    """
    limits = dict(DEFAULT_LIMITS_S)
    for source in (declared, configured):
        if source is not None:
            limits |= source if isinstance(source, Mapping) else dict.fromkeys(set(limits) - {"make"}, source)
    return {name: float(seconds) for name, seconds in limits.items()}
