"""HAPO's advantage: every token carries the return of its episode into the group's statistics.

Axis suffix: ``_N`` turns.
"""

import numpy as np

from agentrl.credit.group_relative import group_relative
from agentrl.credit.segments import FloatN
from agentrl.credit.table import TurnTable, scored_rows


@scored_rows
def hapo(table: TurnTable, *, outlier: float = 5.0, ddof: int = 0, eps: float = 1e-6) -> FloatN:
    """Group z-score of the return with mean and standard deviation over the tokens of the group.

        A_i = (S_i - Σ_j l_j S_j / Σ_j l_j) / (std over tokens + eps)

    A group in which some |A| >= ``outlier`` takes GRPO's advantage: a short episode among long ones would dominate the
    update; its standard deviation is the unbiased one. With equal lengths A is GRPO's up to the degrees of freedom.
    Paper: HAPO (heterogeneous adaptive policy optimization), arXiv:2509.16591, token-level group average, as in its
    public code, standard deviations included.

    Args:
      table: turns with ``tokens``.
      outlier: see above, standard deviations.
      ddof: 0 for the variance of the population of tokens, 1 for the unbiased one.
      eps: added to the standard deviation, reward units.

    >>> table = TurnTable.from_columns(group=[0, 0], trajectory=[0, 1], turn=[0, 0], reward=[0, 4], tokens=[3, 1])
    >>> hapo(table, eps=0.0).round(4)  # mean 1, variance 3
    array([-0.5774,  1.7321])
    """
    by_token_N = group_relative(table, weight="token", ddof=ddof, eps=eps)
    is_wild_K = np.zeros(table.num_groups, dtype=bool)
    is_wild_K[table.group_N[np.abs(by_token_N) >= outlier]] = True
    return np.where(is_wild_K[table.group_N], group_relative(table, eps=eps), by_token_N)
