"""From the trajectories of all processes to the turn table that credit assignment sees."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.algorithms.base import Recipe
from agentrl.credit.table import TurnTable
from agentrl.trainer import distributed
from agentrl.types import Trajectory

COLUMNS = tuple(
    [
        "group",
        "trajectory",
        "turn",
        "reward",
        "anchor",
        "action",
        "next_anchor",
        "invalid",
        "verdict",
        "tokens",
        "entropy",
    ]
)


def turn_columns(trajectories: Sequence[Trajectory]) -> dict[str, list[Any]]:
    """Return the columns of the turn table, a row per turn, trajectory after trajectory."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for trajectory in trajectories:
        anchors = [*(turn.anchor for turn in trajectory.turns), None]
        for turn, next_anchor in zip(trajectory.turns, anchors[1:], strict=True):
            row = (
                trajectory.group,
                trajectory.id,
                turn.index,
                turn.reward,
                turn.anchor,
                turn.action,
                next_anchor,
                not turn.action_valid,
                trajectory.outcome.is_verdict,
                turn.num_tokens,
                turn.mean_entropy,
            )
            for name, value in zip(COLUMNS, row, strict=True):
                columns[name].append(value)
    return columns


def turn_table(trajectories: Sequence[Trajectory]) -> TurnTable:
    """Return the turn table of trajectories."""
    return TurnTable.from_columns(**turn_columns(trajectories))


def assign_credit(recipe: Recipe, trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
    """Return the advantage of each turn of this process's trajectories, shape (N,).

    The recipe sees the turns of all processes, so that statistics over the batch do not depend on their number.
    """
    parts = distributed.gather(turn_columns(trajectories))
    merged = {name: list(chain.from_iterable(part[name] for part in parts)) for name in COLUMNS}
    if not merged["turn"]:
        return np.zeros(0)
    before = sum(len(part["turn"]) for part in parts[: distributed.rank()])
    own = len(parts[distributed.rank()]["turn"])
    return recipe.advantages(TurnTable.from_columns(**merged))[before : before + own]
