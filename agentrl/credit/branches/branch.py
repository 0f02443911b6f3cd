"""Credit where trajectories were forked: what the turns of a shared prefix earn.

Axis suffixes: ``_N`` turns, ``_K`` nodes of the forest.
"""

from typing import Literal

from agentrl.credit.branches.forest import nodes
from agentrl.credit.group_relative import grpo
from agentrl.credit.normalise import scored_means
from agentrl.credit.segments import FloatN
from agentrl.credit.table import Base, TurnTable, base_advantages, scored_rows
from agentrl.errors import check_choice


@scored_rows
def branch_attribution(table: TurnTable, mode: Literal["hard", "soft"] = "hard", *, base: Base = grpo) -> FloatN:
    """Say what the turns of a shared prefix earn, where trajectories were forked.

    ``mode="hard"``: a turn that d trajectories share gets the mean of their d advantages in each of them; a turn of
    one's own keeps its own. ``mode="soft"``: every trajectory keeps its own advantage throughout. Soft is not hard in
    disguise: the loss sees a shared turn d times, each with its own advantage and clipped by its own sign.

    Paper: ARPO, arXiv:2507.19849, whose default and public code is soft. Matches the paper for both.

    Args:
      table: turns; trajectories forked from others have ``parent`` and ``branch_turn`` and repeat the shared turns.
      mode: see above.
      base: advantages to attribute, an array (N,) or the estimator; NaN is not scored and enters no mean.

    >>> table = TurnTable.from_columns(group=[0] * 4, trajectory=["a", "a", "b", "b"], turn=[0, 1, 0, 1],
    ...     reward=[0, 1, 0, 0], parent=[None, None, "a", "a"], branch_turn=[0, 0, 1, 1])
    >>> branch_attribution(table, base=lambda table: table.trajectory_N * -4.0 + 1.0)
    array([-1.,  1., -1., -3.])
    """
    check_choice("mode", mode, ("hard", "soft"))
    base_N = base_advantages(table, base, masked=True)
    if mode == "soft":
        return base_N
    node_N, count = nodes(table)
    return scored_means(base_N, node_N, count)
