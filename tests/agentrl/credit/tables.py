"""Random turn tables, and the list of estimators that every law is checked over."""

from typing import Any

import numpy as np

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.seeding import generator

ESTIMATORS = {
    "discounted_returns": lambda table: credit.discounted_returns(table, 0.9),
    "group_relative": credit.group_relative,
    "group_relative-loo-turn": lambda table: credit.group_relative(table, baseline="leave_one_out", weight="turn"),
    "dr_grpo": credit.dr_grpo,
    "rloo": credit.rloo,
    "opo": credit.opo,
    "reinforce_plus_plus": credit.reinforce_plus_plus,
    "reinforce_plus_plus-baseline": lambda table: credit.reinforce_plus_plus(table, group_baseline=True),
    "anchor_state": credit.anchor_state,
    "gigpo": lambda table: credit.gigpo(table, invalid_penalty=0.1),
    "gigpo-authors": lambda table: credit.gigpo(table, invalid_penalty=0.1, dialect="authors"),
}


def random_columns(seed: int, *, groups: int = 3, trajectories: int = 4, turns: int = 6) -> dict[str, Any]:
    """Columns of up to groups × trajectories episodes of 1 to ``turns`` turns, rows in order of time."""
    rng = generator(seed, "random_columns")
    columns: dict[str, list[Any]] = {name: [] for name in ("group", "trajectory", "turn", "reward", "anchor", "action")}
    columns |= {name: [] for name in ("next_anchor", "invalid", "tokens", "entropy", "logprob")}
    for group in range(groups):
        for member in range(trajectories):
            length = int(rng.integers(1, turns + 1))
            states = [f"state {rng.integers(0, 3)}" for _ in range(length + 1)]
            for turn in range(length):
                row = (f"task {group}", f"{group}/{member}", turn, float(rng.integers(-1, 3)), states[turn])
                row += (f"action {rng.integers(0, 2)}", states[turn + 1], bool(rng.random() < 0.2))
                row += (int(rng.integers(1, 9)), float(rng.random()), -float(rng.random()))
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
    return columns


def shuffled(columns: dict[str, Any], seed: int) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Return the columns with their rows in another order, and that order."""
    order = generator(seed, "shuffle").permutation(len(columns["turn"]))
    return {name: [values[row] for row in order] for name, values in columns.items()}, order


def table_of(columns: dict[str, Any], **more: Any) -> TurnTable:
    return TurnTable.from_columns(**columns, **more)
