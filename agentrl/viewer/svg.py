"""From lanes and columns to the coordinates and texts of a vector drawing; the template writes them down."""

from dataclasses import dataclass
from typing import Any

from agentrl.env import Outcome
from agentrl.types import Trajectory, Turn
from agentrl.viewer.colours import FAINT, OUTCOME_COLOURS, entropy_colour
from agentrl.viewer.layout import Layout, Line

LANE, TOP, LEFT, RIGHT, BOTTOM = 38.0, 44.0, 56.0, 120.0, 14.0
PAGE_WIDTH = 1420.0
"""What the drawing fills before it has to be scrolled."""
LABELLED, UNLABELLED = (104.0, 132.0), (46.0, 104.0)
"""Bounds of a column's width, with and without the actions."""
LABELLED_COLUMNS, LETTER = 20, 6.2
"""With more turns the actions are left to tooltips and tables; mean width of a letter at 11 pixels."""
BEND = 0.42
"""Share of a column that a branch takes to reach its own lane."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A turn: an SVG path with its style, a label above it and a tooltip."""

    path: str
    colour: str
    width: float
    is_dashed: bool
    label: str
    label_x: float
    label_y: float
    tooltip: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A state: numbered if it was met elsewhere in the group, ringed where branches part."""

    x: float
    y: float
    number: int | None
    is_branch_point: bool
    tooltip: str


@dataclass(frozen=True, slots=True)
class End:
    """Where a trajectory ended: its outcome, its return, and a tooltip."""

    x: float
    y: float
    outcome: Outcome
    colour: str
    text: str
    tooltip: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything that the template writes down; ``columns`` are the turn numbers over the lanes."""

    width: float
    height: float
    columns: tuple[tuple[float, int], ...]
    strokes: tuple[Stroke, ...]
    dots: tuple[Dot, ...]
    ends: tuple[End, ...]


def draw(layout: Layout, most: float, advantages: dict[str, list[float]]) -> Drawing:
    """Return the drawing of a forest.

    Args:
      layout: lanes and columns.
      most: entropy at the end of the colour scale, nats.
      advantages: of each turn by trajectory id, for the tooltips; may lack trajectories.
    """
    has_labels = layout.num_columns <= LABELLED_COLUMNS
    low, high = LABELLED if has_labels else UNLABELLED
    column = round(min(max((PAGE_WIDTH - LEFT - RIGHT) / max(layout.num_columns, 1), low), high), 1)
    lines = sorted(layout.lines, key=lambda line: line.row == line.from_row)  # curves first, lanes over them
    strokes = tuple(_stroke(line, layout, column, has_labels, most, advantages) for line in lines)
    points = {(line.turn.index, line.from_row): line for line in layout.lines}
    dots = tuple(
        Dot(
            LEFT + at * column,
            _y(row),
            line.state,
            line.is_branch_point,
            f"state before turn {at}" + (f", number {line.state}" if line.state else ", met once"),
        )
        for (at, row), line in points.items()
    )
    return Drawing(
        width=LEFT + layout.num_columns * column + RIGHT,
        height=TOP + layout.height * LANE + BOTTOM,
        columns=tuple((LEFT + at * column, at) for at in range(layout.num_columns + 1)),
        strokes=strokes,
        dots=dots,
        ends=tuple(_ends(layout, column)),
    )


def _y(row: float) -> float:
    return TOP + (row + 0.5) * LANE


def _stroke(
    line: Line, layout: Layout, column: float, has_labels: bool, most: float, advantages: dict[str, list[float]]
) -> Stroke:
    x, y0, y1 = LEFT + line.turn.index * column, _y(line.from_row), _y(line.row)
    is_curve = line.row != line.from_row
    bend = x + BEND * column
    half = (x + bend) / 2
    curve = f"C{half:.1f},{y0:.1f} {half:.1f},{y1:.1f} {bend:.1f},{y1:.1f} " if is_curve else ""
    label_x = bend - 4 if is_curve else x + 13
    letters = int((x + column - 6 - label_x) / LETTER)
    trajectory = layout.forest.trajectories[line.place]
    values = advantages.get(trajectory.id)
    decisions = [_decision(one) for one in _decisions(trajectory) if one.get("turn") == line.turn.index]
    return Stroke(
        path=f"M{x:.1f},{y0:.1f} {curve}L{x + column:.1f},{y1:.1f}",
        colour=entropy_colour(line.turn.mean_entropy, most),
        width=round(3 + 1.6 * (line.multiplicity.bit_length() - 1), 1),
        is_dashed=not line.turn.action_valid,
        label=_short(line.turn.action, letters) if has_labels else "",
        label_x=label_x,
        label_y=y1 - 9,
        tooltip=_tooltip(line.turn, line.multiplicity, None if values is None else values[line.turn.index], decisions),
    )


def _decisions(trajectory: Trajectory) -> list[dict[str, Any]]:
    """Return what a branching sampler noted about the turns of a trajectory; see docs/branching.md."""
    notes = trajectory.extra.get("branching")
    return notes.get("decisions", []) if isinstance(notes, dict) else []


def _decision(decision: dict[str, Any]) -> str:
    """Return a decision in one line: its numbers, whatever the sampler notes."""
    numbers = [(name, value) for name, value in decision.items() if name != "turn" and isinstance(value, int | float)]
    return "sampler: " + ", ".join(f"{name} {value:.3g}" for name, value in numbers)


def _tooltip(turn: Turn, multiplicity: int, advantage: float | None, decisions: list[str]) -> str:
    parts = [f"turn {turn.index}: {turn.action}", f"entropy {turn.mean_entropy:.2f} nats, reward {turn.reward:g}"]
    if advantage is not None:
        parts.append(f"advantage {advantage:+.2f}")
    if multiplicity > 1:
        parts.append(f"shared by {multiplicity} trajectories")
    if not turn.action_valid:
        parts.append("invalid action")
    return "\n".join([*parts, *decisions, "", _short(turn.observation, 400)])


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def _ends(layout: Layout, column: float) -> list[End]:
    ends = []
    for trajectory, row in zip(layout.forest.trajectories, layout.rows, strict=True):
        if row is not None:
            outcome, name = trajectory.outcome, trajectory.id.rsplit("/", 1)[-1]
            ends.append(
                End(
                    LEFT + len(trajectory.turns) * column,
                    _y(row),
                    outcome,
                    OUTCOME_COLOURS.get(outcome, FAINT),
                    f"{trajectory.total_reward:.3g}  ·  {name}",
                    f"{trajectory.id}: {outcome.value} after {len(trajectory.turns)} turns, "
                    f"return {trajectory.total_reward:g}\n{trajectory.outcome_reason}",
                )
            )
    return ends
