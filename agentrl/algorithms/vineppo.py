"""VinePPO: turns against Monte-Carlo values of the states around them."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from agentrl import credit
from agentrl.algorithms.base import LossSettings, Need, Recipe
from agentrl.credit.table import TurnTable


class VinePPO(Recipe):
    """Its sampler, ``vine``, plays episodes to train on and continuations that say what their states are worth.

    The continuations are not trained on. ``rollout.group_size`` is ``rollout.sampler.episodes`` times one and a number
    of continuations for each of their turns: 32 and one episode are three each for ten turns; the paper has nine.
    """

    name: ClassVar[str] = "vineppo"
    title: ClassVar[str] = "reward and value of the next state minus that of the state, from continuations"
    paper: ClassVar[str] = "VinePPO, arXiv:2410.01679"
    test: ClassVar[str] = "tests/agentrl/credit/test_multi_turn.py"
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=1e-4)
    needs: ClassVar[frozenset[Need]] = frozenset({"branches"})
    sampler: ClassVar[str] = "vine"
    usual_group: ClassVar[int] = 32

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        """Return the advantage of the turns of episodes; those of continuations are not scored."""
        advantage_N = credit.vineppo(table, values=credit.vine_values(table))
        return advantage_N if table.parent_N is None else np.where(table.parent_N < 0, advantage_N, np.nan)
