"""SPO: each episode against what is known of its task, no group needed."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from agentrl import credit
from agentrl.algorithms.base import LossSettings, Recipe
from agentrl.credit.group_relative import Weight
from agentrl.credit.table import TurnTable


class SPO(Recipe):
    """Single-stream Policy Optimization; choose ``rollout.group_size=1``, and tasks that come again.

    Differs from the paper: what is remembered of a task fades by the same factor ``forget`` at every visit (an option
    of its code), since the policy's divergence on the task since the last visit is not measured.
    """

    name: ClassVar[str] = "spo"
    title: ClassVar[str] = "return against the tracked success rate of its task"
    paper: ClassVar[str] = "SPO, arXiv:2509.13232; token weights: SPO++, arXiv:2608.24870"
    test: ClassVar[str] = "tests/agentrl/credit/test_spo.py"
    loss: ClassVar[LossSettings] = LossSettings(clip_low=0.2, clip_high=0.28, dual_clip=10.0)

    forget: float = Field(0.875, gt=0, lt=1)
    max_return: float = Field(1.0, gt=0, description="returns are divided by it: the tracker takes 0 to 1")
    weight: Weight = "trajectory"
    _tracker: credit.SuccessTracker = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Begin knowing nothing of any task."""
        self._tracker = credit.SuccessTracker(forget_min=self.forget, forget_max=self.forget)

    def group_by(self) -> Literal["group", "task"]:
        """Return that groups are tasks, whose names last."""
        return "task"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the advantage of each turn's episode; the tracker is read only."""
        return credit.spo(self._in_unit(table), tracker=self._tracker, weight=self.weight)

    def observe(self, table: TurnTable) -> None:
        """Take in the returns."""
        self._tracker.update_from(self._in_unit(table))

    def state_dict(self) -> dict[str, Any]:
        """Return the beliefs about tasks."""
        return self._tracker.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the beliefs about tasks."""
        self._tracker.load_state_dict(state)

    def _in_unit(self, table: TurnTable) -> TurnTable:
        return table.with_reward(table.reward_N / self.max_return)
