"""BRPO: each episode of a group is better than a random other one, or it is not.

Axis suffixes: ``_M`` trajectories, ``_K`` groups.
"""

from collections.abc import Callable

import numpy as np

from agentrl.credit.returns import episode_returns
from agentrl.credit.segments import FloatN, IntN, sums
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import ConfigError
from agentrl.seeding import generator

Judge = Callable[[TurnTable, IntN, IntN], FloatN]
"""Called with turns and two arrays of their trajectory codes; returns for each pair a positive number if the first is
better, a negative one if the second is, 0 if it cannot tell."""


def by_return(table: TurnTable, one_M: IntN, other_M: IntN) -> FloatN:
    """Judge trajectories by their returns.

    >>> table = TurnTable.from_columns(group=[0, 0], trajectory=[0, 1], turn=[0, 0], reward=[1, 3])
    >>> by_return(table, np.array([0, 1]), np.array([1, 1]))
    array([-1.,  0.])
    """
    returns_M = episode_returns(table)
    return np.sign(returns_M[one_M] - returns_M[other_M])


@scored_rows
def brpo(table: TurnTable, *, seed: int, judge: Judge = by_return, tie: float = -1.0, max_skew: float = 0.6) -> FloatN:
    """+1 for an episode that beats a random member of its group, -1 for one that does not, 0 for that member.

    The votes are the advantages: nothing is normalised. A group that votes too much alike, |Σ votes| / G > max_skew,
    is not scored (NaN): its reference was too good or too bad to tell the others apart. Paper: Writing-Zero (BRPO,
    bootstrapped relative policy optimization), arXiv:2506.00103, where a generative model judges each pair in both
    orders; the default judge compares returns.

    Args:
      table: turns.
      seed: of the references; each group draws from a stream of its own, named by its label.
      judge: says which of two episodes is better.
      tie: vote where the judge cannot tell; the paper leaves open whether it is 0 or -1.
      max_skew: see above; 1 keeps every group.

    Returns:
      shape (N,), dimensionless, the same for each turn of a trajectory; NaN where there is no verdict.

    Raises:
      ConfigError: ``max_skew`` is not between 0 and 1.

    >>> table = TurnTable.from_columns(group=[0, 0], trajectory=[0, 1], turn=[0, 0], reward=[0, 1])
    >>> sorted(set(np.abs(brpo(table, seed=0)).tolist()))
    [0.0, 1.0]
    """
    if not 0.0 <= max_skew <= 1.0:
        raise ConfigError(f"max_skew is {max_skew}: it is a share of the group, 0 to 1")
    group_M, size = table.group_M, table.num_groups
    own_M = np.arange(table.num_trajectories)
    reference_M = _references(table, seed)[group_M]
    vote_M = judge(table, own_M, reference_M)
    advantage_M = np.where(vote_M > 0, 1.0, np.where(vote_M < 0, -1.0, tie))
    advantage_M[own_M == reference_M] = 0.0
    skew_K = np.abs(sums(advantage_M, group_M, size)) / np.maximum(1, np.bincount(group_M, minlength=size))
    return np.where(skew_K[group_M] > max_skew, np.nan, advantage_M)[table.trajectory_N]


def _references(table: TurnTable, seed: int) -> IntN:
    """Return a random trajectory of each group, shape (K,); any number where a group has none."""
    group_M = table.group_M
    order = np.argsort(group_M, kind="stable")
    size_K = np.bincount(group_M, minlength=table.num_groups)
    start_K = size_K.cumsum() - size_K
    share_K = np.array([generator(seed, "brpo", str(label)).random() for label in table.group_labels[: len(size_K)]])
    return np.append(order, 0)[start_K + (share_K * size_K).astype(np.int64)]
