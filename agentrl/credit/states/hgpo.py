"""HGPO: anchor groups at several depths of history, averaged.

Axis suffix: ``_N`` turns.
"""

import numpy as np

from agentrl.credit.group_relative import group_relative
from agentrl.credit.normalise import Scale, normalise
from agentrl.credit.returns import discounted_returns
from agentrl.credit.segments import BoolN, FloatN, tuples
from agentrl.credit.states.anchor_state import gigpo
from agentrl.credit.states.similarity import Dialect
from agentrl.credit.table import ROOT, TurnTable, scored_rows
from agentrl.errors import ConfigError, check_choice


@scored_rows
def hgpo(
    table: TurnTable,
    *,
    history: int = 2,
    gamma: float = 0.95,
    alpha: float = 1.0,
    scale: Scale = "std",
    episode: bool = False,
    dialect: Dialect = "paper",
    eps: float = 1e-6,
) -> FloatN:
    """Compare a turn with those of its group that agree in the last 1, 2, .. history + 1 states, the deeper the more.

        A = Σ_k w_k a_k / Σ_k w_k,   w_k = (k + 1)^α,   a_k = (R - mean_k) / (std_k + ε)

    where group k holds the turns whose last k states are equal (ddof 0). A group of one is left out, and so are depths
    beyond the start of the episode; a turn without any group gets 0. ``episode`` adds k = 0, the trajectory against its
    group. With ``history=0`` this is `anchor_state` with ddof 0. Paper: HGPO, arXiv:2602.22817.
    ``dialect="authors"``: what the public code computes. It also leaves out every a_k that is exactly 0, so that an
    average turn of a deep group gets the credit of a shallow one; it takes the episode part from GiGPO's code.

    Args:
      table: turns with anchors.
      history: K, how many states before the current one are remembered.
      gamma: discount per turn.
      alpha: how much deeper groups weigh more.
      scale: divide by the standard deviations, or not.
      episode: see above.
      dialect: see above.
      eps: added to standard deviations.
    """
    check_choice("dialect", dialect, ("paper", "authors"))
    if history < 0:
        raise ConfigError(f"history is {history}: it counts remembered states, so it is 0 or more")
    as_code = dialect == "authors"
    returns_N = discounted_returns(table, gamma)
    total_N, weight_N = np.zeros(len(table)), np.zeros(len(table))

    def add(advantage_N: FloatN, counts_N: BoolN, weight: float) -> None:
        if as_code:
            counts_N = counts_N & (advantage_N != 0.0)
        total_N[counts_N] += weight * advantage_N[counts_N]
        weight_N[counts_N] += weight

    columns = [table.group_N]
    for depth, state_N in enumerate(table.look_back(table.need("anchor"), history + 1), start=1):
        columns.append(state_N)
        key_N, count = tuples(columns)
        level_N = normalise(returns_N, key_N, count, scale=scale, ddof=0, eps=eps)
        is_shared_N = np.bincount(key_N, minlength=count)[key_N] > 1
        add(level_N, is_shared_N & (state_N != ROOT), (depth + 1.0) ** alpha)
    if episode:
        if as_code:
            episode_N = gigpo(table, step_weight=0.0, scale=scale, dialect="authors", eps=eps)
        else:
            episode_N = group_relative(table, scale=scale, eps=eps)
        add(episode_N, np.ones(len(table), dtype=bool), 1.0)
    return np.divide(total_N, weight_N + eps * as_code, out=np.zeros(len(table)), where=weight_N > 0)
