"""Episode advantages: a trajectory's return against those of its group, the same for all its turns.

Axis suffixes: ``_N`` turns, ``_M`` trajectories.
"""

from typing import Literal

import numpy as np

from agentrl.credit.normalise import Baseline, Scale, normalise
from agentrl.credit.returns import discounted_returns, episode_returns
from agentrl.credit.segments import FloatN, sums
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import check_choice

Weight = Literal["trajectory", "turn", "token"]


def row_weights(table: TurnTable, weight: Weight) -> FloatN:
    """How much each turn counts, shape (N,): its share of its trajectory, 1, or its number of tokens."""
    check_choice("weight", weight, ("trajectory", "turn", "token"))
    if weight == "token":
        return table.need("tokens")
    if weight == "turn":
        return np.ones(len(table))
    return 1.0 / np.bincount(table.trajectory_N)[table.trajectory_N]


@scored_rows
def group_relative(
    table: TurnTable,
    *,
    scale: Scale = "std",
    baseline: Baseline = "mean",
    weight: Weight = "trajectory",
    ddof: int = 1,
    eps: float = 1e-6,
) -> FloatN:
    """How much better a trajectory did than its group, the same number for each of its turns.

        A_i = (S_i - b_i) / (std(S_j : j in group of i) + eps),   S_i = Σ_t r_{i,t}

    A group of one and a group of equal returns give exactly 0.

    Args:
      table: turns.
      scale: divide by the group's standard deviation, or not.
      baseline: mean of the group, or of the other members.
      weight: what counts once in mean and std: a trajectory, a turn (long trajectories weigh more) or a token.
      ddof: 1 for the unbiased variance.
      eps: added to the standard deviation, reward units.

    Returns:
      shape (N,), dimensionless with ``scale="std"``, else reward units; NaN where there is no verdict.

    >>> table = TurnTable.from_columns(group=[0, 0, 0], trajectory=[0, 1, 1], turn=[0, 0, 1], reward=[1, 0, 3])
    >>> group_relative(table, scale="none")
    array([-1.,  1.,  1.])
    """
    check_choice("weight", weight, ("trajectory", "turn", "token"))
    weight_M = None
    if weight != "trajectory":
        weight_M = sums(row_weights(table, weight), table.trajectory_N, table.num_trajectories)
    advantage_M = normalise(
        episode_returns(table),
        table.group_M,
        table.num_groups,
        weight_I=weight_M,
        scale=scale,
        baseline=baseline,
        ddof=ddof,
        eps=eps,
    )
    return advantage_M[table.trajectory_N]


def grpo(table: TurnTable, *, weight: Weight = "trajectory", ddof: int = 1, eps: float = 1e-6) -> FloatN:
    """Group z-score of the return: A = (S - mean) / (std + eps). Paper: DeepSeekMath, arXiv:2402.03300, sec. 4.1.2.

    The paper leaves the kind of standard deviation open; the default is the unbiased one, as in verl.
    """
    return group_relative(table, weight=weight, ddof=ddof, eps=eps)


def dr_grpo(table: TurnTable, *, weight: Weight = "trajectory") -> FloatN:
    """Group-centred return without the division by the std, A = S - mean. Paper: Dr. GRPO, arXiv:2503.20783.

    Its other half is a loss summed over tokens and divided by a constant: `agentrl.losses.token_weights`.
    """
    return group_relative(table, scale="none", weight=weight)


def rloo(table: TurnTable) -> FloatN:
    """Return minus the mean of the *other* trajectories of the group, A = G/(G-1) (S - mean).

    Paper: Back to Basics, arXiv:2402.14740. A group of one gives 0 (some implementations leave the raw return).
    """
    return group_relative(table, scale="none", baseline="leave_one_out")


def opo(table: TurnTable, *, length: Literal["token", "turn"] = "token") -> FloatN:
    """Return minus the length-weighted mean of the group, A = S - Σ l S / Σ l. Paper: OPO, arXiv:2505.23585.

    The weighted mean is the baseline of least variance if the squared gradient norm grows with the length l. Lengths
    are tokens (column ``tokens``), or turns where tokens are not known.
    """
    return group_relative(table, scale="none", weight=length)


@scored_rows
def reinforce_plus_plus(
    table: TurnTable,
    *,
    gamma: float = 1.0,
    group_baseline: bool = False,
    weight: Weight = "turn",
    eps: float = 1e-8,
) -> FloatN:
    """Returns-to-go, or group-centred returns, whitened over the whole batch.

        A = (x - mean_batch x) / (std_batch x + eps),   x = Σ_{k≥t} γ^{k-t} r_k,   or   x = S - mean_group S

    Paper: REINFORCE++, arXiv:2501.03262. Differs from it: the KL penalty in the reward belongs to tokens and is not
    added here, and statistics are over turns unless ``weight="token"`` (the paper's, needs the column ``tokens``).
    A batch of equal values gives 0.
    """
    value_N = dr_grpo(table) if group_baseline else discounted_returns(table, gamma)
    one_batch_N = np.zeros(len(table), dtype=np.int64)
    return normalise(value_N, one_batch_N, 1, weight_I=row_weights(table, weight), eps=eps)
