"""A world with one tool: sums that are worked out by a calculator and answered in words."""

import re

import numpy as np

from agentrl.env import TextEnv, TurnResult, advance, finish
from agentrl.tasks import TaskRef
from tests.agentrl.rollout.toys import NumberedTasks


class Calculator(TextEnv):
    """Task ``sum-n`` adds ``n`` numbers.

    ``<calc>a+b</calc>`` is answered with the sum; the first action without a call is the answer.
    """

    def __init__(self, *, max_turns: int | None = 8) -> None:
        super().__init__(NumberedTasks("sum", range(2, 5)), max_turns=max_turns)
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
