"""GiGPO: episode advantage plus what a turn did better than others in the same state."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentrl import credit
from agentrl.algorithms.base import INVALID_PENALTY, LossSettings, Need, Recipe
from agentrl.credit.table import TurnTable


class GiGPO(Recipe):
    """Group-in-Group Policy Optimization."""

    name: ClassVar[str] = "gigpo"
    title: ClassVar[str] = "episode return against its group, plus turn return against the same anchor state"
    paper: ClassVar[str] = "GiGPO, arXiv:2505.10978, Eq. 3-8"
    test: ClassVar[str] = "tests/agentrl/credit/states/test_anchor_state.py"
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.01)

    gamma: float = Field(0.95, ge=0, le=1)
    step_weight: float = Field(1.0, ge=0)
    scale: Literal["std", "none"] = "std"
    weight: Literal["trajectory", "turn"] | None = None
    invalid_penalty: float = Field(INVALID_PENALTY, ge=0)
    similarity: float | None = Field(None, gt=0, lt=1)
    dialect: Literal["paper", "authors"] = "paper"

    def required(self) -> frozenset[Need]:
        """Return that similarity compares texts."""
        return self.needs if self.similarity is None else self.needs | {"texts"}

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the joint advantage of each turn."""
        return credit.gigpo(table, **self.model_dump())
