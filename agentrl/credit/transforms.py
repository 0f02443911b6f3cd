"""Transforms of advantages and of rewards that compose with any estimator.

Axis suffixes: ``_N`` turns, ``_M`` trajectories.
"""

import numpy as np

from agentrl.credit.segments import BoolN, FloatN, IntN, sums
from agentrl.credit.table import Base, TurnTable, base_advantages, scored_rows
from agentrl.errors import ConfigError, DataError


@scored_rows
def empg(
    table: TurnTable, *, base: Base, sharpness: float = 1.0, future_sharpness: float = 1.0, bonus: float = 0.05
) -> FloatN:
    """Strengthen the credit of confident turns, and of turns that lead to confident ones.

        A' = A g(h_t) + ζ exp(-k' h_{t+1}),   g(h) = exp(-k h) / mean(exp(-k h)),   then minus the mean over the batch

    with h the turn's mean token entropy, scaled to 0..1 over the batch (all equal: 0); last turns get no bonus. With
    k = ζ = 0 it centres the base. Turns that the base does not score (NaN) stay so, and are not of the batch. Paper:
    EMPG, arXiv:2509.09265.

    Args:
      table: turns with ``entropy``.
      base: advantages, an array (N,) or an estimator.
      sharpness: k.
      future_sharpness: k'.
      bonus: ζ, in units of the base.
    """
    base_N = base_advantages(table, base, masked=True)
    entropy_N = table.need("entropy")
    scored_N = np.isfinite(base_N)
    if not scored_N.any():
        return base_N
    low, high = entropy_N[scored_N].min(), entropy_N[scored_N].max()
    entropy_N = (entropy_N - low) / (high - low) if high > low else np.zeros(len(table))
    entropy_N = entropy_N.clip(0.0, 1.0)  # a turn that is not scored may follow one that is
    gain_N = np.exp(-sharpness * entropy_N)
    before_N = table.before_N
    has_before = np.flatnonzero(before_N >= 0)
    future_N = np.zeros(len(table))
    future_N[before_N[has_before]] = np.exp(-future_sharpness * entropy_N[has_before])
    shaped_N: FloatN = base_N * gain_N / gain_N[scored_N].mean() + bonus * future_N
    return shaped_N - np.mean(shaped_N[scored_N])


@scored_rows
def d3s(table: TurnTable, *, base: Base, keep: int | float) -> FloatN:
    """Keep the trajectories whose advantages have the largest variance; the others become "not scored" (NaN).

    The best subset of n values is some of the largest together with some of the smallest, so it is found exactly by
    trying each split of the sorted values. A trajectory's advantage is the mean over its turns. Nothing is normalised
    again; turns that the base does not score (NaN) might as well not exist. Paper: D3S, arXiv:2509.22115, sample
    level; for its token level see `agentrl.losses.top_tokens`.

    Args:
      table: turns.
      base: advantages, an array (N,) or an estimator.
      keep: how many trajectories, or (as a float up to 1.0) which share of them, at least one.
    """
    base_N = base_advantages(table, base, masked=True)
    scored_N = np.isfinite(base_N)
    if not scored_N.all():
        kept_N = np.full(len(table), np.nan)
        kept_N[scored_N] = d3s(table.select(scored_N), base=base_N[scored_N], keep=keep)
        return kept_N
    total = table.num_trajectories
    count = max(1, round(keep * total)) if isinstance(keep, float) else keep
    if count < 1 or (isinstance(keep, float) and not 0.0 < keep <= 1.0):
        raise ConfigError(f"keep is {keep}: give a number of trajectories, or a share between 0.0 and 1.0")
    length_M = np.bincount(table.trajectory_N, minlength=total)
    kept_M = _most_varied(sums(base_N, table.trajectory_N, total) / length_M, min(count, total))
    return np.where(kept_M[table.trajectory_N], base_N, np.nan)


def d3s_schedule(progress: float, first: float, last: float) -> float:
    """Return the share to keep at a progress of training from 0 to 1, (1 - p) first + p last. Paper: D3S."""
    return (1.0 - progress) * first + progress * last


def unlikeliness(table: TurnTable, *, beta: float = 0.25) -> TurnTable:
    """Return the table with rewards that favour what the policy found improbable.

        r' = r (1 - β rank / G),   rank = how many trajectories of the group were less likely

    by mean token log-prob under the old policy; so the least likely keeps its reward whole and rewards of 0 stay 0.
    Rows without a verdict are not ranked and keep their reward. Paper: Rewarding the Unlikely, arXiv:2506.02355.

    Args:
      table: turns with ``logprob`` and ``tokens``.
      beta: β, the most that is taken away.
    """
    scored = table.select(table.verdict_N)
    tokens_N, trajectory_N, num = scored.need("tokens"), scored.trajectory_N, scored.num_trajectories
    weight_M = sums(tokens_N, trajectory_N, num)
    if (weight_M <= 0).any():
        raise DataError("a trajectory has no sampled tokens: unlikeliness needs the tokens of each turn")
    mean_M = sums(tokens_N * scored.need("logprob"), trajectory_N, num) / weight_M
    group_M = scored.group_M
    rank_M = _rank_in_group(mean_M, group_M)
    size_M = np.bincount(group_M, minlength=1)[group_M]
    reward_N = table.reward_N.copy()
    reward_N[table.verdict_N] *= (1.0 - beta * rank_M / size_M)[trajectory_N]
    return table.with_reward(reward_N)


def _most_varied(value_M: FloatN, count: int) -> BoolN:
    """Return True for the ``count`` values whose variance is largest."""
    order = np.argsort(value_M, kind="stable")
    ascending = value_M[order] - value_M.mean() if len(value_M) else value_M
    low1, low2 = (np.r_[0.0, power.cumsum()] for power in (ascending, ascending**2))
    smallest = np.arange(count + 1)
    largest_from = len(value_M) - (count - smallest)
    mean = (low1[smallest] + low1[-1] - low1[largest_from]) / max(count, 1)
    square = (low2[smallest] + low2[-1] - low2[largest_from]) / max(count, 1)
    best = int(np.argmax(square - mean**2))
    kept_M = np.zeros(len(value_M), dtype=bool)
    kept_M[order[:best]] = True
    kept_M[order[largest_from[best] :]] = True
    return kept_M


def _rank_in_group(value_M: FloatN, group_M: IntN) -> FloatN:
    """Return how many members of the same group have a smaller value."""
    order = np.lexsort((value_M, group_M))
    sorted_group, sorted_value = group_M[order], value_M[order]
    place = np.arange(len(order))
    opens_group = np.r_[True, sorted_group[1:] != sorted_group[:-1]][: len(order)]
    opens_value = opens_group | np.r_[True, sorted_value[1:] != sorted_value[:-1]][: len(order)]
    rank_M = np.empty(len(order))
    rank_M[order] = _last_seen(place, opens_value) - _last_seen(place, opens_group)
    return rank_M


def _last_seen(value: IntN, is_seen: BoolN) -> IntN:
    """Return, at each place, the value at the last place so far that is marked; values ascend from 0."""
    return np.maximum.accumulate(np.where(is_seen, value, 0))
