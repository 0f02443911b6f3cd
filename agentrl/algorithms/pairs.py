"""Losses over whole groups: episodes are compared in the loss, so their credit is their return."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentrl.algorithms.base import LossSettings, Recipe
from agentrl.credit.returns import episode_returns
from agentrl.credit.segments import FloatN
from agentrl.credit.table import TurnTable, scored_rows

TEST = "tests/agentrl/losses/test_grouped.py"


@scored_rows
def returns_of_episodes(table: TurnTable) -> FloatN:
    """Return the return of each turn's episode, shape (N,), NaN where there is no verdict."""
    return episode_returns(table)[table.trajectory_N]


class GroupRecipe(Recipe):
    """Base of the three: the advantage is the return, and the loss knows the groups. Not divided by group size."""

    def compares_returns(self) -> bool:
        """Return that they are."""
        return True

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the return of each turn's episode: the loss compares it."""
        return returns_of_episodes(table)

    def loss_at(self, progress: float) -> LossSettings:
        """Return the loss with these options."""
        return replace(self.loss, group_options=self.model_dump())


class DRPO(GroupRecipe):
    """Decoupled reward policy optimization. A success is an episode that returns more than ``threshold``."""

    name: ClassVar[str] = "drpo"
    title: ClassVar[str] = "successes up, the short ones most, against the likely failures of the group"
    paper: ClassVar[str] = "DRPO (decoupled reward), arXiv:2510.04474"
    test: ClassVar[str] = TEST
    loss: ClassVar[LossSettings] = LossSettings(kind="likelihood", group_loss="drpo")

    threshold: float = 0.0
    length_scale: float = Field(0.1, gt=0)
    temperature: float = Field(10.0, gt=0)
    delta: float = Field(1e-4, ge=0)
    beta: float = Field(1e3, ge=0)


class TRPA(GroupRecipe):
    """Trust region preference approximation; levels are the distinct returns of the group."""

    name: ClassVar[str] = "trpa"
    title: ClassVar[str] = "preferences between episodes of higher and lower return"
    paper: ClassVar[str] = "TRPA, arXiv:2504.04524"
    test: ClassVar[str] = TEST
    loss: ClassVar[LossSettings] = LossSettings(kind="likelihood", options={"old_kl": 0.001}, group_loss="trpa")

    threshold: float = 0.0
    beta: float = Field(0.1, gt=0)
    top: float = Field(2.5, gt=0)


class P3O(GroupRecipe):
    """Pairwise proximal policy optimization; ``joint`` is our reading of its V2, without it of its V1."""

    name: ClassVar[str] = "p3o"
    title: ClassVar[str] = "policy gradient of pairs, clipped by the ratio of episodes"
    paper: ClassVar[str] = "P3O (pairwise PPO), arXiv:2310.00212"
    test: ClassVar[str] = TEST
    loss: ClassVar[LossSettings] = LossSettings(kind="likelihood", group_loss="p3o")

    clip: float = Field(0.2, gt=0, lt=1)
    joint: bool = False
