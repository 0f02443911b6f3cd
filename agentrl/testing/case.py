"""What the laws are checked on: an environment, the episodes to play, and a record that can be played again."""

import functools
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentrl.env import Info, Snapshot, SnapshotLevel, TextEnv
from agentrl.errors import ConfigError
from agentrl.hosts.guard import GUARD, OvertimeError, is_own_interrupt
from agentrl.seeding import generator

NONSENSE = (
    "",
    " ",
    "\n\t\r",
    "\x00",
    "xyzzy plugh",
    "%s {0} \\1 $(x) ';--",
    '{"name": "no such tool", "arguments": {}}',
    "<action></action>",
    "идти на север 向北 \U0001f916 \u202e",
    "take " * 20_000,
)
"""Strings that no world understands."""


LIMIT_S = 300.0
"""Seconds that a law may take."""
AGAIN_LIMIT_S = 10.0
"""The same of an environment that hung in another law."""


class ContractError(AssertionError):
    """An environment breaks a law of the contract; the message names the law and how to see it broken."""


Law = Callable[["Case"], None]
"""One sentence of the contract (the first line of its docstring) and the way to check it."""


def law(check: Law) -> Law:
    """Make every failure of ``check``, exceptions of the environment too, begin with the sentence that is broken.

    An environment that hangs, where Python can be interrupted, or exits breaks the law that is checked.
    """
    broken = f"broken law {check.__name__}: {(check.__doc__ or '').splitlines()[0]}"

    @functools.wraps(check)
    def checked(case: "Case") -> None:
        limit_s = AGAIN_LIMIT_S if case.hung else LIMIT_S
        GUARD.enter(limit_s)
        try:
            check(case)
        except ContractError as error:
            raise ContractError(f"{broken}\n  {error}") from error.__cause__
        except ConfigError:
            raise
        except OvertimeError as error:
            case.hung.append(check.__name__)
            raise ContractError(f"{broken}\n  There was no end within {limit_s:g} s: does it hang?") from error
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and not is_own_interrupt(error):
                raise
            raise ContractError(f"{broken}\n  The environment raised {error!r}.") from error
        finally:
            GUARD.leave()

    return checked


def require(condition: object, message: str) -> None:
    """Raise `ContractError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ContractError(message)


def require_raises(kind: type[Exception], call: Callable[[], object], what: str) -> Exception:
    """Raise `ContractError` unless ``call`` raises ``kind``; return what it raised."""
    try:
        result = call()
    except kind as error:
        return error
    except Exception as error:
        raise ContractError(f"{what} raised {error!r}, not {kind.__name__}.") from error
    raise ContractError(f"{what} returned {_short(result)}; it must raise {kind.__name__}.")


@dataclass(frozen=True)
class Frame:
    """All that a policy sees after one turn; ``facts`` holds the documented keys of ``info``."""

    observation: str
    facts: dict[str, Any]
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False

    @classmethod
    def of(cls, observation: str, info: dict[str, Any], *ending: Any) -> "Frame":
        """Return the frame of a ``reset`` (no ending) or a ``step`` (reward, terminated, truncated)."""
        return cls(observation, {key: info[key] for key in Info.__annotations__ if key in info}, *ending)

    @property
    def ended(self) -> bool:
        """True if nothing can follow."""
        return self.terminated or self.truncated

    def difference(self, other: "Frame") -> str:
        """Return the first field in which two frames differ, with both values; empty if they are equal."""
        mine, others = ({**vars(frame), **frame.facts, "facts": None} for frame in (self, other))
        for name in dict.fromkeys([*mine, *others]):
            one, two = mine.get(name, "(absent)"), others.get(name, "(absent)")
            if one != two:
                return f"{name} is {_short(one)} against {_short(two)}"
        return ""


def _short(value: object, length: int = 300) -> str:
    text = ascii(value)
    return text if len(text) <= length else f"{text[:length]}… ({len(text)} characters)"


class Episode:
    """An episode that is being played, with its frames and the actions that lead to them."""

    def __init__(self, env: TextEnv, seed: int, options: dict[str, Any] | None) -> None:
        self.env, self.seed, self.options = env, seed, options
        self.rng = generator(seed, "conformance")
        self.actions: list[str] = []
        self.frames = [Frame.of(*env.reset(seed=seed, options=options))]
        self._hints: list[str] | None = None

    @property
    def ended(self) -> bool:
        """True if the last frame ended the episode."""
        return self.frames[-1].ended

    def step(self, action: str) -> Frame:
        """Play one turn and record it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.actions.append(action)
        self.frames.append(Frame.of(observation, info, reward, terminated, truncated))
        return self.frames[-1]

    def play(self, actions: Sequence[str]) -> "Episode":
        """Play ``actions`` as far as the episode lasts."""
        for action in actions:
            if self.ended:
                break
            self.step(action)
        return self

    def wander(self, turns: int) -> "Episode":
        """Play random actions: mostly what is listed as admissible, sometimes nonsense."""
        for _ in range(turns):
            if self.ended:
                break
            self.step(self.draw_action(self.rng))
        return self

    def draw_action(self, rng: np.random.Generator) -> str:
        """Return a random action for the present state."""
        listed = self.frames[-1].facts.get("admissible_actions")
        if listed is None:  # nothing is listed: words of the solution are the best guess at what the world knows
            self._hints = self.env.solution() or [] if self._hints is None else self._hints
            listed = self._hints
        choices = listed if listed and rng.random() < 0.85 else NONSENSE
        return str(choices[int(rng.integers(len(choices)))])

    def fork(self) -> "Episode":
        """Return an episode that continues this one in a fork of its environment."""
        twin = Episode.__new__(Episode)
        vars(twin).update(vars(self), env=self.env.fork(), actions=[*self.actions], frames=[*self.frames])
        return twin

    def script(self) -> str:
        """Return Python that plays the episode up to here."""
        steps = [f"env.step({_short(action)})" for action in self.actions]
        return "; ".join([f"env.reset(seed={self.seed}, options={self.options})", *steps])

    def require(self, condition: object, message: str) -> None:
        """Raise `ContractError` with ``message`` and the script unless ``condition`` holds."""
        require(condition, message if condition else f"{message}\n  To see it: {self.script()}")

    def require_same(self, frames: Sequence[Frame], since: int, when: str) -> None:
        """Raise `ContractError` unless the frames from ``since`` on are ``frames``."""
        for turn, (mine, other) in enumerate(zip(self.frames[since:], frames, strict=False), start=since):
            difference = mine.difference(other)
            self.require(not difference, f"{when}: after turn {turn}, {difference}." if difference else "")
        lengths = len(self.frames) - since, len(frames)
        self.require(lengths[0] == lengths[1], f"{when}: the episode lasted {lengths[0]} against {lengths[1]} frames.")


@dataclass(frozen=True)
class Case:
    """An environment to be checked.

    Attributes:
      factory: makes a new environment. The laws about other processes need one that can be pickled:
        ``functools.partial(agentrl.make, "mine/Env-v0")`` or a function at the top of a module.
      seeds: an episode is played for each.
      tasks: ids of the tasks to play, each with each seed; by default the seed draws one.
      turns: how far random play goes in each episode.
    """

    factory: Callable[[], TextEnv]
    seeds: Sequence[int] = (0, 1, 2)
    tasks: Sequence[str] | None = None
    turns: int = 20

    @functools.cached_property
    def hung(self) -> list[str]:
        """Laws in which the environment hung."""
        return []

    @functools.cached_property
    def env(self) -> TextEnv:
        """An environment for laws that leave it as they found it."""
        return self.factory()

    def starts(self) -> list[tuple[int, dict[str, Any] | None]]:
        """Return the arguments of ``reset`` for each episode."""
        choices = [None] if self.tasks is None else [{"task": task_id} for task_id in self.tasks]
        return [(seed, options) for options in choices for seed in self.seeds]

    def episodes(self, env: TextEnv | None = None) -> Iterator[Episode]:
        """Begin each episode in turn, all in one environment."""
        for seed, options in self.starts():
            yield Episode(env or self.env, seed, options)

    def branching(self) -> Iterator[Episode]:
        """Begin each episode in turn, all in a new environment; none where it cannot be branched."""
        if self.env.snapshot_level is not SnapshotLevel.NONE:
            yield from self.episodes(self.factory())


Script = tuple[int, dict[str, Any] | None, list[str]]


def replay(factory: Callable[[], TextEnv], scripts: Sequence[Script]) -> list[list[Frame]]:
    """Play each script (seed, options, actions) in one new environment and return its frames."""
    env = factory()
    return [Episode(env, seed, options).play(actions).frames for seed, options, actions in scripts]


def resume(factory: Callable[[], TextEnv], points: Sequence[tuple[bytes, list[str]]]) -> list[list[Frame]]:
    """Restore each pickled snapshot in one new environment, play its actions and return their frames."""
    env = factory()
    return [follow(env, pickle.loads(blob), actions) for blob, actions in points]


def follow(env: TextEnv, snapshot: Snapshot, actions: Sequence[str]) -> list[Frame]:
    """Restore ``snapshot``, play ``actions`` as far as the episode lasts, and return the frames."""
    env.restore(snapshot)
    frames: list[Frame] = []
    for action in actions if not snapshot.ended else ():
        if frames and frames[-1].ended:
            break
        observation, reward, terminated, truncated, info = env.step(action)
        frames.append(Frame.of(observation, info, reward, terminated, truncated))
    return frames
