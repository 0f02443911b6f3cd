"""Turn advantages from anchor states: turns of a group that were in the same state are compared with each other.

Axis suffixes: ``_N`` turns, ``_M`` trajectories.
"""

import numpy as np

from agentrl.credit.group_relative import Weight, group_relative
from agentrl.credit.normalise import Baseline, Moments, Scale, normalise
from agentrl.credit.returns import discounted_returns, episode_returns
from agentrl.credit.segments import FloatN, IntN, pair
from agentrl.credit.states.similarity import Dialect, similar_groups
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import check_choice


def anchor_groups(table: TurnTable, *, similarity: float | None = None, dialect: Dialect = "paper") -> tuple[IntN, int]:
    """Return the anchor group of each turn, dense codes, and their number. Groups of tasks are never crossed.

    Paper: GiGPO, arXiv:2505.10978, Eq. 6, and its similarity variant for ``similarity`` (see `similar_groups`), which
    compares what was seen (``text``), or anchors that are texts where the table has no such column.
    """
    if similarity is None:
        return pair(table.group_N, table.need("anchor"))
    if table.text_N is not None:
        text_N, labels = table.text_N, table.text_labels
    else:
        text_N, labels = table.need("anchor"), table.anchor_labels
    return pair(table.group_N, similar_groups(table.group_N, text_N, labels, similarity, dialect))


@scored_rows
def anchor_state(
    table: TurnTable,
    *,
    gamma: float = 0.95,
    scale: Scale = "std",
    baseline: Baseline = "mean",
    similarity: float | None = None,
    ddof: int = 1,
    eps: float = 1e-6,
) -> FloatN:
    """How much better a turn did than the turns of its group that were in the same state.

        A_t = (R_t - mean(R_u : same group, same anchor)) / (std(...) + eps),   R_t = r_t + γ R_{t+1}

    A state met once, and a state whose turns have equal returns, give exactly 0; with all anchors distinct every
    advantage is 0. Paper: GiGPO, arXiv:2505.10978, Eq. 5-7 (matches).

    Returns:
      shape (N,), dimensionless with ``scale="std"``, else reward units; NaN where there is no verdict.

    Raises:
      DataError: the table has no anchors, or no texts to compare.
    """
    key_N, count = anchor_groups(table, similarity=similarity)
    returns_N = discounted_returns(table, gamma)
    return normalise(returns_N, key_N, count, scale=scale, baseline=baseline, ddof=ddof, eps=eps)


@scored_rows
def gigpo(
    table: TurnTable,
    *,
    gamma: float = 0.95,
    step_weight: float = 1.0,
    scale: Scale = "std",
    baseline: Baseline = "mean",
    weight: Weight | None = None,
    invalid_penalty: float = 0.0,
    similarity: float | None = None,
    dialect: Dialect = "paper",
    eps: float = 1e-6,
) -> FloatN:
    """Episode advantage plus turn advantage, A = Aᴱ + ω Aˢ. Paper: GiGPO, arXiv:2505.10978, Eq. 3-8.

    Aᴱ is `group_relative`, Aˢ is `anchor_state`; with ω = 0 this is GRPO. Even where all returns of a group are equal
    and not 0, Aˢ is not: γ < 1 still prefers the faster way.

    ``dialect="paper"``: what the equations say. An invalid action costs ``invalid_penalty`` as part of its reward.

    ``dialect="authors"``: what the public code computes, in float64. (1) Mean and std of Aᴱ are over *turns*
    (``weight="turn"``, the shipped default), so long trajectories weigh more; with ``weight="trajectory"`` the first
    row of each trajectory, in row order, speaks for it. (2) The penalty is subtracted from the turn's own episode
    score and from its already discounted return, and from nothing else. (3) A group of one keeps its raw score as Aᴱ.
    (4) ``similarity`` is difflib's. Equal returns give 0; the code's float32 can give noise / 1e-6 there. The random
    rows that the code duplicates to fill a batch are not reproduced.

    Args:
      table: turns with anchors.
      gamma: discount per turn.
      step_weight: ω.
      scale: divide both parts by their standard deviation (ddof 1), or not.
      baseline: mean, or leave-one-out (the paper's "F_norm = 1" is meant to be it); "paper" only.
      weight: what counts once in Aᴱ; None for the dialect's default ("trajectory", or "turn" for "authors").
      invalid_penalty: cost of an invalid action, reward units.
      similarity: join states whose texts are at least so similar (see `anchor_groups`); None for equality.
      dialect: see above.
      eps: added to standard deviations.

    Returns:
      shape (N,); NaN where there is no verdict.
    """
    check_choice("dialect", dialect, ("paper", "authors"))
    if dialect == "authors":
        return _gigpo_of_the_code(table, gamma, step_weight, scale, weight or "turn", invalid_penalty, similarity, eps)
    if invalid_penalty:
        table = table.with_reward(table.reward_N - invalid_penalty * table.invalid_N)
    episode_N = group_relative(table, scale=scale, baseline=baseline, weight=weight or "trajectory", eps=eps)
    step_N = anchor_state(table, gamma=gamma, scale=scale, baseline=baseline, similarity=similarity, eps=eps)
    return episode_N + step_weight * step_N


def _gigpo_of_the_code(
    table: TurnTable,
    gamma: float,
    step_weight: float,
    scale: Scale,
    weight: Weight,
    invalid_penalty: float,
    similarity: float | None,
    eps: float,
) -> FloatN:
    check_choice("weight", weight, ("turn", "trajectory"))
    penalty_N = invalid_penalty * table.invalid_N
    score_N = episode_returns(table)[table.trajectory_N] - penalty_N
    speakers = np.arange(len(table)) if weight == "turn" else table.first_row_M
    moments = Moments.of(score_N[speakers], table.group_N[speakers], table.num_groups)
    is_alone_K = moments.count_K == 1
    mean_N = np.where(is_alone_K, 0.0, moments.mean_K)[table.group_N]
    std_N = np.where(is_alone_K, 1.0, moments.std_K)[table.group_N]
    episode_N = score_N - mean_N
    if scale == "std":
        episode_N /= std_N + eps
    key_N, count = anchor_groups(table, similarity=similarity, dialect="authors")
    step_N = normalise(discounted_returns(table, gamma) - penalty_N, key_N, count, scale=scale, eps=eps)
    return episode_N + step_weight * step_N
