"""A picture of one group's forest: lanes of trajectories, coloured by entropy."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize

from agentrl.env import Outcome
from agentrl.viewer.colours import ENTROPY_STOPS, FAINT, INK, OUTCOME_COLOURS, PAPER, most_entropy
from agentrl.viewer.layout import Layout, Line

matplotlib.use("Agg")
from matplotlib import pyplot

ENTROPY_MAP = LinearSegmentedColormap.from_list("entropy", ENTROPY_STOPS)
MARKERS = {Outcome.SUCCESS: "o", Outcome.FAILURE: "X", Outcome.TRUNCATED: "s"}
LABELLED_COLUMNS = 10
"""With more turns than this there is no room for the actions."""
BEND = 0.42
"""Share of a column that a branch takes to reach its own lane."""


def draw_forest(layout: Layout, path: Path, title: str) -> None:
    """Write a PNG of a forest: a line per turn, its colour the turn's entropy and its width how many share it."""
    has_labels = layout.num_columns <= LABELLED_COLUMNS
    column_inches = 1.3 if has_labels else max(0.3, 10 / layout.num_columns)
    size = (1.9 + column_inches * layout.num_columns, 1.5 + 0.44 * layout.height)
    figure, axis = pyplot.subplots(figsize=size, layout="constrained")
    lines = sorted(layout.lines, key=lambda line: line.row == line.from_row)  # curves first, lanes over them
    entropies = np.array([line.turn.mean_entropy for line in lines])
    drawn = LineCollection(
        [_curve(line) for line in lines],
        cmap=ENTROPY_MAP,
        norm=Normalize(0, most_entropy(entropies.tolist())),
        linewidths=[2.2 + 1.3 * np.log2(line.multiplicity) for line in lines],
        linestyles=["solid" if line.turn.action_valid else (0, (2, 1.2)) for line in lines],
        capstyle="butt",
        zorder=2,
    )
    drawn.set_array(entropies)
    axis.add_collection(drawn)
    if has_labels:
        _label_actions(axis, layout)
    _mark_states(axis, layout)
    _mark_ends(axis, layout)
    axis.set(xlim=(-0.35, layout.num_columns + 0.5), ylim=(layout.height - 0.35, -0.75))
    axis.set_xticks(range(layout.num_columns + 1))
    axis.set_yticks([])
    axis.set_xlabel("turns", color=INK)
    axis.tick_params(length=0, colors=INK)
    axis.grid(axis="x", color="#eceef2", zorder=0)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.set_title(title, loc="left", color=INK, fontsize=11.5, pad=24)
    axis.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=5,
        frameon=False,
        fontsize=9,
        handletextpad=0.2,
        columnspacing=1.4,
        markerscale=0.85,
    )
    figure.colorbar(drawn, ax=axis, shrink=0.75, pad=0.005, aspect=24, label="entropy of a turn, nats")
    figure.savefig(path, dpi=140, facecolor=PAPER, format="png")
    pyplot.close(figure)


def _curve(line: Line) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the points of a turn's line: straight in its lane, or an S from the parent's lane and then straight."""
    column = line.turn.index
    if line.row == line.from_row:
        return np.array([[column, line.row], [column + 1, line.row]], np.float64)
    s = np.linspace(0, 1, 24)
    rise = s * s * (3 - 2 * s)
    bend = np.stack([column + BEND * s, line.from_row + (line.row - line.from_row) * rise], axis=1)
    return np.concatenate([bend, [[column + 1, line.row]]])


def _label_actions(axis: Any, layout: Layout) -> None:
    for line in layout.lines:
        is_curve = line.row != line.from_row
        start, letters = (line.turn.index + BEND, 11) if is_curve else (line.turn.index + 0.13, 17)
        text = line.turn.action if len(line.turn.action) <= letters else line.turn.action[: letters - 1].rstrip() + "…"
        axis.text(start, line.row - 0.14, text, fontsize=7.6, color=INK, va="bottom", zorder=4)


def _mark_states(axis: Any, layout: Layout) -> None:
    """Draw states: a dot, a ring where branches part, a number where the group met the same state elsewhere."""
    points = {(line.turn.index, line.from_row): line for line in layout.lines}
    rings = [point for point, line in points.items() if line.is_branch_point]
    axis.scatter(*np.array([*points]).T, s=14, color=PAPER, edgecolors=INK, linewidths=0.8, zorder=5)
    if rings:
        style = {"facecolors": "none", "edgecolors": INK, "linewidths": 1.5}
        axis.scatter(*np.array(rings).T, s=150, zorder=5, label="branch point", **style)
    for (column, row), line in points.items():
        if line.state is not None:
            box = {"boxstyle": "circle,pad=0.18", "facecolor": PAPER, "edgecolor": FAINT, "linewidth": 0.6}
            axis.text(
                column, row, str(line.state), fontsize=6.6, color=INK, ha="center", va="center", bbox=box, zorder=6
            )


def _mark_ends(axis: Any, layout: Layout) -> None:
    """Draw how each trajectory ended, with its return beside it."""
    named = set()
    for trajectory, row in zip(layout.forest.trajectories, layout.rows, strict=True):
        if row is None:
            continue
        column, outcome = len(trajectory.turns), trajectory.outcome
        label = None if outcome in named else outcome.value
        colour = OUTCOME_COLOURS.get(outcome, FAINT)
        axis.scatter(column, row, s=70, marker=MARKERS.get(outcome, "v"), color=colour, zorder=7, label=label)
        named.add(outcome)
        text = f"{trajectory.total_reward:.2g}"
        axis.text(column + 0.14, row, text, fontsize=8, color=colour, va="center", zorder=4)
