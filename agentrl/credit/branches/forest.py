"""The forest of branched trajectories: which turns are the same turn, and which trajectories share them.

A trajectory's rows include those of its shared prefix: its turns before ``branch_turn`` are its parent's.
"""

import numpy as np

from agentrl.credit.segments import IntN, pair
from agentrl.credit.table import TurnTable
from agentrl.errors import DataError


def origins(table: TurnTable) -> IntN:
    """Return, for each row, the trajectory whose own turn it is: shared prefixes are followed to where they began.

    Without the column ``parent`` every turn is its own trajectory's.

    Raises:
      DataError: parents form a circle.
    """
    if table.parent_N is None or table.branch_turn_N is None:
        return table.trajectory_N
    parent_M, branch_turn_M = parents(table)
    owner_N = table.trajectory_N.copy()
    for _ in range(len(parent_M) + 1):
        shared = (parent_M[owner_N] >= 0) & (table.turn_N < branch_turn_M[owner_N])
        if not shared.any():
            return owner_N
        owner_N[shared] = parent_M[owner_N[shared]]
    row = int(np.flatnonzero(shared)[0])
    raise DataError(f"the parents of row {row}'s trajectory form a circle: a trajectory is forked from an earlier one")


def parents(table: TurnTable) -> tuple[IntN, IntN]:
    """Return parent and branch turn of each trajectory; codes beyond those in the table stand for absent ones."""
    parent_N, branch_turn_N = table.need("parent"), table.need("branch_turn")
    size = max(table.num_trajectories, int(parent_N.max(initial=-1)) + 1)
    parent_M, branch_turn_M = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.int64)
    parent_M[table.trajectory_N] = parent_N
    branch_turn_M[table.trajectory_N] = branch_turn_N
    return parent_M, branch_turn_M


def nodes(table: TurnTable) -> tuple[IntN, int]:
    """Return the node of the forest that each row is, dense codes, and their number: copies of a turn share one."""
    return pair(origins(table), table.turn_N)


def trees(table: TurnTable) -> IntN:
    """Return the root trajectory of each trajectory, shape (M,)."""
    if table.parent_N is None:
        return np.arange(table.num_trajectories)
    parent_M, _ = parents(table)
    root_M = np.arange(len(parent_M))
    for _ in range(len(parent_M) + 1):
        above_M = parent_M[root_M]
        if (above_M < 0).all():
            return root_M[: table.num_trajectories]
        root_M = np.where(above_M >= 0, above_M, root_M)
    raise DataError("parents form a circle: a trajectory is forked from an earlier one")
