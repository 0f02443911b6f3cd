"""A world with an answer: the colour of a ball, to be looked up and then said."""

import numpy as np

from agentrl.env import TextEnv, TurnResult, advance, finish
from agentrl.registry import register
from agentrl.tasks import DrawnTasks, TaskRef

COLOURS = ("red", "green", "blue")


class Lookup(TextEnv):
    """``look`` tells the colour; another action is the answer."""

    def __init__(self, *, max_turns: int | None = 4) -> None:
        tasks = DrawnTasks(lambda rng: int(rng.integers(10**6)), {"train": 20, "valid_seen": 5, "valid_unseen": 5})
        super().__init__(tasks, max_turns=max_turns)
        self._colour, self._looked = 0, False

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._colour, self._looked = self.tasks.load(task.id) % 3, False
        return "What colour is the ball?"

    def _advance(self, action: str) -> TurnResult:
        if action == "look":
            self._looked = True
            return advance(f"The ball is {COLOURS[self._colour]}.")
        success = action == COLOURS[self._colour]
        return finish("Right." if success else "Wrong.", reward=float(success), success=success)

    def _admissible_actions(self) -> list[str]:
        return ["look", *COLOURS]

    def _anchor_key(self) -> tuple[int, bool]:
        return self._colour, self._looked

    def _answer(self) -> str:
        return COLOURS[self._colour]

    def _get_state(self) -> tuple[int, bool]:
        return self._colour, self._looked

    def _set_state(self, state: tuple[int, bool]) -> None:
        self._colour, self._looked = state

    def _solve(self) -> list[str]:
        return [*([] if self._looked else ["look"]), COLOURS[self._colour]]


register("tests/Lookup-v0", "tests.agentrl.trainer.lookup:Lookup")
ID = "tests.agentrl.trainer.lookup:tests/Lookup-v0"
