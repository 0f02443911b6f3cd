"""A small world, without what is needed for tokens: it is quickly loaded by another process."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from agentrl.env import TextEnv, TurnResult, advance, finish
from agentrl.errors import TaskNotFoundError
from agentrl.tasks import TaskRef, TaskSet, content_digest


class NumberedTasks(TaskSet[int]):
    """Task ``name-n`` for each number ``n`` of a range, all for training."""

    def __init__(self, name: str, numbers: range) -> None:
        self._ids = [f"{name}-{n}" for n in numbers]

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        return {"train": self._ids}

    def load(self, task_id: str) -> int:
        return int(task_id.split("-")[1])

    def ref(self, task_id: str) -> TaskRef:
        if task_id not in self._ids:
            raise TaskNotFoundError(f"no task {task_id!r}")
        return TaskRef(task_id, "train", content_digest(task_id))


class Corridor(TextEnv):
    """Positions on a line; in task ``corridor-n`` the bell is ``n`` steps right of a random start.

    ``fault`` is called before each turn with the turn and may raise.
    """

    def __init__(self, *, max_turns: int | None = 20, fault: Callable[[int], None] = lambda turn: None) -> None:
        super().__init__(NumberedTasks("corridor", range(2, 6)), max_turns=max_turns)
        self._fault = fault
        self._at = self._bell = 0

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._at = int(rng.integers(100))
        self._bell = self._at + self.tasks.load(task.id)
        return f"You are at {self._at}. Ring the bell at {self._bell}."

    def _advance(self, action: str) -> TurnResult:
        self._fault(self.turn)
        if action == "ring" and self._at == self._bell:
            return finish("It rings.", reward=1.0, success=True)
        if action not in ("left", "right"):
            return advance("Nothing happens.", reward=-0.1, action_valid=False)
        self._at += 1 if action == "right" else -1
        return advance(f"You are at {self._at}.")

    def _anchor_key(self) -> tuple[int, int]:
        return (self._at, self._bell)

    def _admissible_actions(self) -> list[str]:
        return ["left", "right", *(["ring"] if self._at == self._bell else [])]

    def _get_state(self) -> tuple[int, int]:
        return (self._at, self._bell)

    def _set_state(self, state: tuple[int, int]) -> None:
        self._at, self._bell = state

    def _solve(self) -> list[str]:
        steps = self._bell - self._at
        return ["right" if steps > 0 else "left"] * abs(steps) + ["ring"]
