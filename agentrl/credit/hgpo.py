"""HGPO: anchor groups at several depths of history, averaged.

Axis suffix: ``_N`` turns.
"""

from typing import Literal

import numpy as np

from agentrl.credit.group_relative import group_relative
from agentrl.credit.normalise import normalise
from agentrl.credit.returns import discounted_returns
from agentrl.credit.segments import FloatN, tuples
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import ConfigError, check_choice


@scored_rows
def hgpo(
    table: TurnTable,
    *,
    history: int = 2,
    gamma: float = 0.95,
    alpha: float = 1.0,
    episode: bool = False,
    dialect: Literal["paper", "authors"] = "paper",
    eps: float = 1e-6,
) -> FloatN:
    """Compare a turn with those of its group that agree in the last 1, 2, .. history + 1 states, the deeper the more.

        A = Σ_k w_k a_k / Σ_k w_k,   w_k = (k + 1)^α,   a_k = (R - mean_k) / (std_k + ε)

    where group k holds the turns whose last k states are equal (ddof 0). A group of one is left out; a turn without
    any gets 0. ``episode`` adds k = 0, the trajectory against its group. With ``history=0`` this is `anchor_state`
    (with ddof 0). Paper: HGPO, arXiv:2602.22817.
    ``dialect="authors"`` also leaves out every a_k that is exactly 0, as the code does: an average turn of a deep
    group then gets the credit of a shallow one. Early turns with fewer states before them agree only with turns as
    early.

    Args:
      table: turns with anchors.
      history: K, how many states before the current one are remembered.
      gamma: discount per turn.
      alpha: how much deeper groups weigh more.
      episode: see above.
      dialect: see above.
      eps: added to the standard deviation.
    """
    check_choice("dialect", dialect, ("paper", "authors"))
    if history < 0:
        raise ConfigError(f"history is {history}: it counts remembered states, so it is 0 or more")
    returns_N = discounted_returns(table, gamma)
    total_N, weight_N = np.zeros(len(table)), np.zeros(len(table))
    columns = [table.group_N]
    for depth, state_N in enumerate(table.look_back(table.need("anchor"), history + 1), start=1):
        columns.append(state_N)
        key_N, count = tuples(columns)
        level_N = normalise(returns_N, key_N, count, ddof=0, eps=eps)
        counts_N = np.bincount(key_N, minlength=count)[key_N] > 1
        if dialect == "authors":
            counts_N &= level_N != 0.0
        weight = (depth + 1.0) ** alpha
        total_N += weight * counts_N * level_N
        weight_N += weight * counts_N
    if episode:
        total_N += group_relative(table, ddof=0, eps=eps)
        weight_N += 1.0
    return np.divide(total_N, weight_N, out=np.zeros(len(table)), where=weight_N > 0)
