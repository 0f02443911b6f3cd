"""Turn advantages from what a turn revealed of the right answer (IGPO).

Axis suffix: ``_N`` turns.
"""

from typing import Literal

import numpy as np

from agentrl.credit.normalise import Scale, normalise
from agentrl.credit.returns import check_gamma, episode_returns
from agentrl.credit.segments import FloatN
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import check_choice

Norm = Literal["joint", "separate"]


@scored_rows
def igpo(
    table: TurnTable, *, gamma: float = 1.0, norm: Norm = "joint", scale: Scale = "std", eps: float = 1e-6
) -> FloatN:
    """Gains in the probability of the right answer, then the outcome: normalised over the group, then summed to go.

        r_t = p(answer | after turn t) - p(answer | before it)  of every turn but the last,   R(τ) of the last
        A_t = Σ_{k ≥ t} γ^(k - t) z(r_k : same group)

    The gains are the column ``step_reward``, whose value at last turns is not read. ``norm="separate"`` takes mean and
    standard deviation (ddof 0) of gains and of outcomes apart. Where all gains are equal, γ = 1 and norm separate, this
    is the z-score of the outcome. Paper: IGPO, arXiv:2510.14967, Eq. 6 and 7, as its public code does, in float64; the
    code's shipped run has norm separate and differences of log-probs.

    Args:
      table: turns with ``step_reward``; ``reward``, summed, is the outcome.
      gamma: discount per turn.
      norm: what is compared with what.
      scale: divide by the standard deviation, or not.
      eps: added to standard deviations.

    Returns:
      shape (N,); NaN where there is no verdict.

    >>> table = TurnTable.from_columns(group=[0] * 4, trajectory=["a", "a", "b", "b"], turn=[0, 1, 0, 1],
    ...     reward=[0, 1, 0, 0], step_reward=[0.5, 0, -0.1, 0])
    >>> igpo(table, norm="separate", scale="none").round(3)
    array([ 0.8,  0.5, -0.8, -0.5])
    """
    check_gamma(gamma)
    check_choice("norm", norm, ("joint", "separate"))
    is_last_N = table.left_N == 0
    reward_N = np.where(is_last_N, episode_returns(table)[table.trajectory_N], table.need("step_reward"))
    key_N, count = table.group_N, table.num_groups
    if norm == "separate":
        key_N, count = 2 * key_N + is_last_N, 2 * count
    return table.to_go(normalise(reward_N, key_N, count, scale=scale, ddof=0, eps=eps), gamma)
