"""Estimators that take more than a return: turn rewards (MT-GRPO) and Monte-Carlo values (VinePPO).

Axis suffixes: ``_N`` turns, ``_M`` trajectories.
"""

import numpy as np

from agentrl.credit.normalise import Moments, normalise
from agentrl.credit.returns import check_gamma, discounted_returns, episode_returns
from agentrl.credit.segments import FloatN, dense, pair, suffix_scan, sums
from agentrl.credit.table import TurnTable, base_advantages, scored_rows
from agentrl.errors import DataError


@scored_rows
def mt_grpo(
    table: TurnTable, *, turn_reward: FloatN, turn_weight: float = 1.0, gamma: float = 1.0, eps: float = 1e-4
) -> FloatN:
    """Outcome advantage for all turns, plus turn advantage for those that still have a tool result before them.

        A_t = A^O + c A^T_t  for every turn but the last,   A^O  for the last

    A^O is the group's z-score of the outcome (the column ``reward``, summed), A^T_t that of the discounted turn rewards
    from t on, among the group's turns of the same number. A trajectory of one turn (no tool call) gets the z-score of
    outcome plus turn reward. Paper: MT-GRPO, arXiv:2505.11821, which has two turns; the return-to-go for more is
    GTPO's, arXiv:2511.14846.

    Args:
      table: turns; ``reward`` is the outcome.
      turn_reward: reward of each turn, shape (N,).
      turn_weight: c.
      gamma: discount of turn rewards.
      eps: added to standard deviations.
    """
    check_gamma(gamma)
    turn_reward_N = base_advantages(table, turn_reward)
    group_M, groups = table.group_M, table.num_groups
    outcome_M = episode_returns(table)
    outcome_N = normalise(outcome_M, group_M, groups, eps=eps)[table.trajectory_N]
    to_go_N = table.to_go(turn_reward_N, gamma)
    key_N, count = pair(table.group_N, table.turn_N)
    advantage_N = outcome_N + turn_weight * np.where(table.left_N > 0, normalise(to_go_N, key_N, count, eps=eps), 0.0)
    total_M = outcome_M + sums(turn_reward_N, table.trajectory_N, table.num_trajectories)
    is_single_N = np.bincount(table.trajectory_N, minlength=table.num_trajectories)[table.trajectory_N] == 1
    return np.where(is_single_N, normalise(total_M, group_M, groups, eps=eps)[table.trajectory_N], advantage_N)


@scored_rows
def vine_values(table: TurnTable) -> FloatN:
    """Monte-Carlo value of the state before each turn, from the trajectories that were forked there.

        V(s_t) = mean(Σ_{k≥t} r_k of each trajectory with this one as ``parent`` and ``branch_turn`` t)

    Shape (N,), NaN where nothing was forked. Give it to `vineppo`, which advantages the trajectories without a parent;
    those with one are the continuations. Paper: VinePPO, arXiv:2410.01679 (matches).

    >>> table = TurnTable.from_columns(group=[0] * 4, trajectory=["a", "a", "b", "b"], turn=[0, 1, 0, 1],
    ...     reward=[0, 0, 0, 1], parent=[None, None, "a", "a"], branch_turn=[0, 0, 1, 1])
    >>> vine_values(table)
    array([nan,  1., nan, nan])
    """
    if table.parent_N is None:
        return np.full(len(table), np.nan)
    parent_N, turn_N = table.parent_N, table.turn_N
    at = np.flatnonzero((parent_N >= 0) & (turn_N == table.need("branch_turn")))
    width = int(turn_N.max(initial=0)) + 1
    states = np.concatenate([table.trajectory_N * width + turn_N, parent_N[at] * width + turn_N[at]])
    code, count = dense(states)
    found = Moments.of(discounted_returns(table, 1.0)[at], code[len(table) :], count)
    return np.where(found.count_K > 0, found.mean_K, np.nan)[code[: len(table)]]


@scored_rows
def vineppo(table: TurnTable, *, values: FloatN) -> FloatN:
    """Advantage of each turn from Monte-Carlo estimates of the state values.

        A_t = r_t + V(s_{t+1}) - V(s_t),   V = 0 after the end

    V(s_t) is the mean return of fresh continuations from the state before turn t (the paper takes 9). A turn without an
    estimate (NaN) gets V_t = r_t + V_{t+1}, hence A = 0. Paper: VinePPO, arXiv:2410.01679 (matches: no discount).

    Args:
      table: turns.
      values: V(s_t), shape (N,), NaN where not estimated; `vine_values` takes them from a forest.
    """
    value_N = np.asarray(values, dtype=np.float64)
    if value_N.shape != (len(table),):
        raise DataError(f"values has shape {value_N.shape}, expected ({len(table)},): one per turn, NaN for none")
    order_N = table.order_N
    unknown_N = np.isnan(value_N[order_N])
    filled_N = suffix_scan(
        np.where(unknown_N, table.reward_N[order_N], value_N[order_N]), unknown_N * 1.0, table.left_N[order_N]
    )
    next_N = np.where(table.left_N[order_N] > 0, np.roll(filled_N, -1), 0.0)
    advantage_N = np.empty(len(table))
    advantage_N[order_N] = table.reward_N[order_N] + next_N - filled_N
    return advantage_N
