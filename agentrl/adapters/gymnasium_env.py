"""Somebody else's Gymnasium environment as a text environment, with its wrappers and its own limit."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self

import gymnasium
import numpy as np

from agentrl.env import SnapshotLevel, TextEnv, TurnResult
from agentrl.errors import ConfigError
from agentrl.tasks import DrawnTasks, TaskRef

SIZES = {"train": 10_000, "valid_unseen": 1_000}


class GymnasiumEnv(TextEnv):
    """A Gymnasium environment, made with ``gymnasium.make``: all its wrappers act.

    A task is a seed of its ``reset``. Level `replay` plays its episodes again to go back, in an engine of each fork's
    own: right for worlds that are deterministic under their seed, which `agentrl.testing` checks. Where the world says
    ``success`` (or ``won``) in its info, that is the verdict; else an end with a positive reward is a success.
    ``action_valid`` and ``admissible_actions`` (or ``admissible_commands``) in its info are passed on. It knows no
    solution: a subclass may, by `_solve`.

    Args:
      gym_id: in Gymnasium's registry; ``module:id`` imports the module first.
      env_kwargs: its arguments.
      level: "replay", or "none" where episodes cannot be played again.
      describe: makes text of its observation; needed where that is no string.
      actions: words for the actions of a `Discrete` space, in its order; otherwise the string itself is its action.
      key: "history" tells states apart by the actions that led there, which is always right; "observation" takes equal
        texts for equal states.
      sizes: how many tasks each split has.
      max_turns: a limit beside the world's own.

    Raises:
      ConfigError: no such environment, or ``actions`` are not as many as its space has.
    """

    def __init__(
        self,
        gym_id: str,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        level: Literal["replay", "none"] = "replay",
        describe: Callable[[Any], str] | None = None,
        actions: Sequence[str] | None = None,
        key: Literal["history", "observation"] = "history",
        sizes: Mapping[str, int] = SIZES,
        max_turns: int | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(DrawnTasks(lambda rng: int(rng.integers(2**31)), sizes), max_turns=max_turns, **rest)
        self.snapshot_level = SnapshotLevel(level)  # type: ignore[misc]
        self._make: Callable[[], gymnasium.Env[Any, Any]] = partial(gymnasium.make, gym_id, **dict(env_kwargs or {}))
        self._describe, self._words, self._key = describe, actions, key
        self._world: gymnasium.Env[Any, Any] | None = None
        try:
            self._world = self._make()
        except gymnasium.error.Error as error:
            raise ConfigError(f"Gymnasium cannot make {gym_id!r}: {error}") from error
        number = getattr(self._world.action_space, "n", None)
        if actions is not None and number != len(actions):
            raise ConfigError(f"{gym_id} has {number} actions, and {len(actions)} words were given for them")

    def __copy__(self) -> Self:
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self), _world=None)  # a fork makes a world of its own
        return twin

    @property
    def world(self) -> "gymnasium.Env[Any, Any]":
        """The environment that is played, wrappers outermost."""
        if self._world is None:
            self._world = self._make()
        return self._world

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        observation, self._told = self.world.reset(seed=self.tasks.load(task.id))
        self._history: tuple[str, ...] = ()
        return self._see(observation)

    def _see(self, observation: Any) -> str:
        self._seen = observation if self._describe is None else self._describe(observation)
        if not isinstance(self._seen, str):
            kind = type(self._seen).__name__
            raise ConfigError(f"the observation is a {kind}, not a string: say by describe what is seen")
        return self._seen

    def _advance(self, action: str) -> TurnResult:
        if self._words is not None and action not in self._words:
            return TurnResult(self._seen, action_valid=False)
        move = action if self._words is None else self._words.index(action)
        observation, reward, terminated, truncated, self._told = self.world.step(move)
        self._history = (*self._history, action)
        told = self._told
        success = bool(told.get("success", told.get("won", terminated and float(reward) > 0)))
        return TurnResult(
            self._see(observation),
            float(reward),
            terminated=bool(terminated),
            success=success and bool(terminated),
            action_valid=bool(told.get("action_valid", True)),
            score=told.get("score") if isinstance(told.get("score"), float) else None,
            truncated=bool(truncated) and not terminated,
        )

    def _metrics(self) -> dict[str, float]:
        return dict(self._told.get("metrics", {}))

    def _admissible_actions(self) -> list[str] | None:
        if self._words is not None:
            return list(self._words)
        listed = self._told.get("admissible_actions", self._told.get("admissible_commands"))
        return None if listed is None else list(dict.fromkeys(listed))

    def _anchor_key(self) -> Hashable:
        assert self.task is not None
        return self.task.digest, self._seen if self._key == "observation" else self._history

    def close(self) -> None:
        """Close the world."""
        super().close()
        if self._world is not None:
            self._world.close()
            self._world = None


def from_gymnasium(gym_id: str, /, **options: Any) -> GymnasiumEnv:
    """Return a Gymnasium environment as a text environment: see :class:`GymnasiumEnv` for the options.

    To train on it give it an id: ``register("mine/Lake-v0", "agentrl.adapters:GymnasiumEnv", gym_id="...")``.
    """
    return GymnasiumEnv(gym_id, **options)
