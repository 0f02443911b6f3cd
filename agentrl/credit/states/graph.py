"""The graph of a group's trajectories: identical transitions merged, and credit averaged over them (SALT).

Axis suffixes: ``_N`` turns; ``_2N`` turns before and after their action.
"""

from typing import TYPE_CHECKING

import numpy as np

from agentrl.credit.normalise import scored_means
from agentrl.credit.segments import FloatN, IntN, pair, tuples
from agentrl.credit.table import ROOT, Base, TurnTable, base_advantages, scored_rows
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    import networkx


def turn_windows(table: TurnTable, length: int) -> list[IntN]:
    """Return codes of the (action, following state) of each turn and of the ``length - 1`` turns before it.

    One column of shape (N,) for each place, the turn itself first; `ROOT` before the start of the episode.
    """
    pair_N, _ = pair(table.need("action"), table.need("next_anchor"))
    return table.look_back(pair_N, length)


def transitions(table: TurnTable, history: int) -> tuple[IntN, int]:
    """Return the merged transition (state before, action, state after) of each turn, and how many there are.

    A state is the last ``history`` (action, following state) pairs, shorter at the start of the episode. Two turns
    make the same transition iff they are in the same group and agree in their own pair and the ``history`` before it.
    """
    if history < 1:
        raise ConfigError(f"history is {history}: a state is at least the last action and what followed it")
    return tuples([table.group_N, *turn_windows(table, history + 1)])


@scored_rows
def salt(table: TurnTable, *, base: Base, history: int = 3) -> FloatN:
    """Average the advantage over every occurrence of the same transition in the group.

        A'_t = mean(A_u : u makes the same transition as t),   transition = (s_{t-1}, a_t, s_t)
        s_t = the last ``history`` (action, following state) pairs

    The sum over turns stays the same; turns that winners and losers share go to their average. Nothing changes if
    nothing repeats. A large ``history`` merges only common prefixes. A turn whose following state is unknown (None in
    ``next_anchor``, as after the last turn) is never merged, nor are the turns that remember it.

    Paper: SALT, arXiv:2510.20022. No code of its authors is public; this is the rule as two independent readers state
    it, including ``history=3``. Left open there and chosen here: the first turns share a root, and a following state is
    the column ``next_anchor``, compared exactly.

    Args:
      table: turns with ``action`` and ``next_anchor``.
      base: trajectory advantages, usually `grpo` or `rloo`: an array (N,), or the estimator itself.
      history: pairs that make a state, at least 1.

    Returns:
      shape (N,), unit of ``base``; NaN where there is no verdict, and where ``base`` scores no turn: such turns are
      not averaged.

    >>> table = TurnTable.from_columns(group=[0, 0], trajectory=[0, 1], turn=[0, 0], reward=[1, 0],
    ...     action=["go", "go"], next_anchor=["hall", "hall"])
    >>> salt(table, base=np.array([1.0, -3.0]))
    array([-1., -1.])
    """
    base_N = base_advantages(table, base, masked=True)
    transition_N, count = transitions(table, history)
    return scored_means(base_N, transition_N, count)


def trajectory_graph(
    table: TurnTable, *, history: int = 3, advantages: FloatN | None = None
) -> "networkx.MultiDiGraph":
    """Return the graph that `salt` averages over, for looking at and plotting. Needs networkx.

    Nodes are states, numbered, with ``group`` (its label), ``root`` (True where episodes start), ``turn`` (the earliest
    one that leads there, 0 for a root) and ``visits`` (how often an episode was there). Edges are merged transitions,
    keyed by number, with ``action`` (its label), ``rows`` (of the table), ``count`` (how many turns were merged) and,
    if advantages are given, ``advantage`` (their mean).
    Rows without a verdict are left out.
    """
    try:
        import networkx
    except ImportError as error:
        raise ConfigError("trajectory_graph needs networkx: pip install networkx") from error
    edge_N, _ = transitions(table, history)
    window = turn_windows(table, history + 1)
    before, after = [table.group_N, *window[1:]], [table.group_N, *window[:-1]]
    node_2N, _ = tuples([np.concatenate(columns) for columns in zip(before, after, strict=True)])
    source_N, target_N = node_2N[: len(table)], node_2N[len(table) :]
    action_N = table.need("action")
    graph = networkx.MultiDiGraph()
    in_time = table.order_N[np.argsort(table.turn_N[table.order_N], kind="stable")]
    for row in in_time[table.verdict_N[in_time]].tolist():
        source, target, edge = int(source_N[row]), int(target_N[row]), int(edge_N[row])
        label, turn = table.group_labels[table.group_N[row]], int(table.turn_N[row])
        if source not in graph:
            graph.add_node(source, group=label, root=bool(window[1][row] == ROOT), turn=turn, visits=0)
        if target not in graph:
            graph.add_node(target, group=label, root=False, turn=turn + 1, visits=0)
        if not graph.has_edge(source, target, key=edge):
            graph.add_edge(source, target, key=edge, action=table.action_labels[action_N[row]], rows=[], count=0)
        graph.nodes[target]["visits"] += 1
        graph.nodes[source]["visits"] += int(window[1][row] == ROOT)
        data = graph.edges[source, target, edge]
        data["rows"].append(row)
        data["count"] += 1
    if advantages is not None:
        for *_, data in graph.edges(data=True):
            data["advantage"] = float(advantages[data["rows"]].mean())
    return graph
