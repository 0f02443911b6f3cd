"""From trajectories to the columns that credit assignment sees, and back."""

from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from agentrl.algorithms.base import Recipe
from agentrl.credit import TurnTable
from agentrl.env import Outcome
from agentrl.trainer import distributed
from agentrl.trainer.credit import assign_credit, turn_columns, turn_table
from agentrl.types import Trajectory, Turn


class Running(Recipe):
    """The advantage is the number of the row: a fingerprint of the order."""

    name: ClassVar[str] = "running"
    title: ClassVar[str] = "running number"
    paper: ClassVar[str] = "none"
    test: ClassVar[str] = "here"

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        return np.arange(len(table.turn_N), dtype=np.float64)


def episode(name: str, turns: int, outcome: Outcome = Outcome.FAILURE) -> Trajectory:
    played = [
        Turn(
            t, "seen", "said", f"action {t}", t % 2 == 0, 0.5 * t, f"state {t}", num_tokens=t + 2, mean_entropy=0.1 * t
        )
        for t in range(turns)
    ]
    return Trajectory(name, "group", "task", 0, played, [], outcome)


def test_columns() -> None:
    columns = turn_columns([episode("a", 2), episode("b", 1, Outcome.ENV_ERROR)])
    assert columns == {
        "group": ["group"] * 3,
        "trajectory": ["a", "a", "b"],
        "turn": [0, 1, 0],
        "reward": [0.0, 0.5, 0.0],
        "anchor": ["state 0", "state 1", "state 0"],
        "action": ["action 0", "action 1", "action 0"],
        "next_anchor": ["state 1", None, None],
        "invalid": [False, True, False],
        "verdict": [True, True, False],
        "tokens": [2, 3, 2],
        "entropy": [0.0, 0.1, 0.0],
    }


def test_table_knows_what_is_the_same() -> None:
    table = turn_table([episode("a", 2), episode("b", 2)])
    assert table.group_N.tolist() == [0] * 4
    assert table.trajectory_N.tolist() == [0, 0, 1, 1]
    assert table.anchor_N is not None and table.anchor_N.tolist() == [0, 1, 0, 1]


def test_no_turns_no_advantages() -> None:
    assert assign_credit(Running(), []).shape == (0,)
    assert assign_credit(Running(), [episode("a", 0)]).shape == (0,)


@pytest.mark.parametrize(("rank", "rows"), [(0, [0.0, 1.0]), (1, []), (2, [2.0, 3.0, 4.0])])
def test_each_process_gets_its_own_rows_of_the_table_of_all(
    monkeypatch: pytest.MonkeyPatch, rank: int, rows: list[float]
) -> None:
    parts = [[episode("a", 2)], [], [episode("b", 1), episode("c", 2)]]
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "gather", lambda own: [turn_columns(part) for part in parts])
    assert assign_credit(Running(), parts[rank]).tolist() == rows
