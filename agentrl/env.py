"""The environment contract: a Gymnasium environment over text that can be snapshotted.

An environment is written by subclassing :class:`TextEnv` and filling in a handful of hooks; the base class keeps
the order of calls, counts turns, truncates, and fills ``info``. `agentrl.testing` checks the whole contract.
"""

import copy
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self, TypedDict

import numpy as np
from gymnasium.core import Env
from gymnasium.spaces import Space

from agentrl.errors import ConfigError, OrderError, SnapshotError
from agentrl.tasks import TaskRef, TaskSet


class Outcome(StrEnum):
    """How an episode ended. Only a verdict says something about the policy; the rest is masked by credit."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRUNCATED = "truncated"
    ENV_ERROR = "env_error"
    INFRA_LOST = "infra_lost"

    @property
    def is_verdict(self) -> bool:
        """True if the policy caused the ending: solved, failed, or ran out of turns or tokens."""
        return self in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED)


class SnapshotLevel(StrEnum):
    """How faithfully an environment can be restored."""

    EXACT = "exact"
    """The state is copied."""
    REPLAY = "replay"
    """The episode is played again from ``reset``; right because the environment is deterministic."""
    NONE = "none"
    """Not at all: the environment cannot be branched."""


class Info(TypedDict, total=False):
    """The documented keys of ``info``; an environment may add its own."""

    task_id: str
    anchor_key: Hashable
    """Identity of the full state before the next action: two states are equal iff their keys are. The contract adds to
    the environment's own key that the episode has ended in the world, and how."""
    admissible_actions: list[str] | None
    """Every action that would be possible now, or None where they cannot be listed."""
    action_valid: bool
    """False if the last action could not be parsed or was not possible. Absent after ``reset``."""
    score: float
    """The environment's own measure of progress, 0 to 1."""
    metrics: dict[str, float]
    """The environment's own numbers about the episode so far; those of the last turn reach records, logs and report."""
    success: bool
    outcome: Outcome
    """Present only when the episode has ended."""
    outcome_reason: str
    answer: str
    """The right answer of the task, as an action. Present where the task has one, and the same throughout an episode:
    for credit assignment, never for the policy."""


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What one action did: made by :func:`advance` or :func:`finish`, so that illegal results are hard to write."""

    observation: str
    reward: float = 0.0
    terminated: bool = False
    success: bool = False
    action_valid: bool = True
    score: float | None = None
    truncated: bool = False
    """The world's own limit ends the episode, beside ``max_turns``."""


def advance(
    observation: str, *, reward: float = 0.0, action_valid: bool = True, score: float | None = None
) -> TurnResult:
    """The episode goes on."""
    return TurnResult(observation, reward, action_valid=action_valid, score=score)


def finish(
    observation: str, *, reward: float, success: bool, action_valid: bool = True, score: float | None = None
) -> TurnResult:
    """The episode ends inside the world, solved or failed."""
    return TurnResult(observation, reward, True, success, action_valid, score)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A point in an episode, picklable, valid in any process for an environment built with the same arguments."""

    env_type: str
    task_id: str
    level: SnapshotLevel
    turn: int
    ended: bool
    state: Any
    """`exact`: (copied state, generator's state, observation). `replay`: (generator's state at the start, actions)."""


class FreeText(Space[str]):
    """The space of all strings. Unlike ``gymnasium.spaces.Text`` it bounds neither alphabet nor length."""

    def __init__(self) -> None:
        super().__init__(shape=None, dtype=None)

    def contains(self, x: Any) -> bool:
        """Any string is an action and an observation."""
        return isinstance(x, str)

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Return a short random lower-case string (useful only to test that nonsense is answered)."""
        return "".join(self.np_random.choice(list("abcdefghij "), size=8))

    def __repr__(self) -> str:
        return "FreeText()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FreeText)


Expert = Callable[[str, Info], str | None]
"""A scripted policy for one episode: (observation, info) -> action, or None where it gives up because nothing helps any
more. It may keep a memory of the episode."""


class TextEnv(Env[str, str]):
    """A deterministic, forkable text world.

    Subclasses call ``super().__init__(tasks, ...)`` and implement `_start`, `_advance`, `_anchor_key`, `_get_state`,
    `_set_state`, `_solve`, and where they can `_admissible_actions`. Same seed and same task give the same episode in
    any process, thread or order: all randomness comes from ``self.np_random``.

    Args:
      tasks: the task set.
      split: where ``reset`` draws a task from when none is given.
      max_turns: episodes are truncated after this many actions; None for no limit.
      render_mode: ``"ansi"`` or None.

    Raises:
      ConfigError: a limit of less than 1, or another render mode.
      TaskNotFoundError: no such split.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}  # type: ignore[misc]
    snapshot_level: ClassVar[SnapshotLevel] = SnapshotLevel.EXACT
    _made_with: tuple[tuple[Any, ...], dict[str, Any]]
    is_stateless: ClassVar[bool] = False
    """True declares that answers depend on the task and the action alone: then level `none` can be branched as well."""
    time_limit_s: ClassVar[float | Mapping[str, float]] = 60.0
    """Seconds that a call may take where the environment's host can tell: each, or by call, one of ``make``, ``reset``
    (planning and going back as well), ``step``, ``snapshot`` and ``close``. Longer ones are given up and the episode
    ended. One number is not that of ``make``, which may have to load much."""
    overtime: ClassVar[Outcome] = Outcome.ENV_ERROR
    """How an episode ends whose step takes longer: ``ENV_ERROR``, ``INFRA_LOST`` where that is for others to mend, or
    ``FAILURE`` where it is the action's own doing: then it is a verdict, with no reward for that turn."""

    def __init__(
        self,
        tasks: TaskSet[Any],
        *,
        split: str = "train",
        max_turns: int | None = 50,
        render_mode: str | None = None,
    ) -> None:
        tasks.ids(split)
        if max_turns is not None and max_turns < 1:
            raise ConfigError(f"max_turns is {max_turns}, expected at least 1, or None for no limit")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(
                f"render_mode is {render_mode!r}, expected None or one of {self.metadata['render_modes']}"
            )
        self.tasks = tasks
        self.split = split
        self.max_turns = max_turns
        self.render_mode = render_mode
        self.observation_space = FreeText()
        self.action_space = FreeText()
        self.task: TaskRef | None = None
        self.turn = 0
        self._ended = True
        self._closed = False
        self._last_observation = ""
        self._origin: Mapping[str, Any] = {}
        self._actions: list[str] = []

    # -- hooks ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        """Set up the episode and return the first observation."""

    @abstractmethod
    def _advance(self, action: str) -> TurnResult:
        """Apply any string and say what happened, through :func:`advance` or :func:`finish`."""

    @abstractmethod
    def _anchor_key(self) -> Hashable:
        """Return the canonical identity of the full state; that an episode has ended is added to it, and how."""

    def _admissible_actions(self) -> list[str] | None:
        """Return every possible action, or None where they cannot be listed."""
        return None

    def _answer(self) -> str | None:
        """Return the right answer of the task, as an action, or None where it has none; the same all episode long."""
        return None

    def _metrics(self) -> dict[str, float]:
        """Return the environment's own numbers about the episode so far, by name."""
        return {}

    def _get_state(self) -> Any:
        """Return the mutable state, copied, picklable. Needed at level `exact`."""
        raise NotImplementedError

    def _set_state(self, state: Any) -> None:
        """Take over a state from `_get_state`, without keeping a reference to its mutable parts."""
        raise NotImplementedError

    def _solve(self) -> list[str] | None:
        """Return actions that solve the task from the current state; None in a dead end, where nothing does."""
        raise NotImplementedError

    # -- Gymnasium -----------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode.

        Args:
          seed: seeds this instance's generator; without a task it also picks one from the split.
          options: ``{"task": TaskRef | id}`` plays that task.

        Raises:
          TaskNotFoundError: the task does not exist.
        """
        if self._closed:
            raise OrderError("reset() after close(): make a new environment")
        super().reset(seed=seed)
        chosen = (options or {}).get("task")
        if chosen is None:
            task = self.tasks.sample(self.split, self.np_random)
        else:
            task = self.tasks.ref(chosen.id if isinstance(chosen, TaskRef) else str(chosen))
        self._begin(task)
        return self._last_observation, self._info(None)

    def _begin(self, task: TaskRef) -> None:
        self.task, self.turn, self._ended = task, 0, False
        if self.snapshot_level is SnapshotLevel.REPLAY:
            self._origin, self._actions = self.np_random.bit_generator.state, []
        self._last_observation = self._start(task, self.np_random)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Play one turn.

        Raises:
          OrderError: before ``reset``, after the end of the episode, or after ``close``.
          TypeError: the action is not a string.
        """
        if self._closed or self.task is None or self._ended:
            when = "after close()" if self._closed else "before reset()" if self.task is None else "after the end"
            raise OrderError(f"step() {when} of the episode: call reset() first")
        if not isinstance(action, str):
            raise TypeError(f"an action is a string, got {type(action).__name__}: {action!r}")
        result = self._advance(action)
        self.turn += 1
        if self.snapshot_level is SnapshotLevel.REPLAY:
            self._actions.append(action)
        is_late = self.max_turns is not None and self.turn >= self.max_turns
        truncated = not result.terminated and (result.truncated or is_late)
        self._ended = result.terminated or truncated
        self._last_observation = result.observation
        return result.observation, result.reward, result.terminated, truncated, self._info(result, truncated)

    def close(self) -> None:
        """Release what the environment holds; stepping afterwards raises."""
        self._closed = True

    def render(self) -> str | None:
        """Return the last observation (mode ``ansi``)."""
        return self._last_observation if self.render_mode == "ansi" else None

    def _info(self, result: TurnResult | None, truncated: bool = False) -> dict[str, Any]:
        assert self.task is not None
        success = result is not None and result.success
        score = result.score if result is not None and result.score is not None else float(success)
        key = self._anchor_key()
        if result is not None and result.terminated:
            key = "ended", success, key
        info: dict[str, Any] = {
            "task_id": self.task.id,
            "anchor_key": key,
            "admissible_actions": self._admissible_actions(),
            "score": score,
            "success": success,
        }
        answer = self._answer()
        if answer is not None:
            info["answer"] = answer
        if result is not None:
            info["action_valid"] = result.action_valid
            if metrics := self._metrics():
                info["metrics"] = metrics
            if truncated:
                info["outcome"] = Outcome.TRUNCATED
                own = result.truncated
                info["outcome_reason"] = "the world's own limit" if own else f"turn limit of {self.max_turns} reached"
            elif result.terminated:
                info["outcome"] = Outcome.SUCCESS if success else Outcome.FAILURE
                info["outcome_reason"] = "task solved" if success else "task failed"
        return info

    # -- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the current point of the episode.

        Raises:
          SnapshotError: no episode has begun, or the environment's level is `none`.
        """
        if self.task is None:
            raise SnapshotError("snapshot() before reset(): there is no state yet")
        if self.snapshot_level is SnapshotLevel.NONE:
            raise SnapshotError(f"{type(self).__name__} declares snapshot level 'none': it cannot be branched")
        if self.snapshot_level is SnapshotLevel.REPLAY:
            state: Any = (self._origin, tuple(self._actions))
        else:
            rng = self.np_random.bit_generator.state
            state = (self._get_state(), rng, self._last_observation)
        return Snapshot(type(self).__qualname__, self.task.id, self.snapshot_level, self.turn, self._ended, state)

    def restore(self, snapshot: Snapshot) -> None:
        """Go to a point taken by :meth:`snapshot`, here or in another process.

        Raises:
          SnapshotError: the snapshot is of another environment type.
        """
        if snapshot.env_type != type(self).__qualname__:
            raise SnapshotError(f"snapshot of {snapshot.env_type} given to {type(self).__qualname__}")
        if snapshot.level is SnapshotLevel.REPLAY:
            origin, actions = snapshot.state
            self.np_random.bit_generator.state = origin
            self._begin(self.tasks.ref(snapshot.task_id))
            for action in actions:
                self.step(action)
            return
        state, rng, observation = snapshot.state
        if self.task is None or self.task.id != snapshot.task_id:
            self.task = self.tasks.ref(snapshot.task_id)
        self._set_state(state)
        self.np_random.bit_generator.state = rng
        self.turn, self._ended, self._last_observation = snapshot.turn, snapshot.ended, observation

    def fork(self) -> Self:
        """Return an independent environment at the same point, sharing only what never changes."""
        twin = copy.copy(self)
        twin._np_random = None
        twin.observation_space, twin.action_space = FreeText(), FreeText()
        twin.restore(self.snapshot())
        return twin

    # -- copies --------------------------------------------------------------------------------------------------

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember what the environment is made with: it is made so again where it is unpickled."""
        env: Self = super().__new__(cls)
        env._made_with = args, kwargs
        return env

    def __copy__(self) -> Self:
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the constructor's arguments and the point of the episode, or all of it where it has no snapshot."""
        if self.task is not None and self.snapshot_level is SnapshotLevel.NONE:
            return TextEnv.__new__, (type(self),), vars(self)
        options = {name: vars(self).get(name) for name in ("spec", "split", "max_turns", "render_mode", "_closed")}
        point = None if self.task is None else self.snapshot()
        return _made_again, (type(self), *self._made_with, options, point)

    # -- experts -------------------------------------------------------------------------------------------------

    def solution(self) -> list[str] | None:
        """Return actions that solve the task from the current state, knowing everything; [] once it has ended.

        None says that the task cannot be solved from here any more.

        Raises:
          OrderError: before ``reset``.
        """
        if self.task is None:
            raise OrderError("solution() before reset(): there is no task yet")
        return [] if self._ended else self._solve() or None

    def expert(self, rng: np.random.Generator) -> Expert:
        """Return a scripted policy for one episode, for demonstrations; by default it follows :meth:`solution`.

        It gives up where there is none.

        Override it where a demonstrator that knows only what the policy sees is more useful.
        """
        plan: list[str] = []

        def act(observation: str, info: Info) -> str | None:
            nonlocal plan
            plan = plan or self.solution() or []
            return plan.pop(0) if plan else None

        return act


def _made_again(
    kind: type[TextEnv], args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any], point: Snapshot | None
) -> TextEnv:
    """Return a pickled environment."""
    env = kind(*args, **kwargs)
    vars(env).update(options)
    if point is not None:
        env.restore(point)
    return env
