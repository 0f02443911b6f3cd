"""REINFORCE of today: returns whitened over the batch, and losses for samples of any age."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentrl import credit
from agentrl.algorithms.base import LossSettings, Recipe
from agentrl.algorithms.grpo import DrGRPO
from agentrl.credit.group_relative import Weight
from agentrl.credit.table import TurnTable

TEST = "tests/agentrl/credit/test_group_relative.py"
OFF_POLICY_TEST = "tests/agentrl/losses/test_off_policy.py"


class ReinforcePlusPlus(Recipe):
    """REINFORCE++. Differs: the divergence from the reference is a term of the loss (kl_coef), not of the reward."""

    name: ClassVar[str] = "reinforce_plus_plus"
    title: ClassVar[str] = "return-to-go, whitened over the batch"
    paper: ClassVar[str] = "REINFORCE++, arXiv:2501.03262"
    test: ClassVar[str] = TEST

    gamma: float = Field(1.0, ge=0, le=1)
    weight: Weight = "token"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the whitened return-to-go of each turn."""
        return credit.reinforce_plus_plus(table, gamma=self.gamma, weight=self.weight)


class ReinforcePlusPlusBaseline(Recipe):
    """REINFORCE++ with the group's mean as baseline. Differs as `ReinforcePlusPlus` does."""

    name: ClassVar[str] = "reinforce_plus_plus_baseline"
    title: ClassVar[str] = "return minus the group's mean, whitened over the batch"
    paper: ClassVar[str] = "REINFORCE++, arXiv:2501.03262"
    test: ClassVar[str] = TEST

    weight: Weight = "token"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the whitened, centred return of each turn's episode."""
        return credit.reinforce_plus_plus(table, group_baseline=True, weight=self.weight)


class REC(DrGRPO):
    """Group-relative REINFORCE with one-sided clipping and no importance weight."""

    name: ClassVar[str] = "rec"
    title: ClassVar[str] = "group-centred REINFORCE that drops tokens beyond the clip"
    paper: ClassVar[str] = "Group-relative REINFORCE is secretly off-policy, arXiv:2509.24203"
    test: ClassVar[str] = OFF_POLICY_TEST
    loss: ClassVar[LossSettings] = LossSettings(kind="rec")


class OPMD(DrGRPO):
    """Online policy mirror descent: no clip, the squared log ratio keeps the policy near."""

    name: ClassVar[str] = "opmd"
    title: ClassVar[str] = "group-centred REINFORCE held by the squared log ratio"
    paper: ClassVar[str] = "OPMD, in arXiv:2509.24203"
    test: ClassVar[str] = OFF_POLICY_TEST
    loss: ClassVar[LossSettings] = LossSettings(kind="opmd")


class AsymRE(DrGRPO):
    """Asymmetric REINFORCE: the baseline is lowered, so every sample is imitated a little."""

    name: ClassVar[str] = "asym_re"
    title: ClassVar[str] = "group-centred REINFORCE with the baseline lowered by 0.1"
    paper: ClassVar[str] = "AsymRE, arXiv:2506.20520"
    test: ClassVar[str] = OFF_POLICY_TEST
    loss: ClassVar[LossSettings] = LossSettings(kind="asym_re")
