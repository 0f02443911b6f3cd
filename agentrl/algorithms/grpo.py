"""GRPO: every turn of an episode gets the episode's standing in its group."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from agentrl import credit
from agentrl.algorithms.base import LossSettings, Recipe
from agentrl.credit.table import TurnTable


class GRPO(Recipe):
    """Group Relative Policy Optimization; ``scale="none"`` is Dr. GRPO's advantage."""

    name: ClassVar[str] = "grpo"
    title: ClassVar[str] = "episode return against its group"
    paper: ClassVar[str] = "DeepSeekMath, arXiv:2402.03300, sec. 4.1.2"
    test: ClassVar[str] = "tests/agentrl/credit/test_group_relative.py"
    loss: ClassVar[LossSettings] = LossSettings()

    scale: Literal["std", "none"] = "std"
    baseline: Literal["mean", "leave_one_out"] = "mean"
    weight: Literal["trajectory", "turn"] = "trajectory"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the episode advantage of each turn."""
        return credit.group_relative(table, scale=self.scale, baseline=self.baseline, weight=self.weight)
