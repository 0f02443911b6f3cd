"""Advantages of tree samplers: a trajectory against its tree, or against every subtree that it is a leaf of.

Axis suffixes: ``_N`` turns, ``_M`` trajectories, ``_K`` nodes of the forest.
"""

from typing import Literal

import numpy as np

from agentrl.credit.branches.forest import nodes, trees
from agentrl.credit.group_relative import Weight, row_weights
from agentrl.credit.normalise import Moments, Scale, normalise
from agentrl.credit.returns import episode_returns
from agentrl.credit.segments import FloatN, pair, sums
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import check_choice


@scored_rows
def tree_grpo(
    table: TurnTable, *, scale: Scale = "std", dialect: Literal["paper", "authors"] = "paper", eps: float = 1e-6
) -> FloatN:
    """Compare a trajectory with those of its tree and with those of its group.

    ``dialect="paper"``: the sum of both z-scores, (R - mean_tree)/(std_tree + ε) + (R - mean_group)/(std_group + ε).
    ``dialect="authors"``: what the code does, the group's z-scores normalised once more inside each tree; a tree of
    one keeps its group z-score (divided by 1 + ε), and a group of one its raw return. A tree is a root trajectory with
    all that was forked from it. Paper: Tree-GRPO, arXiv:2509.21240.
    """
    check_choice("dialect", dialect, ("paper", "authors"))
    tree_M, count = pair(table.group_M, trees(table))
    among_group_M = normalise(episode_returns(table), table.group_M, table.num_groups, scale=scale, eps=eps)
    if dialect == "paper":
        in_tree_M = normalise(episode_returns(table), tree_M, count, scale=scale, eps=eps)
        return (among_group_M + in_tree_M)[table.trajectory_N]
    moments = Moments.of(among_group_M, tree_M, count)
    alone_M = (moments.count_K == 1)[tree_M]
    is_lone_M = np.bincount(table.group_M, minlength=table.num_groups)[table.group_M] == 1
    raw_M = episode_returns(table) / (1.0 + eps if scale == "std" else 1.0)
    among_group_M = np.where(is_lone_M, raw_M, among_group_M)  # the code leaves the score of a group of one as it is
    again_M = normalise(among_group_M, tree_M, count, scale=scale, eps=eps)
    kept_M = among_group_M / (1.0 + eps) if scale == "std" else among_group_M
    return np.where(alone_M, kept_M, again_M)[table.trajectory_N]


@scored_rows
def treepo(
    table: TurnTable,
    *,
    variant: Literal["average", "size_weighted", "segment"] = "average",
    levels: Literal["turn", "branch"] = "turn",
    whiten: Weight | None = "token",
    eps: float = 1e-8,
) -> FloatN:
    """Compare a trajectory with every subtree that it is a leaf of. Paper: TreePO, arXiv:2508.17445.

        average        A_i = mean_d (R_i - mean(R_j : j in subtree d of i)), over subtrees of two or more leaves
        size_weighted  the same mean, each subtree weighed by its number of leaves
        segment        A at a turn = V(its node) - V(the node before), V = mean return of the leaves below

    Subtree 0 is the group. Differs from the paper: a segment, there 512 tokens, is a turn here. ``levels="branch"``
    counts a subtree once, where it begins, and not again at each turn until the next branch.

    ``whiten`` says what counts once in the batch's mean and standard deviation that A is normalised by at the end: a
    token (the code's masked tokens, those that branches share once for each; needs the column ``tokens``), a turn or a
    trajectory; None leaves A as it is.

    >>> table = TurnTable.from_columns(group=[0, 0], trajectory=[0, 1], turn=[0, 0], reward=[1, 0], tokens=[3, 1])
    >>> treepo(table).round(4)  # mean 1/4 and variance 1/4 over four tokens
    array([ 0.5, -1.5])
    """
    check_choice("variant", variant, ("average", "size_weighted", "segment"))
    check_choice("levels", levels, ("turn", "branch"))
    return_M = episode_returns(table)
    node_N, count = nodes(table)
    subtree = Moments.of(return_M[table.trajectory_N], node_N, count)
    group = Moments.of(return_M, table.group_M, table.num_groups)
    if variant == "segment":
        value_N = subtree.mean_K[node_N]
        advantage_N = value_N - _of_the_turn_before(table, value_N, group.mean_K[table.group_N])
    else:
        leaves_N, group_leaves_N = subtree.weight_K[node_N], group.weight_K[table.group_N]
        is_level_N = leaves_N > 1
        if levels == "branch":
            is_level_N &= leaves_N < _of_the_turn_before(table, leaves_N, group_leaves_N)
        by_size = variant == "size_weighted"
        weight_N = is_level_N * (leaves_N if by_size else np.ones(len(table)))
        weight_M = group.weight_K[table.group_M] if by_size else np.ones(table.num_trajectories)
        inner_N = weight_N * (return_M[table.trajectory_N] - subtree.mean_K[node_N])
        outer_M = weight_M * (return_M - group.mean_K[table.group_M])
        total_M, total_weight_M = (
            sums(part_N, table.trajectory_N, table.num_trajectories) + part_M
            for part_N, part_M in ((inner_N, outer_M), (weight_N, weight_M))
        )
        advantage_N = (total_M / total_weight_M)[table.trajectory_N]
    if whiten is None:
        return advantage_N
    one_batch_N = np.zeros(len(table), dtype=np.int64)
    return normalise(advantage_N, one_batch_N, 1, weight_I=row_weights(table, whiten), eps=eps)


def _of_the_turn_before(table: TurnTable, value_N: FloatN, first_N: FloatN) -> FloatN:
    """Return the value at the same trajectory's turn before, ``first`` at first turns."""
    before_N = table.before_N
    return np.where(before_N >= 0, value_N[before_N], first_N)
