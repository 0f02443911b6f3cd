"""GRPO and its near relatives: every turn of an episode gets the episode's standing in its group."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from agentrl import credit
from agentrl.algorithms.base import LossSettings, Recipe
from agentrl.credit.table import TurnTable

TEST = "tests/agentrl/credit/test_group_relative.py"


class GroupRelative(Recipe):
    """Base of GRPO and of those that differ from it in the loss or the sampler; ``scale="none"`` is Dr. GRPO's."""

    scale: Literal["std", "none"] = "std"
    baseline: Literal["mean", "leave_one_out"] = "mean"
    weight: Literal["trajectory", "turn"] = "trajectory"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the episode advantage of each turn."""
        return credit.group_relative(table, scale=self.scale, baseline=self.baseline, weight=self.weight)


class GRPO(GroupRelative):
    """Group Relative Policy Optimization. Its paper and the code that is called so weigh tokens differently.

    ``dialect="verl"``: every token of the update weighs the same, as in verl, verl-agent and most of what is compared
    under this name, and in what others here are built on. ``dialect="paper"``: every episode weighs the same, 1/G Σ_i
    1/|o_i| Σ_t (DeepSeekMath, Eq. 3). That lets long failures off lightly (arXiv:2503.20783, arXiv:2606.05597), so it
    is not the default. Both have PPO's dual clip, which is verl's.
    """

    name: ClassVar[str] = "grpo"
    title: ClassVar[str] = "episode return against its group"
    paper: ClassVar[str] = "DeepSeekMath, arXiv:2402.03300, sec. 4.1.2"
    test: ClassVar[str] = TEST

    dialect: Literal["verl", "paper"] = "verl"

    def loss_at(self, progress: float) -> LossSettings:
        """Return the loss with the aggregation of this dialect."""
        return replace(self.loss, aggregation="episode_mean") if self.dialect == "paper" else self.loss


class DrGRPO(Recipe):
    """GRPO done right: no division by the standard deviation, and none by the length in the loss."""

    name: ClassVar[str] = "dr_grpo"
    title: ClassVar[str] = "return minus the group's mean; the loss is summed over tokens"
    paper: ClassVar[str] = "Dr. GRPO, arXiv:2503.20783, sec. 3"
    test: ClassVar[str] = TEST
    loss: ClassVar[LossSettings] = LossSettings(dual_clip=None, aggregation="constant")

    weight: Literal["trajectory", "turn"] = "trajectory"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the centred return of each turn's episode."""
        return credit.dr_grpo(table, weight=self.weight)


class RLOO(Recipe):
    """REINFORCE leave-one-out; with one update per iteration its clip never acts."""

    name: ClassVar[str] = "rloo"
    title: ClassVar[str] = "return minus the mean of the other episodes of the group"
    paper: ClassVar[str] = "Back to Basics, arXiv:2402.14740"
    test: ClassVar[str] = TEST

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the leave-one-out advantage of each turn's episode."""
        return credit.rloo(table)


class OPO(Recipe):
    """On-policy RL with the baseline of least variance; the paper makes one update per iteration, without clip."""

    name: ClassVar[str] = "opo"
    title: ClassVar[str] = "return minus the length-weighted mean of the group"
    paper: ClassVar[str] = "OPO, arXiv:2505.23585"
    test: ClassVar[str] = TEST

    length: Literal["token", "turn"] = "token"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the advantage of each turn's episode."""
        return credit.opo(table, length=self.length)
