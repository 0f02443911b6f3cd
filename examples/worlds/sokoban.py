"""Sokoban: push every box onto a goal. A world with dead ends, a generator and a solver.

pytest --agentrl-env sokoban:worlds/Sokoban-v0      (in this folder)
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from agentrl import TaskRef, TextEnv, TurnResult, advance, finish, register
from agentrl.planning import shortest_plan
from agentrl.tasks import DrawnTasks

SIZES = {"train": 1000, "valid_unseen": 200}
STEPS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
Cell = tuple[int, int]
State = tuple[Cell, tuple[Cell, ...]]  # the player; the boxes, sorted


class Level(NamedTuple):
    """What never changes: the free cells, the goals, sorted, and how it begins."""

    floor: tuple[Cell, ...]
    goals: tuple[Cell, ...]
    start: State

    def moves(self, state: State) -> Mapping[str, State]:
        """Return every step that is possible, and the state it leads to."""
        (row, column), boxes = state
        after = {}
        for name, (down, right) in STEPS.items():
            there, beyond = (row + down, column + right), (row + 2 * down, column + 2 * right)
            if there in boxes and beyond in self.floor and beyond not in boxes:
                after[name] = there, tuple(sorted({*boxes, beyond} - {there}))
            elif there in self.floor and there not in boxes:
                after[name] = there, boxes
        return after

    def solve(self, state: State) -> list[str] | None:
        """Return a shortest solution; None where a box can no longer be brought home."""
        return shortest_plan(state, self.moves, lambda state: state[1] == self.goals)

    def draw(self, state: State) -> str:
        """Return the level as it is seen: @ the player, $ a box, * one at home, . a goal, # a wall."""
        (player, boxes), rows = state, []
        for row in range(-1, max(cell[0] for cell in self.floor) + 2):
            cells = [(row, column) for column in range(-1, max(cell[1] for cell in self.floor) + 2)]
            rows.append("".join(self._sign(cell, player, boxes) for cell in cells))
        return "\n".join(rows)

    def _sign(self, cell: Cell, player: Cell, boxes: tuple[Cell, ...]) -> str:
        if cell == player:
            return "+" if cell in self.goals else "@"
        if cell in boxes:
            return "*" if cell in self.goals else "$"
        return "." if cell in self.goals else " " if cell in self.floor else "#"


def draw_level(rng: np.random.Generator, size: int, boxes: int) -> Level | None:
    """Draw a square with a pillar; None if it takes fewer than four steps, or cannot be solved."""
    cells = [(row, column) for row in range(size) for column in range(size)]
    chosen = [cells[index] for index in rng.permutation(len(cells))[: 2 * boxes + 2]]
    pillar, player, *things = chosen
    floor = tuple(cell for cell in cells if cell != pillar)
    level = Level(floor, tuple(sorted(things[:boxes])), (player, tuple(sorted(things[boxes:]))))
    return level if 4 <= len(level.solve(level.start) or ()) <= 12 else None


class SokobanEnv(TextEnv):
    """Push every box onto a goal; none can be pulled. Score: the share of boxes at home."""

    def __init__(self, *, size: int = 4, boxes: int = 1, max_turns: int | None = 20, **rest: Any) -> None:
        super().__init__(DrawnTasks(lambda rng: draw_level(rng, size, boxes), SIZES), max_turns=max_turns, **rest)

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._level: Level = self.tasks.load(task.id)
        self._state = self._level.start
        return self._level.draw(self._state)

    def _advance(self, action: str) -> TurnResult:
        after = self._level.moves(self._state).get(action)
        if after is None:
            return advance("You cannot go there.\n" + self._level.draw(self._state), action_valid=False)
        self._state = after
        home = sum(box in self._level.goals for box in after[1]) / len(after[1])
        if home == 1:
            return finish("Every box is at home.", reward=1.0, success=True)
        return advance(self._level.draw(after), score=home)

    def _metrics(self) -> dict[str, float]:
        return {"dead_end": float(self._level.solve(self._state) is None)}

    def _admissible_actions(self) -> list[str]:
        return list(self._level.moves(self._state))

    def _anchor_key(self) -> State:
        return self._state

    def _get_state(self) -> tuple[Level, State]:
        return self._level, self._state

    def _set_state(self, state: tuple[Level, State]) -> None:
        self._level, self._state = state

    def _solve(self) -> list[str] | None:
        return self._level.solve(self._state)


register("worlds/Sokoban-v0", "sokoban:SokobanEnv")
