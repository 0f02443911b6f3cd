"""Algorithms for worlds that reward steps: SRGPO compares them at random, MT-GRPO turn by turn."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentrl import credit
from agentrl.algorithms.base import INVALID_PENALTY, LossSettings, Recipe
from agentrl.credit.table import TurnTable


def apart(table: TurnTable) -> tuple[TurnTable, NDArray[np.float64]]:
    """Return the table with the outcomes alone for rewards, and the reward of each step.

    Steps have a column of their own where someone rewards them. A world that rewards all in one column gives the
    outcome with the last turn: what it gives before is of steps.
    """
    if table.step_reward_N is not None:
        return table, table.step_reward_N
    is_last_N = table.left_N == 0
    outcome = table.with_reward(np.where(is_last_N, table.reward_N, 0.0))
    return outcome, np.where(is_last_N, 0.0, table.reward_N)


class SRGPO(Recipe):
    """Step Reward Group Policy Optimization: outcome and step rewards apart, as in its code (see `apart`)."""

    name: ClassVar[str] = "srgpo"
    title: ClassVar[str] = "episode return, plus the turn's reward against random other turns"
    paper: ClassVar[str] = "SRGPO (SeeNav-Agent), arXiv:2512.02631"
    test: ClassVar[str] = "tests/agentrl/credit/test_srgpo.py"
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.01)

    group_size: int | None = Field(16, gt=0)
    step_weight: float = Field(0.5, ge=0)
    within: Literal["batch", "group"] = "batch"
    invalid_penalty: float = Field(INVALID_PENALTY, ge=0)
    seed: int = 0

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the joint advantage of each turn."""
        outcome, step_N = apart(table)
        return credit.srgpo(outcome, step_reward=step_N, **self.model_dump())


class MTGRPO(Recipe):
    """Multi-turn GRPO: outcome and turn rewards apart (see `apart`).

    An invalid action costs ``invalid_penalty`` of its turn's reward, which the paper does not have. Where only the end
    is rewarded and nothing is priced, this is GRPO.
    """

    name: ClassVar[str] = "mt_grpo"
    title: ClassVar[str] = "outcome against the group, plus turn rewards against the same turn of the group"
    paper: ClassVar[str] = "MT-GRPO, arXiv:2505.11821; more than two turns: GTPO, arXiv:2511.14846"
    test: ClassVar[str] = "tests/agentrl/credit/test_multi_turn.py"

    turn_weight: float = Field(1.0, ge=0)
    gamma: float = Field(1.0, ge=0, le=1)
    invalid_penalty: float = Field(INVALID_PENALTY, ge=0)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the outcome and turn advantage of each turn."""
        outcome, turn_N = apart(table)
        priced_N = turn_N - self.invalid_penalty * table.invalid_N
        return credit.mt_grpo(outcome, turn_reward=priced_N, turn_weight=self.turn_weight, gamma=self.gamma)
