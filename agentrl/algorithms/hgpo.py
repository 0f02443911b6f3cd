"""HGPO: anchor groups by the last one, two, .. states, deeper ones weighing more."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentrl import credit
from agentrl.algorithms.base import Recipe
from agentrl.credit.table import TurnTable


class HGPO(Recipe):
    """Hierarchy-of-groups policy optimization.

    ``history`` is the paper's K: as many turns as the context shows beside the last. In a window it must be that number
    (``context.window``); a context that shows the whole conversation has room for any.
    """

    name: ClassVar[str] = "hgpo"
    title: ClassVar[str] = "turn return against turns with the same recent states"
    paper: ClassVar[str] = "HGPO, arXiv:2602.22817"
    test: ClassVar[str] = "tests/agentrl/credit/states/test_hgpo.py"

    history: int = Field(2, ge=0)
    gamma: float = Field(0.95, ge=0, le=1)
    alpha: float = Field(1.0, ge=0)
    scale: Literal["std", "none"] = "std"
    episode: bool = False
    dialect: Literal["paper", "authors"] = "paper"

    def remembered_turns(self) -> int:
        """Return the turns that the deepest groups have in common."""
        return self.history

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the advantage of each turn, averaged over the depths."""
        return credit.hgpo(table, **self.model_dump())
