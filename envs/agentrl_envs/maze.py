"""A text maze with keys and locked doors: a whole environment in one file, and the example of how to add one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from agentrl import TaskRef, TextEnv, TurnResult, advance, finish
from agentrl.planning import shortest_plan
from agentrl.tasks import DrawnTasks

SIZES = {"train": 1000, "valid_unseen": 200}
LYING, HELD, USED = range(3)
State = tuple[int, tuple[int, ...]]  # the player's room; for each door whether its key is lying, held or used


class Maze(NamedTuple):
    """What never changes: by room and direction the next room and the door to it, and where things are."""

    ways: list[dict[str, tuple[int, int | None]]]
    doors: Sequence[str]
    keys: list[int]
    start: int
    exit: int

    def moves(self, state: State) -> dict[str, State]:
        """Return everything that can be done, and the state it leads to."""
        room, keys = state
        turned = [(room, (*keys[:i], keys[i] + 1, *keys[i + 1 :])) for i in range(len(keys))]
        here = [i for i, key in enumerate(keys) if key == LYING and self.keys[i] == room]
        after = {f"take {self.doors[i]} key": turned[i] for i in here}
        for way, (there, door) in self.ways[room].items():
            if door is None or keys[door] == USED:
                after[f"go {way}"] = (there, keys)
            elif keys[door] == HELD:
                after[f"unlock {self.doors[door]} door"] = turned[door]
        return after

    def solve(self, state: State) -> list[str] | None:
        """Return a shortest list of actions to the exit, or None if there is none."""
        return shortest_plan(state, self.moves, lambda state: state[0] == self.exit)


def draw(rng: np.random.Generator, size: int, doors: Sequence[str]) -> Maze | None:
    """Draw a square of rooms, each linked to the north or the west; None if the way out does not need every key."""
    locked = rng.permutation(range(1, size**2))[: len(doors)].tolist()
    ways: list[dict[str, tuple[int, int | None]]] = [{} for _ in range(size**2)]
    for room in range(1, size**2):
        north = room >= size and (room % size == 0 or rng.random() < 0.5)
        there, door = room - (size if north else 1), locked.index(room) if room in locked else None
        ways[room]["north" if north else "west"] = there, door
        ways[there]["south" if north else "east"] = room, door
    start, end, *keys = rng.integers(size**2, size=2 + len(doors)).tolist()
    maze = Maze(ways, doors, keys, start, end)
    way_out = maze.solve((start, (LYING,) * len(doors))) or []
    return maze if way_out and sum("unlock" in action for action in way_out) == len(doors) else None


class MazeEnv(TextEnv):
    """Find the exit, seeing one room at a time; locked doors need keys from other rooms. Reward 1 at the exit."""

    def __init__(self, *, size: int = 3, doors: Sequence[str] = ("red",), max_turns: int | None = 30, **rest: Any):
        super().__init__(DrawnTasks(lambda rng: draw(rng, size, tuple(doors)), SIZES), max_turns=max_turns, **rest)

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._maze: Maze = self.tasks.load(task.id)
        self._state: State = (self._maze.start, (LYING,) * len(self._maze.keys))
        return self._look()

    def _look(self) -> str:
        maze, (room, keys) = self._maze, self._state
        shut = {way: maze.doors[d] for way, (_, d) in maze.ways[room].items() if d is not None and keys[d] != USED}
        ways = ", ".join(f"{way} ({shut[way]} door)" if way in shut else way for way in maze.ways[room])
        lying = [f" A {action[5:]} lies here." for action in maze.moves(self._state) if action.startswith("take")]
        held = [f" You hold a {door} key." for door, key in zip(maze.doors, keys, strict=True) if key == HELD]
        return f"You are in room {room}. Ways: {ways}.{''.join(lying + held)}"

    def _advance(self, action: str) -> TurnResult:
        after = self._maze.moves(self._state)
        self._state = after.get(action, self._state)
        if self._state[0] == self._maze.exit:
            return finish("You step out into the open.", reward=1.0, success=True)
        refusal = "" if action in after else "You cannot do that. "
        return advance(refusal + self._look(), action_valid=not refusal)

    def _admissible_actions(self) -> list[str]:
        return list(self._maze.moves(self._state))

    def _anchor_key(self) -> State:
        return self._state

    def _get_state(self) -> tuple[Maze, State]:
        return self._maze, self._state

    def _set_state(self, state: tuple[Maze, State]) -> None:
        self._maze, self._state = state

    def _solve(self) -> list[str]:
        return self._maze.solve(self._state) or []
