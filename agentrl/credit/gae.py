"""Generalised advantage estimation with a discount per position: tokens, turns, both, and action decomposition.

Axis suffixes: ``_N`` positions (tokens or turns), segments (trajectories) contiguous and in time order.
"""

import numpy as np
from numpy.typing import ArrayLike

from agentrl.credit.returns import check_gamma
from agentrl.credit.segments import BoolN, FloatN, IntN, suffix_scan
from agentrl.errors import DataError


def gae(
    rewards: ArrayLike,
    values: ArrayLike,
    segments: ArrayLike,
    *,
    discount: ArrayLike = 1.0,
    lam: ArrayLike = 1.0,
    bootstrap: ArrayLike = 0.0,
    mask: ArrayLike | None = None,
) -> tuple[FloatN, FloatN]:
    """Estimate advantages from rewards and a critic.

        δ_n = r_n + γ_n V_{n+1} - V_n,   A_n = δ_n + γ_n λ_n A_{n+1},   return_n = A_n + V_n

    After a segment's last position V is ``bootstrap`` (its value at the last position; 0 if the episode has terminated)
    and A is 0. Reductions: λ = 0 is the one-step TD error, λ = γ = 1 the Monte-Carlo return minus V. With γ = 1 inside
    actions and γ < 1 at their ends (`turn_discounts`) it is POAD (arXiv:2405.15821). Paper: GAE, arXiv:1506.02438,
    Eq. 16. Positions outside the mask (observation tokens) are skipped as if they were not there.

    Args:
      rewards: r, shape (N,).
      values: V, shape (N,).
      segments: number of each position's segment, shape (N,); equal numbers are neighbours, in time order.
      discount: γ, one or one per position, 0 to 1: it discounts what follows the position.
      lam: λ likewise.
      bootstrap: value after the last position, one or one per position.
      mask: True at positions that the policy sampled; None for all.

    Returns:
      (advantages, returns), each (N,); NaN outside the mask.

    Raises:
      DataError: shapes differ, a segment is not contiguous, or a reward lies outside the mask.
    """
    segment_N = np.asarray(segments)
    columns = [np.asarray(column, dtype=np.float64) for column in (rewards, values, discount, lam, bootstrap)]
    if any(column.shape not in ((), segment_N.shape) for column in columns) or segment_N.ndim != 1:
        raise DataError(f"shapes differ: {[column.shape for column in columns]}, expected {segment_N.shape} or ()")
    reward_N, value_N, discount_N, lam_N, bootstrap_N = (np.broadcast_to(x, segment_N.shape) for x in columns)
    for name, column_N in (("discount", discount_N), ("lam", lam_N)):
        check_gamma(float(column_N.min(initial=0.0)), name)
        check_gamma(float(column_N.max(initial=0.0)), name)
    keep_N = np.ones(len(segment_N), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    lost = np.flatnonzero((reward_N != 0) & ~keep_N)
    if len(lost):
        raise DataError(f"reward {reward_N[lost[0]]} at position {lost[0]} is outside the mask: put it on a kept one")
    left_K = _left(segment_N[keep_N])
    value_K, discount_K = value_N[keep_N], discount_N[keep_N]
    next_K = np.where(left_K > 0, np.roll(value_K, -1), bootstrap_N[keep_N])
    delta_K = reward_N[keep_N] + discount_K * next_K - value_K
    advantage_N, return_N = np.full(len(segment_N), np.nan), np.full(len(segment_N), np.nan)
    advantage_N[keep_N] = suffix_scan(delta_K, discount_K * lam_N[keep_N], left_K)
    return_N[keep_N] = advantage_N[keep_N] + value_K
    return advantage_N, return_N


def turn_discounts(is_turn_end: ArrayLike, gamma: float) -> FloatN:
    """Return γ at the ends of turns and 1 inside them: time passes between turns, not between tokens.

    Paper: POAD, arXiv:2405.15821 (its BAD: no discount inside an action).
    """
    check_gamma(gamma)
    return np.where(np.asarray(is_turn_end, dtype=bool), gamma, 1.0)


def bilevel_gae(
    rewards: ArrayLike,
    values: ArrayLike,
    segments: ArrayLike,
    is_turn_end: ArrayLike,
    *,
    gamma_turn: float = 0.95,
    lam_turn: float = 1.0,
    gamma_token: float = 1.0,
    lam_token: float = 1.0,
    bootstrap: ArrayLike = 0.0,
    mask: ArrayLike | None = None,
) -> tuple[FloatN, FloatN]:
    """Estimate advantages of tokens in two passes, over turns and then inside each turn.

    The first pass is `gae` over the turns' last tokens. What it finds there, A + V, is the reward of the second, which
    goes backward inside each turn and takes nothing over its end. At turn ends both agree. Paper: VAGEN,
    arXiv:2510.16907, and RAGEN, arXiv:2504.20073. Differs from RAGEN's code, which takes the tokens with a non-zero
    reward for turn ends, so that a turn without one disappears: here they are given.

    Args:
      rewards: r of each token, 0 but at turn ends, shape (N,).
      values: V of each token.
      segments: trajectory of each token, contiguous.
      is_turn_end: True at the last sampled token of each turn; the last sampled token of a trajectory is one.
      gamma_turn, lam_turn: of the first pass.
      gamma_token, lam_token: of the second.
      bootstrap: value after a trajectory's last turn; it and the mask are as in `gae`.
      mask: True at positions that the policy sampled; None for all.

    Returns:
      (advantages, returns), each (N,); NaN outside the mask.
    """
    reward_N, value_N = np.asarray(rewards, dtype=np.float64), np.asarray(values, dtype=np.float64)
    segment_N, end_N = np.asarray(segments), np.asarray(is_turn_end, dtype=bool)
    keep_N = np.ones(len(segment_N), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    inside = np.flatnonzero((reward_N != 0) & ~end_N)
    if len(inside):
        raise DataError(f"reward {reward_N[inside[0]]} at position {inside[0]} is not at a turn's end: put it there")
    _check_ends(segment_N, end_N, keep_N)
    _, target_N = gae(reward_N, value_N, segment_N, discount=gamma_turn, lam=lam_turn, bootstrap=bootstrap, mask=end_N)
    turn_N = end_N.cumsum() - end_N
    return gae(np.where(end_N, target_N, 0.0), value_N, turn_N, discount=gamma_token, lam=lam_token, mask=keep_N)


def _check_ends(segment_N: IntN, end_N: BoolN, keep_N: BoolN) -> None:
    outside = np.flatnonzero(end_N & ~keep_N)
    if len(outside):
        raise DataError(f"turn end at position {outside[0]} is outside the mask: a turn ends at its last sampled token")
    kept = np.flatnonzero(keep_N)
    last = kept[_left(segment_N[kept]) == 0]
    if not end_N[last].all():
        position = last[~end_N[last]][0]
        raise DataError(f"position {position} ends a segment but no turn: is_turn_end must be True there")


def _left(segment_N: IntN) -> IntN:
    """Return how many positions of the same segment follow each position."""
    count = len(segment_N)
    start = np.flatnonzero(np.r_[True, segment_N[1:] != segment_N[:-1]]) if count else np.zeros(0, dtype=np.int64)
    if len(np.unique(segment_N[start])) < len(start):
        raise DataError("a segment is not contiguous: sort the positions by segment and time first")
    length = np.diff(np.r_[start, count])
    return np.repeat(start + length, length) - 1 - np.arange(count)
