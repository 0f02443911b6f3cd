"""The figures of docs/credit.md, from the library's own functions: python docs/figures/make_figures.py

Four episodes of a hand-made task, "find the apple": two find it, one of them after a detour, and two do not. A cell is
a turn with the state it starts from; its colour and number are what the turn earns. Axis suffix: ``_N`` turns.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import networkx
import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from agentrl import credit
from agentrl.credit.branches.forest import nodes

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).parent
INK, FAINT = "#1f2430", "#6b7280"
STATE_COLOURS = {"hall": "#56b4e9", "kitchen": "#e69f00", "fridge": "#009e73", "cellar": "#cc79a7"}
FloatN = NDArray[np.float64]

WALKS: dict[str, list[tuple[str, str]]] = {
    "found": [("hall", "go kitchen"), ("kitchen", "open fridge"), ("fridge", "take apple")],
    "found late": [
        ("hall", "go cellar"),
        ("cellar", "go hall"),
        ("hall", "go kitchen"),
        ("kitchen", "open fridge"),
        ("fridge", "take apple"),
    ],
    "went back": [("hall", "go kitchen"), ("kitchen", "go hall"), ("hall", "go cellar"), ("cellar", "wait")],
    "waited": [("hall", "go cellar"), ("cellar", "wait"), ("cellar", "wait")],
}


def example() -> credit.TurnTable:
    """Return the four episodes; entropies and log-probs are hand-made too, early turns the least certain."""
    rows = [
        (name, turn, state, action, walk[turn + 1][0] if turn + 1 < len(walk) else None, len(walk))
        for name, walk in WALKS.items()
        for turn, (state, action) in enumerate(walk)
    ]
    name, turn, state, action, after, length = map(list, zip(*rows, strict=True))
    return credit.TurnTable.from_columns(
        group=["apple"] * len(rows),
        trajectory=name,
        turn=turn,
        reward=[float(n.startswith("found") and t == size - 1) for n, t, size in zip(name, turn, length, strict=True)],
        anchor=state,
        action=action,
        next_anchor=after,
        tokens=[4] * len(rows),
        entropy=[1.2 / (1 + t) for t in turn],
        logprob=[-1.0 if n == "found late" else -0.4 for n in name],
    )


def branched() -> credit.TurnTable:
    """Return a forest: two episodes from the start, one branch of each, and a branch of a branch."""
    paths = {
        "root": (None, 0, 4, 0.0),
        "branch": ("root", 2, 4, 1.0),
        "of the branch": ("branch", 3, 5, 0.0),
        "other root": (None, 0, 3, 0.0),
        "its branch": ("other root", 1, 4, 1.0),
    }
    rows = [
        (name, turn, reward if turn == size - 1 else 0.0, parent, at)
        for name, (parent, at, size, reward) in paths.items()
        for turn in range(size)
    ]
    name, turn, reward, parent, at = map(list, zip(*rows, strict=True))
    return credit.TurnTable.from_columns(
        group=["g"] * len(rows), trajectory=name, turn=turn, reward=reward, parent=parent, branch_turn=at
    )


# -- drawing -----------------------------------------------------------------------------------------------------------


def names(table: credit.TurnTable, labels: Sequence[str]) -> list[str]:
    """Return the names of the trajectories with their returns."""
    returns = np.bincount(table.trajectory_N, table.reward_N)
    return [f"{label}  ({value:g})" for label, value in zip(labels, returns, strict=True)]


def cells(axis: Any, table: credit.TurnTable, value_N: FloatN, title: str, limit: float) -> None:
    """Draw a cell per turn: purple earns, orange costs, grey is not scored."""
    colours = matplotlib.colormaps["PuOr_r"].reversed()
    for row, column, value in zip(table.trajectory_N, table.turn_N, value_N, strict=True):
        is_scored = np.isfinite(value)
        shade = colours(0.5 + 0.27 * value / limit) if is_scored else "#eceef1"
        axis.add_patch(Rectangle((column + 0.03, row + 0.06), 0.94, 0.88, facecolor=shade, edgecolor="none"))
        text = f"{value:+.2f}".replace("-0.00", "0").replace("+0.00", "0") if is_scored else "–"
        axis.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, color=INK)
    frame(axis, table, title)


def frame(axis: Any, table: credit.TurnTable, title: str) -> None:
    """Set the axes of a panel of cells."""
    axis.set(xlim=(0, table.turn_N.max() + 1), ylim=(table.num_trajectories, 0))
    axis.set_xticks(np.arange(table.turn_N.max() + 1) + 0.5, range(table.turn_N.max() + 1))
    axis.set_yticks(np.arange(table.num_trajectories) + 0.5, [""] * table.num_trajectories)
    axis.set_title(title, fontsize=10, color=INK)
    bare(axis)


def bare(axis: Any) -> None:
    """Take away spines and ticks."""
    axis.tick_params(length=0, colors=FAINT, labelsize=8.5)
    for spine in axis.spines.values():
        spine.set_visible(False)


def states(axis: Any, table: credit.TurnTable, title: str) -> None:
    """Draw a cell per turn with the state that it starts from."""
    for row, column, anchor in zip(table.trajectory_N, table.turn_N, table.need("anchor"), strict=True):
        state = str(table.anchor_labels[anchor])
        axis.add_patch(Rectangle((column + 0.03, row + 0.06), 0.94, 0.88, facecolor=STATE_COLOURS[state], alpha=0.5))
        axis.text(column + 0.5, row + 0.5, state, ha="center", va="center", fontsize=8, color=INK)
    frame(axis, table, title)


def panels(count: int, columns: int, width: float = 3.1, height: float = 1.75) -> tuple[Any, list[Any]]:
    """Return a figure with panels in a grid."""
    rows = -(-count // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(width * columns + 0.9, height * rows + 0.2), squeeze=False)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def compare(name: str, table: credit.TurnTable, values: dict[str, FloatN], labels: Sequence[str], columns: int) -> None:
    """Write a figure with one panel of cells per estimator, all on one scale."""
    figure, axes = panels(len(values), columns)
    limit = max(float(np.nanmax(np.abs(value_N))) for value_N in values.values())
    for axis, (title, value_N) in zip(axes, values.items(), strict=True):
        cells(axis, table, value_N, title, limit)
    for axis in axes[::columns]:
        axis.set_yticklabels(names(table, labels), color=INK)
    save(figure, name)


def save(figure: Any, name: str) -> None:
    """Write a figure beside this script."""
    figure.savefig(FOLDER / f"{name}.png", dpi=130, facecolor="white")
    pyplot.close(figure)
    print(FOLDER / f"{name}.png")


# -- the figures -------------------------------------------------------------------------------------------------------


def group_relative(table: credit.TurnTable) -> None:
    """One number per episode, compared with the group."""
    values = {
        "grpo: z-score": credit.grpo(table),
        "dr_grpo: minus the mean": credit.dr_grpo(table),
        "rloo: minus the mean of the others": credit.rloo(table),
        "opo: minus the mean weighed by length": credit.opo(table),
    }
    compare("credit_group_relative", table, values, list(WALKS), 2)


def anchor_states(table: credit.TurnTable) -> None:
    """Turns that start from the same state are compared with each other."""
    figure, axes = panels(4, 2)
    values = {
        "anchor_state: return from here on, γ = 0.9": credit.anchor_state(table, gamma=0.9, scale="none"),
        "gigpo: the episode's advantage as well": credit.gigpo(table, gamma=0.9, scale="none"),
        "hgpo: states with the same past weigh more": credit.hgpo(table, gamma=0.9),
    }
    states(axes[0], table, "states: equal colours are compared")
    limit = max(float(np.abs(value_N).max()) for value_N in values.values())
    for axis, (title, value_N) in zip(axes[1:], values.items(), strict=True):
        cells(axis, table, value_N, title, limit)
    for axis in axes[::2]:
        axis.set_yticklabels(names(table, list(WALKS)), color=INK)
    save(figure, "credit_anchor_states")


def graph(table: credit.TurnTable) -> None:
    """SALT: the episodes merged into a graph, and credit averaged over equal transitions."""
    base_N = credit.grpo(table)
    figure, axes = panels(3, 3, width=3.5, height=2.4)
    drawn = credit.trajectory_graph(table, history=1, advantages=base_N)
    draw_graph(axes[0], drawn, table)
    limit = float(np.abs(base_N).max())
    cells(axes[1], table, base_N, "base: grpo", limit)
    cells(axes[2], table, credit.salt(table, base=base_N, history=1), "salt, history 1", limit)
    axes[1].set_yticklabels(names(table, list(WALKS)), color=INK)
    save(figure, "credit_graph")


def draw_graph(axis: Any, drawn: Any, table: credit.TurnTable) -> None:
    """Draw a trajectory graph left to right by turn; edges by mean advantage, wide where transitions were merged."""
    layers: dict[int, list[int]] = {}
    for node, data in drawn.nodes(data=True):
        layers.setdefault(data["turn"], []).append(node)
    places = {n: (turn, i - (len(layer) - 1) / 2) for turn, layer in layers.items() for i, n in enumerate(layer)}
    edges = list(drawn.edges(data=True))
    after = {target: table.anchor_labels[table.need("next_anchor")[data["rows"][0]]] for _, target, data in edges}
    networkx.draw_networkx_nodes(drawn, places, ax=axis, node_size=70, node_color="white", edgecolors=INK)
    networkx.draw_networkx_edges(
        drawn,
        places,
        edgelist=[(a, b) for a, b, _ in edges],
        ax=axis,
        width=[0.4 + 1.3 * data["count"] for *_, data in edges],
        edge_color=[edge_colour(data["advantage"]) for *_, data in edges],
        arrowsize=9,
        node_size=70,
        connectionstyle="arc3,rad=0.14",
    )
    for node, (x, y) in places.items():
        text = "hall, start" if drawn.nodes[node]["root"] else str(after[node] or "end")
        axis.text(x, y + 0.17, text, fontsize=8, color=INK, ha="center", va="bottom")
    axis.set_title("trajectory_graph: equal transitions are one edge", fontsize=10, color=INK)
    axis.margins(0.16)
    bare(axis)


def edge_colour(advantage: float) -> str:
    """Return purple for what earns, orange for what costs, grey for what does neither."""
    return "#9aa1ad" if abs(advantage) < 0.05 else "#7b5aa6" if advantage > 0 else "#e08a2e"


def branches() -> None:
    """Turns that branches share are outlined: soft leaves everyone their own, hard gives all the mean."""
    table = branched()
    labels = ["root", "branch", "of the branch", "other root", "its branch"]
    values = {
        "base: grpo": credit.grpo(table),
        "branch_attribution, hard": credit.branch_attribution(table, "hard"),
        "tree_grpo: against the tree as well": credit.tree_grpo(table),
        "treepo, segment: what a turn adds": credit.treepo(table, variant="segment", whiten=None),
    }
    figure, axes = panels(4, 2, height=2.0)
    node_N, count = nodes(table)
    shared_N = np.bincount(node_N, minlength=count)[node_N] > 1
    for axis, (title, value_N) in zip(axes, values.items(), strict=True):
        cells(axis, table, value_N, title, max(1.0, float(np.abs(value_N).max())))
        for row, column in zip(table.trajectory_N[shared_N], table.turn_N[shared_N], strict=True):
            box = Rectangle((column + 0.03, row + 0.06), 0.94, 0.88, facecolor="none", edgecolor=INK, linewidth=1.2)
            axis.add_patch(box)
    for axis in axes[::2]:
        axis.set_yticklabels(names(table, labels), color=INK)
    save(figure, "credit_branches")


def discounts() -> None:
    """One episode of three turns and twelve tokens, a reward of 1 at its end, under four kinds of time."""
    ends = np.zeros(12, dtype=bool)
    ends[[3, 7, 11]] = True
    reward_N = np.where(np.arange(12) == 11, 1.0, 0.0)
    value_N, one = np.linspace(0.1, 0.5, 12), np.zeros(12, dtype=np.int64)
    discount_N = credit.turn_discounts(ends, 0.8)
    lines = {
        "gae: tokens, γ = λ = 0.8": credit.gae(reward_N, value_N, one, discount=0.8, lam=0.8)[0],
        "gae: tokens, γ = 1, λ = 1": credit.gae(reward_N, value_N, one, discount=1.0, lam=1.0)[0],
        "gae with turn_discounts: γ = λ = 0.8 at turn ends only": credit.gae(
            reward_N, value_N, one, discount=discount_N, lam=discount_N
        )[0],
        "bilevel_gae: turns γ = λ = 0.8, then tokens γ = λ = 1": credit.bilevel_gae(
            reward_N, value_N, one, ends, gamma_turn=0.8, lam_turn=0.8, gamma_token=1.0, lam_token=1.0
        )[0],
    }
    figure, axis = pyplot.subplots(figsize=(8.2, 3.4), layout="constrained")
    for (label, value), colour, marker in zip(
        lines.items(), ("#d55e00", "#6b7280", "#0072b2", "#009e73"), "osD^", strict=True
    ):
        axis.plot(value, color=colour, marker=marker, markersize=5, label=label)
    for turn, start in enumerate((0, 4, 8)):
        axis.axvspan(start - 0.5, start + 3.5, color="#eef1f5" if turn % 2 == 0 else "white", zorder=0)
        axis.text(start + 1.5, 0.04, f"turn {turn}", transform=axis.get_xaxis_transform(), ha="center", color=FAINT)
    axis.set(xlabel="token", ylabel="advantage", xlim=(-0.5, 11.5), xticks=range(12), ylim=(-0.35, 1.45))
    axis.legend(fontsize=8.5, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.0))
    axis.axhline(0, color="#c9ced6", linewidth=0.8, zorder=1)
    bare(axis)
    save(figure, "credit_discounts")


def transforms(table: credit.TurnTable) -> None:
    """What transforms make of GRPO; early turns are the least certain, "found late" the least likely episode."""
    values = {
        "base: grpo": credit.grpo(table),
        "empg: confident turns strengthened": credit.empg(table, base=credit.grpo),
        "d3s: the two most different episodes": credit.d3s(table, base=credit.grpo, keep=2),
        "unlikeliness, then grpo": credit.grpo(credit.unlikeliness(table)),
    }
    compare("credit_transforms", table, values, list(WALKS), 2)


def main() -> None:
    """Write all figures."""
    pyplot.rcParams.update({"font.size": 9, "text.color": INK, "axes.labelcolor": INK})
    table = example()
    for figure in (group_relative, anchor_states, graph, transforms):
        figure(table)
    branches()
    discounts()


if __name__ == "__main__":
    sys.exit(main())
