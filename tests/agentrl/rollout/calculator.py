"""A world with one tool: sums that are worked out by a calculator and answered in words."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from agentrl.env import TextEnv, TurnResult, advance, finish
from agentrl.errors import TaskNotFoundError
from agentrl.tasks import TaskRef, TaskSet, content_digest


class SumTasks(TaskSet[int]):
    """Task ``sum-n``: the sum of ``n`` numbers."""

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        return {"train": [f"sum-{n}" for n in range(2, 5)]}

    def load(self, task_id: str) -> int:
        return int(task_id.split("-")[1])

    def ref(self, task_id: str) -> TaskRef:
        if task_id not in self.splits["train"]:
            raise TaskNotFoundError(f"no task {task_id!r}")
        return TaskRef(task_id, "train", content_digest(task_id))


class Calculator(TextEnv):
    """``<calc>a+b</calc>`` is answered with the sum; the first action without a call is the answer."""

    def __init__(self, *, max_turns: int | None = 8) -> None:
        super().__init__(SumTasks(), max_turns=max_turns)
        self._terms: tuple[int, ...] = ()

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._terms = tuple(int(term) for term in rng.integers(100, size=self.tasks.load(task.id)))
        return f"What is {' + '.join(map(str, self._terms))}?"

    def _advance(self, action: str) -> TurnResult:
        call = re.fullmatch(r"<calc>\s*(\d{1,6})\s*\+\s*(\d{1,6})\s*</calc>", action)
        if call:
            return advance(str(int(call[1]) + int(call[2])))
        if "<calc>" in action:
            return advance("The calculator adds two numbers.", action_valid=False)
        success = action.split()[-1:] == [str(sum(self._terms))]
        return finish("Right." if success else "Wrong.", reward=float(success), success=success)

    def _anchor_key(self) -> tuple[int, ...]:
        return self._terms

    def _get_state(self) -> tuple[int, ...]:
        return self._terms

    def _set_state(self, state: tuple[int, ...]) -> None:
        self._terms = state

    def _solve(self) -> list[str]:
        total, calls = self._terms[0], []
        for term in self._terms[1:]:
            calls.append(f"<calc>{total}+{term}</calc>")
            total += term
        return [*calls, f"It is {total}"]
