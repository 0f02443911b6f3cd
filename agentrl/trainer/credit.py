"""From the trajectories of all processes to the turn table that credit assignment sees."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentrl.algorithms.base import Recipe
from agentrl.credit.table import TurnTable
from agentrl.curriculum import GroupFilter, keep_groups
from agentrl.types import Trajectory
from agentrl.update import distributed

COLUMNS = tuple(
    [
        "group",
        "trajectory",
        "turn",
        "reward",
        "anchor",
        "action",
        "next_anchor",
        "final_anchor",
        "success",
        "invalid",
        "verdict",
        "tokens",
        "entropy",
        "logprob",
        "parent",
        "branch_turn",
    ]
)


def turn_columns(
    trajectories: Sequence[Trajectory], group_by: Literal["group", "task"] = "group", *, texts: bool = False
) -> dict[str, list[Any]]:
    """Return the columns of the turn table, a row per turn, trajectory after trajectory.

    With ``texts`` also what was seen before each turn: these are sent between processes, so only where they are needed.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for trajectory in trajectories:
        anchors = [*(turn.anchor for turn in trajectory.turns), None]
        logprobs = mean_logprobs(trajectory)
        parent = trajectory.parent
        for number, (turn, next_anchor) in enumerate(zip(trajectory.turns, anchors[1:], strict=True)):
            row = (
                trajectory.group if group_by == "group" else trajectory.task_id,
                trajectory.id,
                turn.index,
                turn.reward,
                turn.anchor,
                turn.action,
                next_anchor,
                trajectory.final_anchor or None,
                trajectory.success,
                not turn.action_valid,
                trajectory.outcome.is_verdict,
                turn.num_tokens,
                turn.mean_entropy,
                logprobs[number],
                None if parent is None else parent.parent,
                0 if parent is None else parent.turn,
            )
            for name, value in zip(COLUMNS, row, strict=True):
                columns[name].append(value)
    if texts:
        columns["text"] = [turn.observation for trajectory in trajectories for turn in trajectory.turns]
    return columns


def mean_logprobs(trajectory: Trajectory) -> list[float]:
    """Return the sampler's mean token log-prob of each turn, 0 for a turn without sampled tokens."""
    count = len(trajectory.turns)
    total, tokens = np.zeros(count), np.zeros(count)
    for sequence in trajectory.sequences:
        turns_A = sequence.turns_L[sequence.action_mask_L]
        total += np.bincount(turns_A, sequence.behavior_logprobs_L[sequence.action_mask_L], count)[:count]
        tokens += np.bincount(turns_A, minlength=count)[:count]
    means: list[float] = (total / np.maximum(tokens, 1.0)).tolist()
    return means


def turn_table(
    trajectories: Sequence[Trajectory], group_by: Literal["group", "task"] = "group", *, texts: bool = False
) -> TurnTable:
    """Return the turn table of trajectories; see `turn_columns`."""
    return TurnTable.from_columns(**turn_columns(trajectories, group_by, texts=texts))


def table_for(recipe: Recipe, trajectories: Sequence[Trajectory]) -> TurnTable:
    """Return the turn table that an algorithm wants to see, but for what only a policy could tell."""
    return turn_table(trajectories, recipe.group_by(), texts="texts" in recipe.required())


def assign_credit(
    recipe: Recipe,
    trajectories: Sequence[Trajectory],
    group_filter: GroupFilter | None = None,
    scored: Mapping[str, list[float]] | None = None,
) -> NDArray[np.float64]:
    """Return the advantage of each turn of this process's trajectories, shape (N,), and let the recipe remember.

    The recipe sees the turns of all processes, so that statistics over the batch do not depend on their number. Turns
    of groups that the filter drops are not scored (NaN) and enter no statistic, but are remembered. ``scored`` are
    further columns of this process's turns (`agentrl.trainer.scoring`).
    """
    table, own = _gathered(recipe, trajectories, scored or {})
    if table is None:
        return np.zeros(0)
    kept = table if group_filter is None else keep_groups(table, group_filter)
    advantages_N = recipe.advantages(kept)[own]
    recipe.observe(table)
    return advantages_N


def kept_turns(
    recipe: Recipe, trajectories: Sequence[Trajectory], group_filter: GroupFilter | None = None
) -> NDArray[np.bool_]:
    """Return which turns of this process's trajectories are trained on, shape (N,), and let the recipe remember."""
    table, own = _gathered(recipe, trajectories)
    if table is None:
        return np.zeros(0, dtype=bool)
    recipe.observe(table)
    kept = table if group_filter is None else keep_groups(table, group_filter)
    return kept.verdict_N[own]


def _gathered(
    recipe: Recipe, trajectories: Sequence[Trajectory], scored: Mapping[str, list[float]] = {}
) -> tuple[TurnTable | None, slice]:
    """Return the turn table of all processes, None if there is no turn, and where this one's turns are in it."""
    columns = turn_columns(trajectories, recipe.group_by(), texts="texts" in recipe.required())
    parts = distributed.gather({**columns, **scored})
    merged = {name: list(chain.from_iterable(part[name] for part in parts)) for name in parts[0]}
    before = sum(len(part["turn"]) for part in parts[: distributed.rank()])
    own = slice(before, before + len(parts[distributed.rank()]["turn"]))
    return (TurnTable.from_columns(**merged) if merged["turn"] else None), own


def num_unscored_groups(trajectories: Sequence[Trajectory], advantages_N: NDArray[np.float64]) -> int:
    """Return how many groups have a verdict but no scored turn: those that a filter, or the algorithm, dropped."""
    judged, scored, offset = set(), set(), 0
    for trajectory in trajectories:
        if trajectory.turns and trajectory.outcome.is_verdict:
            judged.add(trajectory.group)
        end = offset + len(trajectory.turns)
        if np.isfinite(advantages_N[offset:end]).any():
            scored.add(trajectory.group)
        offset = end
    return len(judged - scored)
