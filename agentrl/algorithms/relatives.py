"""Group-relative methods that differ in one thing: who is compared, how far to go, or which tokens weigh what."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentrl import credit
from agentrl.algorithms.base import LossSettings, Need, Recipe
from agentrl.algorithms.grpo import DrGRPO, GroupRelative
from agentrl.credit.table import TurnTable


class Thinkless(DrGRPO):
    """Decoupled GRPO: how a turn begins is a decision, averaged apart from what follows.

    The paper's decision is the first token, "think" or "short"; the first token of each turn here. Its rewards (1 for
    a short success, 0.5 for a long one, -1 for a failure) are the environment's.
    """

    name: ClassVar[str] = "thinkless"
    title: ClassVar[str] = "return minus the group's mean; first tokens of turns are averaged apart"
    paper: ClassVar[str] = "Thinkless (DeGRPO), arXiv:2505.13379"
    test: ClassVar[str] = "tests/agentrl/update/test_token_roles.py"
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.001, dual_clip=None)

    decision_weight: float = Field(1e-3, gt=0)

    def loss_at(self, progress: float) -> LossSettings:
        """Return the loss with this weight of decisions."""
        return replace(self.loss, decision_coef=self.decision_weight)


class MDPO(GroupRelative):
    """Mirror descent: no clip, but the divergence from the iteration's first policy over a step size that falls.

    It matters from an iteration's second update on: the paper makes 10 (``update.minibatches`` times
    ``update.epochs``).
    """

    name: ClassVar[str] = "mdpo"
    title: ClassVar[str] = "GRPO without a clip, held by the divergence from the iteration's first policy"
    paper: ClassVar[str] = "MDPO, arXiv:2005.09814"
    test: ClassVar[str] = "tests/agentrl/losses/test_mirror_descent.py"
    loss: ClassVar[LossSettings] = LossSettings(kind="mdpo")

    step_size: float = Field(1.0, gt=0)
    anneal: bool = True
    dialect: Literal["paper", "authors"] = "paper"

    def loss_at(self, progress: float) -> LossSettings:
        """Return the loss with t, step_size (1 - progress) where it is annealed."""
        step_size = self.step_size * (1.0 - progress if self.anneal else 1.0)
        return replace(self.loss, options={"step_size": step_size, "dialect": self.dialect})


class HAPO(Recipe):
    """Heterogeneous adaptive policy optimization, without its adaptive temperature.

    That one would draw every token at a temperature of its own: samples and log-probs know one for all. Groups of
    equal returns are replaced, in up to 16 rollouts as in its scripts.
    """

    name: ClassVar[str] = "hapo"
    title: ClassVar[str] = "token-weighted GRPO; advantages and clip follow each token's uncertainty"
    paper: ClassVar[str] = "HAPO (heterogeneous adaptive policy optimization), arXiv:2509.16591"
    test: ClassVar[str] = "tests/agentrl/losses/test_heterogeneous.py"
    loss: ClassVar[LossSettings] = LossSettings(kind="hapo", dual_clip=10.0)
    needs: ClassVar[frozenset[Need]] = frozenset({"entropy"})
    filter: ClassVar[Literal["none", "dynamic_sampling", "top_variance"]] = "dynamic_sampling"
    max_refills: ClassVar[int] = 15

    pivot: float = Field(0.8, ge=0, le=1)
    redistribution: float = Field(1.0, ge=0, le=1)
    widening: float = Field(1.0, ge=0)
    outlier: float = Field(5.0, gt=0)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the token-weighted advantage of each turn's episode."""
        return credit.hapo(table, outlier=self.outlier)

    def loss_at(self, progress: float) -> LossSettings:
        """Return the loss with these options."""
        options = {"redistribution": self.redistribution, "widening": self.widening}
        return replace(self.loss, options=options, uncertainty_pivot=self.pivot)


class BRPO(Recipe):
    """Bootstrapped relative policy optimization, judged by returns; ``tie`` is the vote for equal ones."""

    name: ClassVar[str] = "brpo"
    title: ClassVar[str] = "better than a random member of the group, or not"
    paper: ClassVar[str] = "Writing-Zero (BRPO), arXiv:2506.00103"
    test: ClassVar[str] = "tests/agentrl/credit/test_brpo.py"

    tie: float = Field(-1.0, ge=-1, le=1)
    max_skew: float = Field(0.6, ge=0, le=1)
    seed: int = 0

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the vote on each turn's episode."""
        return credit.brpo(table, seed=self.seed, tie=self.tie, max_skew=self.max_skew)
