"""Turn advantages from values of states: the mean of what the group's turns in the same state earned (G2PO, GAGPO).

Axis suffixes: ``_N`` turns, ``_M`` trajectories.
"""

import numpy as np

from agentrl.credit.gae import gae
from agentrl.credit.group_relative import Weight, group_relative
from agentrl.credit.normalise import Moments, Scale, normalise
from agentrl.credit.returns import check_gamma, discounted_returns, episode_returns
from agentrl.credit.segments import FloatN, pair
from agentrl.credit.table import TurnTable, scored_rows


@scored_rows
def g2po(
    table: TurnTable,
    *,
    gamma: float = 0.95,
    step_weight: float = 1.0,
    scale: Scale = "std",
    weight: Weight = "trajectory",
    invalid_penalty: float = 0.0,
    eps: float = 1e-6,
) -> FloatN:
    """Episode advantage plus what a turn's next state is worth, against its own state and against the whole group.

        V(s) = mean(γ^(turns left, this one included) R(τ) : turns of the group in state s)
        V(end) = R(τ) of a success, else 0
        A_t = Aᴱ + ω (z(V(s_{t+1}) : same group and state) + z(V(s_{t+1}) - V(s_t) : same group))

    Aᴱ is `group_relative`, R(τ) the sum of the rewards. A state met once gives 0 in the middle part. With ω = 0 this is
    GRPO. Paper: G2PO, arXiv:2606.22995, as its public code computes it, in float64; differs: its mean and std of Aᴱ are
    over turns (``weight="turn"``), its success is worth 10 whatever the return, and an invalid action's price is not
    part of the other turns' Aᴱ.

    Args:
      table: turns with ``anchor`` and ``success``.
      gamma: discount per turn.
      step_weight: ω.
      scale: divide the three parts by their standard deviation (ddof 1), or not.
      weight: what counts once in Aᴱ.
      invalid_penalty: cost of an invalid action, in the episode's return and in its turn's own V(s_{t+1}).
      eps: added to standard deviations.

    Returns:
      shape (N,); NaN where there is no verdict.
    """
    check_gamma(gamma)
    penalty_N = invalid_penalty * table.invalid_N
    episode_N = group_relative(table.with_reward(table.reward_N - penalty_N), scale=scale, weight=weight, eps=eps)
    state_N, count = pair(table.group_N, table.need("anchor"))
    return_N = episode_returns(table)[table.trajectory_N]
    value_N = Moments.of(np.power(float(gamma), table.left_N + 1) * return_N, state_N, count).mean_K[state_N]
    next_N = np.where(table.need("success"), return_N, 0.0)
    goes_on_N = table.before_N >= 0
    next_N[table.before_N[goes_on_N]] = value_N[goes_on_N]
    local_N = normalise(next_N - penalty_N, state_N, count, scale=scale, eps=eps)
    gain_N = normalise(next_N - value_N, table.group_N, table.num_groups, scale=scale, eps=eps)
    return episode_N + step_weight * (local_N + gain_N)


@scored_rows
def gagpo(
    table: TurnTable,
    *,
    gamma: float = 0.95,
    lam: float = 0.95,
    scale: Scale = "std",
    invalid_penalty: float = 0.0,
    eps: float = 1e-6,
) -> FloatN:
    """GAE over turns without a critic: a state is worth the mean return of the group's turns in it.

        V(s) = mean(R_t : turns of the group in state s),   R_t = r_t + γ R_{t+1}
        δ_t = r_t + γ V(s_{t+1}) - V(s_t),   V(end) = 0,   Â_t = δ_t + γ λ Â_{t+1}
        A_t = z(Â_t : same group)

    There is no episode part. With λ = 1, Â_t = R_t - V(s_t), GiGPO's turn advantage without its standard deviation.
    Paper: GAGPO, arXiv:2605.13217. No code of its authors is public, and the paper was not at hand: this is the rule as
    readers of it state it. Left open there and chosen here: λ, and the group's standard deviation (ddof 1).

    Args:
      table: turns with ``anchor``.
      gamma: discount per turn.
      lam: λ.
      scale: divide by the group's standard deviation, or not.
      invalid_penalty: cost of an invalid action, reward units.
      eps: added to standard deviations.

    Returns:
      shape (N,); NaN where there is no verdict.
    """
    if invalid_penalty:
        table = table.with_reward(table.reward_N - invalid_penalty * table.invalid_N)
    state_N, count = pair(table.group_N, table.need("anchor"))
    value_N = Moments.of(discounted_returns(table, gamma), state_N, count).mean_K[state_N]
    columns = (table.in_time(column_N) for column_N in (table.reward_N, value_N, table.trajectory_N))
    advantage_N = np.empty(len(table))
    advantage_N[table.order_N], _ = gae(*columns, discount=gamma, lam=lam)
    return normalise(advantage_N, table.group_N, table.num_groups, scale=scale, eps=eps)
