"""Turn advantages from the graph of a group: turns that lead nearer to the goal are better (GraphGPO).

Axis suffixes: ``_N`` turns, ``_V`` states of groups, each group with a goal of its own, ``_K`` groups.
"""

import numpy as np

from agentrl.credit.group_relative import Weight, group_relative
from agentrl.credit.normalise import Scale, normalise
from agentrl.credit.returns import check_gamma
from agentrl.credit.segments import FloatN, IntN, pair
from agentrl.credit.table import TurnTable, scored_rows

UNREACHED = -1


def following_states(table: TurnTable) -> tuple[IntN, IntN, IntN]:
    """Return the state before each turn, the one after it, and the group of each state, as codes from 0.

    States of different groups are different. Successes end in one state, the goal of their group; what ended otherwise
    ends in its ``final_anchor``, which equals nothing where it is unknown. The goals are the first codes: goal k is
    that of group k.

    Raises:
      DataError: the table has no anchors, final anchors or successes.
    """
    anchor_N, final_N, success_N = table.need("anchor"), table.need("final_anchor"), table.need("success")
    is_last_N = table.left_N == 0
    after_N = final_N.copy()
    after_N[table.before_N[table.before_N >= 0]] = anchor_N[table.before_N >= 0]
    groups = table.num_groups
    both, _ = pair(np.concatenate([table.group_N] * 2), np.concatenate([anchor_N, after_N]))
    before_N, after_N = np.split(both + groups, 2)
    after_N = np.where(is_last_N & success_N, table.group_N, after_N)
    group_V = np.zeros(int(both.max(initial=-1)) + 1 + groups, dtype=np.int64)
    group_V[:groups] = np.arange(groups)
    group_V[before_N], group_V[after_N] = table.group_N, table.group_N
    return before_N, after_N, group_V


def goal_distances(before_N: IntN, after_N: IntN, group_V: IntN, num_groups: int) -> IntN:
    """Return the fewest turns from each state to the goal of its group, along turns that were played, shape (V,).

    A state that the goal was not reached from is one turn farther than the farthest that it was.
    """
    distance_V = np.full(len(group_V), UNREACHED)
    distance_V[:num_groups] = 0
    steps = 0
    while True:
        reaches_N = (distance_V[after_N] == steps) & (distance_V[before_N] == UNREACHED)
        if not reaches_N.any():
            break
        steps += 1
        distance_V[before_N[reaches_N]] = steps
    farthest_K = np.zeros(num_groups, dtype=np.int64)
    np.maximum.at(farthest_K, group_V, distance_V)
    return np.where(distance_V == UNREACHED, farthest_K[group_V] + 1, distance_V)


@scored_rows
def goal_returns(table: TurnTable, *, gamma: float = 0.95, goal_reward: float = 10.0, relative: bool = False) -> FloatN:
    """What a turn is worth by the distance of the state that it led to.

        R_t = R γ^d(s_{t+1}),   relative: R γ^(d(s_{t+1}) - d(s_t) + 1)

    d(s) is the length of the shortest way from s to the goal in the graph of the group's turns: one that no single
    episode need have gone. Paper: GraphGPO, arXiv:2605.26684, as its code does (``relative`` is its
    ``normalize_distance``).

    Args:
      table: turns with ``anchor``, ``final_anchor`` and ``success``.
      gamma: discount per turn.
      goal_reward: R.
      relative: see above.

    Returns:
      shape (N,), the unit of R; NaN where there is no verdict.

    >>> table = TurnTable.from_columns(group=[0] * 3, trajectory=["a", "a", "b"], turn=[0, 1, 0], reward=[0, 1, 0],
    ...     anchor=["hall", "attic", "hall"], final_anchor=["won", "won", "cellar"], success=[True, True, False])
    >>> goal_returns(table, gamma=0.5)
    array([ 5.  , 10.  ,  1.25])
    """
    check_gamma(gamma)
    before_N, after_N, group_V = following_states(table)
    distance_V = goal_distances(before_N, after_N, group_V, table.num_groups)
    exponent_N = distance_V[after_N]
    if relative:
        exponent_N = exponent_N - distance_V[before_N] + 1
    return goal_reward * np.power(float(gamma), exponent_N)


@scored_rows
def graphgpo(
    table: TurnTable,
    *,
    gamma: float = 0.95,
    step_weight: float = 1.0,
    scale: Scale = "std",
    weight: Weight = "trajectory",
    invalid_penalty: float = 0.0,
    goal_reward: float = 10.0,
    relative: bool = False,
    eps: float = 1e-6,
) -> FloatN:
    """Episode advantage plus turn advantage from distances to the goal, A = Aᴱ + ω z(R_t : same group, same anchor).

    Aᴱ is `group_relative`, R_t is `goal_returns`. Where every state lies on one way to the goal alone (all episodes
    succeed along chains), R_t is the discounted return and this is `gigpo`; with ω = 0 it is GRPO. In a group without
    a success all distances are equal and the second part is 0.

    Paper: GraphGPO, arXiv:2605.26684, as its public code computes it, in float64. Differs: its mean and std of Aᴱ are
    over turns (``weight="turn"``), here by default over trajectories.

    Args:
      table: turns with ``anchor``, ``final_anchor`` and ``success``.
      gamma: discount per turn of the distance.
      step_weight: ω.
      scale: divide both parts by their standard deviation (ddof 1), or not.
      weight: what counts once in Aᴱ.
      invalid_penalty: cost of an invalid action, in the episode's return.
      goal_reward: what the goal is worth in R_t.
      relative: measure distances from the state before the turn.
      eps: added to standard deviations.

    Returns:
      shape (N,); NaN where there is no verdict.
    """
    priced = table.with_reward(table.reward_N - invalid_penalty * table.invalid_N) if invalid_penalty else table
    episode_N = group_relative(priced, scale=scale, weight=weight, eps=eps)
    key_N, count = pair(table.group_N, table.need("anchor"))
    return_N = goal_returns(table, gamma=gamma, goal_reward=goal_reward, relative=relative)
    return episode_N + step_weight * normalise(return_N, key_N, count, scale=scale, eps=eps)
