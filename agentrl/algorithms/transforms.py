"""SALT, EMPG, D3S and the unlikeliness reward: each over any other algorithm."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentrl import credit
from agentrl.algorithms.base import Need
from agentrl.algorithms.transform import Transform
from agentrl.credit.table import TurnTable

TEST = "tests/agentrl/credit/test_transforms.py"


class SALT(Transform):
    """Step-level advantage from the trajectory graph; the paper's bases are GRPO and RLOO."""

    name: ClassVar[str] = "salt"
    title: ClassVar[str] = "another's advantages (base) averaged over equal transitions of the group"
    paper: ClassVar[str] = "SALT, arXiv:2510.20022"
    test: ClassVar[str] = "tests/agentrl/credit/states/test_graph.py"

    history: int = Field(3, ge=1)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the averaged advantage of each turn."""
        return credit.salt(table, base=self._inner.advantages, history=self.history)


class EMPG(Transform):
    """Entropy-modulated policy gradient."""

    name: ClassVar[str] = "empg"
    title: ClassVar[str] = "another's advantages (base), confident turns strengthened"
    paper: ClassVar[str] = "EMPG, arXiv:2509.09265"
    test: ClassVar[str] = TEST
    needs: ClassVar[frozenset[Need]] = frozenset({"entropy"})

    sharpness: float = 1.0
    future_sharpness: float = 1.0
    bonus: float = 0.05

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the modulated advantage of each turn."""
        options = self.model_dump(exclude={"base"})
        return credit.empg(table, base=self._inner.advantages, **options)


class D3S(Transform):
    """Dual-level down-sampling: the episodes of largest variance, and in them the tokens of largest |A| × entropy.

    Differs from the paper: the shares do not move with progress. Its values are not public: a half is our choice.
    """

    name: ClassVar[str] = "d3s"
    title: ClassVar[str] = "another's advantages (base), only the most varied episodes and their decisive tokens"
    paper: ClassVar[str] = "D3S, arXiv:2509.22115"
    test: ClassVar[str] = TEST
    needs: ClassVar[frozenset[Need]] = frozenset({"entropy"})
    loss_changes: ClassVar[Mapping[str, Any]] = {"token_share": 0.5}

    keep: float = Field(0.5, gt=0, le=1)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the base's advantages where an episode is kept, NaN elsewhere."""
        return credit.d3s(table, base=self._inner.advantages, keep=self.keep)


class Unlikeliness(Transform):
    """Rewarding the unlikely: of equal successes, the improbable one earns more."""

    name: ClassVar[str] = "unlikeliness"
    title: ClassVar[str] = "another's advantages (base) of rewards that favour improbable successes"
    paper: ClassVar[str] = "Rewarding the Unlikely, arXiv:2506.02355"
    test: ClassVar[str] = TEST
    needs: ClassVar[frozenset[Need]] = frozenset({"logprob"})
    loss_changes: ClassVar[Mapping[str, Any]] = {"kl_coef": 0.1}
    keeps_returns: ClassVar[bool] = True

    beta: float = Field(0.25, ge=0, le=1)

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the base's advantages of the changed rewards."""
        return self._inner.advantages(credit.unlikeliness(table, beta=self.beta))
