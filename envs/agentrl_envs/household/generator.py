"""Endless household games: the rules and texts of ALFWorld in rooms that are drawn from a seed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, overload

import numpy as np

from agentrl.errors import ConfigError, TaskNotFoundError, nearest
from agentrl.seeding import generator
from agentrl.tasks import TaskRef, TaskSet, content_digest
from agentrl_envs.household.furnish import draw_goal, furnish
from agentrl_envs.household.game import Game, Goal, TaskType
from agentrl_envs.household.layout import Layout, bucket, draw_layout, pick
from agentrl_envs.household.tables import ROOMS, TASKS

SPLITS = ("train", "valid_seen", "valid_unseen")

_ROOMS_OF = MappingProxyType(
    {
        "look_at_obj_in_light": ("livingroom", "bedroom"),
        "pick_clean_then_place_in_recep": ("kitchen", "bathroom"),
        "pick_heat_then_place_in_recep": ("kitchen",),
        "pick_cool_then_place_in_recep": ("kitchen",),
    }
)
"""The rooms of the tasks that cannot be done everywhere."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How large the rooms are and how well the wanted objects are hidden. None: as in the official games."""

    receptacles: tuple[int, int] | None
    """Smallest and largest number of receptacles."""
    objects: tuple[int, int] | None
    """Smallest and largest number of objects."""
    closed: float | None
    """Chance that a wanted object starts inside something closed, where the room has that."""
    shared: float
    """Chance of a receptacle to share the spot of another of its type."""


DIFFICULTIES: Mapping[str, Difficulty] = MappingProxyType(
    {
        "easy": Difficulty((10, 12), (7, 14), 0.25, 0.0),
        "medium": Difficulty((12, 18), (12, 22), 0.4, 0.1),
        "hard": Difficulty((18, 26), (18, 36), 0.6, 0.1),
        "official": Difficulty(None, None, None, 0.1),
    }
)


class _Ids(Sequence[str]):
    """The ids of a split, made when asked for: ``<split>/<task>/<number>``, the tasks in turn."""

    def __init__(self, split: str, tasks: tuple[str, ...], number: int) -> None:
        self._split, self._tasks, self._number = split, tasks, number

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._number))]
        index = range(self._number)[index]
        return f"{self._split}/{self._tasks[index % len(self._tasks)]}/{index // len(self._tasks):06d}"


class GeneratedGames(TaskSet[Game]):
    """Seeded games, a pure function of these options and the id.

    The splits are disjoint by content, not by luck: one room layout in five, chosen by the hash of its content, is
    only ever used in `valid_unseen`; of the others, one pair (layout, goal) in four, chosen likewise, is only ever
    used in `valid_seen`; `train` has the rest. So no seed, option or worker count makes the splits overlap.

    Args:
      difficulty: ``"easy"``, ``"medium"``, ``"hard"`` or ``"official"``: the defaults of the next four options.
      receptacles: smallest and largest number of receptacles in a room.
      objects: smallest and largest number of objects.
      closed: chance that a wanted object starts inside something closed, where the room has that.
      shared: chance of a receptacle to share the spot of another of its type.
      rooms: kinds of rooms, of ``tables.ROOMS``.
      tasks: task types, of ``tables.TASKS``, in equal numbers.
      num_train: number of training games; a game costs nothing until it is played.
      num_valid_seen: number of games in training layouts with goals that are not trained there.
      num_valid_unseen: number of games in layouts that are not trained.
      seed: another seed gives other games of the same kind and keeps the splits apart.

    Raises:
      ConfigError: an unknown name, an empty or impossible range, or a task that none of the rooms allows.
    """

    def __init__(
        self,
        *,
        difficulty: str = "easy",
        receptacles: tuple[int, int] | None = None,
        objects: tuple[int, int] | None = None,
        closed: float | None = None,
        shared: float | None = None,
        rooms: Sequence[str] = ROOMS,
        tasks: Sequence[str] = TASKS,
        num_train: int = 1_000_000,
        num_valid_seen: int = 1_000,
        num_valid_unseen: int = 1_000,
        seed: int = 0,
    ) -> None:
        _check_names("difficulty", [difficulty], DIFFICULTIES)
        _check_names("rooms", rooms, ROOMS)
        _check_names("tasks", tasks, TASKS)
        _check_range("receptacles", receptacles, 6, 30)
        _check_range("objects", objects, 4, 80)
        preset = DIFFICULTIES[difficulty]
        self.difficulty = Difficulty(
            receptacles or preset.receptacles,
            objects or preset.objects,
            preset.closed if closed is None else _share("closed", closed),
            preset.shared if shared is None else _share("shared", shared),
        )
        self.seed = seed
        self._rooms = {task: tuple(r for r in _ROOMS_OF.get(task, ROOMS) if r in rooms) for task in tasks}
        for task, possible in self._rooms.items():
            if not possible:
                raise ConfigError(f"task {task!r} needs one of the rooms {_ROOMS_OF[task]}, got rooms={tuple(rooms)}")
        numbers = dict(zip(SPLITS, (num_train, num_valid_seen, num_valid_unseen), strict=True))
        self._splits = MappingProxyType({split: _Ids(split, tuple(tasks), n) for split, n in numbers.items()})
        self._cached = lru_cache(maxsize=2048)(self._generate)
        self._arguments: dict[str, Any] = {
            "difficulty": difficulty,
            "receptacles": receptacles,
            "objects": objects,
            "closed": closed,
            "shared": shared,
            "rooms": tuple(rooms),
            "tasks": tuple(tasks),
            "seed": seed,
            **{f"num_{split}": number for split, number in numbers.items()},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(GeneratedGames, **self._arguments), ()

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Task ids by split; the task types take turns."""
        return self._splits

    def ref(self, task_id: str) -> TaskRef:
        """Return the address of a game; making the digest makes the game.

        Raises:
          TaskNotFoundError: no split holds the id.
        """
        split, _, _ = self._parse(task_id)
        return TaskRef(task_id, split, self._cached(task_id)[1])

    def load(self, task_id: str) -> Game:
        """Return the game.

        Raises:
          TaskNotFoundError: no split holds the id.
        """
        return self._cached(task_id)[0]

    def _parse(self, task_id: str) -> tuple[str, str, int]:
        match = re.fullmatch(r"(\w+)/(\w+)/(\d{6,})", task_id)
        if match is None or match[1] not in self._splits:
            raise TaskNotFoundError(f"no game {task_id!r}; ids look like {self._example()!r}")
        split, task, number = match[1], match[2], int(match[3])
        if task not in self._rooms:
            raise TaskNotFoundError(f"no task type {task!r} here{nearest(task, self._rooms)}")
        types = list(self._rooms)
        if number * len(types) + types.index(task) >= len(self._splits[split]):
            raise TaskNotFoundError(f"{task_id!r} is beyond the {len(self._splits[split])} games of {split!r}")
        return split, task, number

    def _example(self) -> str:
        return f"train/{next(iter(self._rooms))}/000000"

    def _generate(self, task_id: str) -> tuple[Game, str]:
        split, task, number = self._parse(task_id)
        rng = generator(self.seed, "household", split, task, number)
        layout, goal = self._draw(rng, split, task)
        game = furnish(rng, task_id, layout, goal, self.difficulty.objects, self.difficulty.closed)
        return game, content_digest(_content(game))

    def _draw(self, rng: np.random.Generator, split: str, task: str) -> tuple[Layout, Goal]:
        """Draw layouts and goals until one belongs to the split."""
        room = pick(rng, self._rooms[task])
        for _ in range(10_000):
            layout = draw_layout(rng, room, self.difficulty.receptacles, self.difficulty.shared)
            if layout.is_unseen != (split == "valid_unseen"):
                continue
            goal = draw_goal(rng, layout, TaskType(task))
            if goal is None or (split != "valid_unseen" and is_held_out(layout, goal) != (split == "valid_seen")):
                continue
            return layout, goal
        raise ConfigError(f"10,000 {room}s with {self.difficulty} allow no {task!r} for {split!r}: take larger rooms")


def is_held_out(layout: Layout, goal: Goal) -> bool:
    """Return True for the pairs of a layout and a goal that `valid_seen` owns; decided by their content alone."""
    content = f"{layout.digest} {goal.task} {goal.object} {goal.receptacle}"
    return bucket(content_digest(content)) % 4 == 0


def _content(game: Game) -> str:
    """Return what makes the game, without its id."""
    places = [(r.name, r.location) for r in game.receptacles]
    return repr((places, [(o.name, o.receptacles) for o in game.objects], game.goal.sentence))


def _check_names(option: str, names: Sequence[str], known: Sequence[str] | Mapping[str, Any]) -> None:
    if isinstance(names, str) or not names:
        raise ConfigError(f"{option} must be a list of names, got {names!r}")
    for name in names:
        if name not in known:
            raise ConfigError(f"{option}: no {name!r}{nearest(name, known)}")


def _check_range(option: str, value: tuple[int, int] | None, fewest: int, most: int) -> None:
    if value is not None and not (len(value) == 2 and fewest <= value[0] <= value[1] <= most):
        raise ConfigError(f"{option} must be (smallest, largest) within {fewest} and {most}, got {value!r}")


def _share(option: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{option} is a chance between 0 and 1, got {value!r}")
    return value
