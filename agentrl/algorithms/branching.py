"""Algorithms of samplers that fork episodes, which they bring. All but AEPO's update are refused without one."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from agentrl import credit
from agentrl.algorithms.base import LossSettings, Need, Recipe
from agentrl.algorithms.grpo import GroupRelative
from agentrl.algorithms.transform import Transform
from agentrl.credit.group_relative import Weight
from agentrl.credit.table import TurnTable

BRANCHES: frozenset[Need] = frozenset({"branches"})
TREE_TEST = "tests/agentrl/credit/branches/test_branch.py"


class TreeGRPO(Recipe):
    """Tree-GRPO."""

    name: ClassVar[str] = "tree_grpo"
    title: ClassVar[str] = "episode return against its tree and against its group"
    paper: ClassVar[str] = "Tree-GRPO, arXiv:2509.21240"
    test: ClassVar[str] = TREE_TEST
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.001)
    needs: ClassVar[frozenset[Need]] = BRANCHES
    sampler: ClassVar[str] = "tree_grpo"

    scale: Literal["std", "none"] = "std"
    dialect: Literal["paper", "authors"] = "paper"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the advantage of each turn's episode."""
        return credit.tree_grpo(table, scale=self.scale, dialect=self.dialect)


class TreePO(Recipe):
    """TreePO, with its code's whitening over tokens and up to ten rollouts to replace groups of equal returns."""

    name: ClassVar[str] = "treepo"
    title: ClassVar[str] = "episode return against every subtree that it is a leaf of"
    paper: ClassVar[str] = "TreePO, arXiv:2508.17445"
    test: ClassVar[str] = TREE_TEST
    loss: ClassVar[LossSettings] = LossSettings(clip_low=0.2, clip_high=0.28, dual_clip=10.0)
    needs: ClassVar[frozenset[Need]] = BRANCHES
    sampler: ClassVar[str] = "treepo"
    filter: ClassVar[Literal["none", "dynamic_sampling", "top_variance"]] = "dynamic_sampling"
    max_refills: ClassVar[int] = 9

    variant: Literal["average", "size_weighted", "segment"] = "average"
    levels: Literal["turn", "branch"] = "turn"
    whiten: Weight | None = "token"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the advantage of each turn."""
        return credit.treepo(table, variant=self.variant, levels=self.levels, whiten=self.whiten)


class ARPO(Transform):
    """Agentic Reinforced Policy Optimization: what turns shared by forked episodes earn."""

    name: ClassVar[str] = "arpo"
    title: ClassVar[str] = "another's advantages (base), shared turns attributed soft or hard"
    paper: ClassVar[str] = "ARPO, arXiv:2507.19849"
    test: ClassVar[str] = TREE_TEST
    needs: ClassVar[frozenset[Need]] = BRANCHES
    sampler: ClassVar[str] = "arpo"

    mode: Literal["hard", "soft"] = "soft"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the attributed advantage of each turn."""
        return credit.branch_attribution(table, self.mode, base=self._inner.advantages)


class AEPO(GroupRelative):
    """The update of Agentic Entropy-Balanced Policy Optimization; its rollout needs a sampler that forks."""

    name: ClassVar[str] = "aepo"
    title: ClassVar[str] = "GRPO with entropy-aware advantages and a bounded gradient above the clip"
    paper: ClassVar[str] = "AEPO, arXiv:2510.14545"
    test: ClassVar[str] = "tests/agentrl/losses/test_entropy_balanced.py"
    loss: ClassVar[LossSettings] = LossSettings(keep_high_gradient=True, entropy_advantage=0.2)
    needs: ClassVar[frozenset[Need]] = frozenset({"entropy"})
    sampler: ClassVar[str] = "aepo"


class LATR(GroupRelative):
    """GRPO as Lookahead Tree-Based Rollouts uses it: what is its own is the sampler, which forks inside turns."""

    name: ClassVar[str] = "latr"
    title: ClassVar[str] = "GRPO on groups that fork at tokens with a near runner-up"
    paper: ClassVar[str] = "LATR, arXiv:2510.24302"
    test: ClassVar[str] = "tests/agentrl/rollout/branching/test_latr.py"
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.01)
    sampler: ClassVar[str] = "latr"
