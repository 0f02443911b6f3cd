"""The household environment: find, clean, heat, cool and bring things, as in ALFWorld."""

from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agentrl.env import Expert, TextEnv, TurnResult, advance, finish
from agentrl.errors import ConfigError, check_choice
from agentrl.making import check_arguments
from agentrl.tasks import TaskRef, TaskSet
from agentrl_envs.household.dialect import Dialect, find_dialect
from agentrl_envs.household.game import Game
from agentrl_envs.household.games import OfficialGames
from agentrl_envs.household.world import NOTHING_HAPPENS, State, World

_CACHED_WORLDS = 256


class HouseholdEnv(TextEnv):
    """A text household with the rules, texts and rewards of ALFWorld (arXiv:2010.03768), in native Python.

    On official games it answers string by string as the real engine does (release 0.4.2), commands, texts, rewards
    and endings. The reward is 1 when the goal is reached, which ends the episode, and 0 otherwise; nothing can fail.

    Args:
      games: path of official games (see `OfficialGames`), a task set of games, or None for generated games.
      split: where ``reset`` draws a game from; by default the first split there is (`train`, if it is there).
      max_turns: episodes are truncated after this many commands; ALFWorld's own setting is 50.
      dialect: ``"current"`` (``move X to Y``) or ``"classic"`` (``put X in/on Y``), see `dialect`.
      render_mode: ``"ansi"`` or None.
      generator: options of `GeneratedGames`; only without ``games``.
      expert: what the demonstrator knows: ``"informed"``, where things are usually kept, or ``"novice"``, nothing of
        the kind: it looks everywhere in an order of its own and needs about three turns more.

    Raises:
      DataError: the games cannot be read.
      ConfigError: an unknown dialect, expert or generator option, or generator options beside ``games``.
      TaskNotFoundError: an unknown split.
    """

    def __init__(
        self,
        games: str | Path | TaskSet[Game] | None = None,
        *,
        split: str | None = None,
        max_turns: int | None = 50,
        dialect: str = "current",
        render_mode: str | None = None,
        generator: Mapping[str, Any] | None = None,
        expert: Literal["informed", "novice"] = "informed",
    ) -> None:
        check_choice("expert", expert, ("informed", "novice"))
        tasks = _task_set(games, generator)
        first = next(iter(tasks.splits))
        super().__init__(tasks, split=split or first, max_turns=max_turns, render_mode=render_mode)
        self.dialect = find_dialect(dialect)
        self._is_informed = expert == "informed"
        self._world: World
        self._state: State

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._world = _world(self.tasks, task.id, self.dialect)
        self._state = self._world.initial()
        return self._world.introduction(self._state)

    def _advance(self, action: str) -> TurnResult:
        result = self._world.apply(self._state, action)
        if result is None:
            text, valid = NOTHING_HAPPENS, False
        else:
            (self._state, text), valid = result, True
        if self._world.won(self._state):
            return finish(text, reward=1.0, success=True, action_valid=valid, score=1.0)
        return advance(text, action_valid=valid)

    def _anchor_key(self) -> Hashable:
        return self._world.game.id, *self._state

    def _admissible_actions(self) -> list[str]:
        return list(self._world.commands(self._state))

    def _get_state(self) -> State:
        return self._state

    def _set_state(self, state: State) -> None:
        assert self.task is not None
        self._world = _world(self.tasks, self.task.id, self.dialect)
        self._state = state

    def _solve(self) -> list[str]:
        from agentrl_envs.household.solver import solve

        return solve(self._world, self._state)

    def expert(self, rng: np.random.Generator) -> Expert:
        """Return the honest demonstrator: it searches, and knows only what it has been shown."""
        from agentrl_envs.household.expert import SearchExpert

        return SearchExpert(rng, is_informed=self._is_informed)


def _task_set(games: str | Path | TaskSet[Game] | None, generator: Mapping[str, Any] | None) -> TaskSet[Game]:
    if games is not None:
        if generator:
            raise ConfigError(f"generator options {sorted(generator)} say nothing about given games: leave one out")
        return games if isinstance(games, TaskSet) else _official_games(str(games))
    from agentrl_envs.household.generator import GeneratedGames

    check_arguments("generator", GeneratedGames, generator or {})
    given = (generator or {}).items()
    options = {name: value if isinstance(value, Hashable) else tuple(value) for name, value in given}
    return _generated_games(**options)


# Environments of a process share what never changes: the members of a group would make the same game once each.


@lru_cache(maxsize=8)
def _generated_games(**options: Any) -> TaskSet[Game]:
    """Return one task set per options and process."""
    from agentrl_envs.household.generator import GeneratedGames

    return GeneratedGames(**options)


@lru_cache(maxsize=8)
def _official_games(path: str) -> OfficialGames:
    """Return one task set per path and process."""
    return OfficialGames(path)


@lru_cache(maxsize=_CACHED_WORLDS)
def _world(tasks: TaskSet[Game], task_id: str, dialect: Dialect) -> World:
    """Return the rules of a game, which hold no state of an episode."""
    return World(tasks.load(task_id), dialect)
