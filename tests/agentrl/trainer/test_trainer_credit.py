"""From trajectories to the columns that credit assignment sees, and back."""

from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import PrivateAttr

from agentrl.algorithms.base import Recipe, make_recipe
from agentrl.credit import TurnTable
from agentrl.curriculum import DynamicSampling
from agentrl.env import Outcome
from agentrl.trainer.credit import assign_credit, num_unscored_groups, table_for, turn_columns, turn_table
from agentrl.types import BranchPoint, Trajectory, Turn
from agentrl.update import distributed
from tests.agentrl.update.samples import sequence, trajectory


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


def seen(name: str, text: str, reward: float) -> Trajectory:
    turns = [Turn(0, text, "said", "go", True, 0.0, f"digest of {text}"), Turn(1, "end", "", "", True, reward, "last")]
    return Trajectory(name, "group", "task", 0, turns, [], Outcome.FAILURE)


@pytest.mark.parametrize("dialect", ["paper", "authors"])
def test_similar_texts_are_one_state_where_their_digests_differ(dialect: str) -> None:
    episodes = [seen("a", "You are in the hall. It is 9:01.", 1.0), seen("b", "You are in the hall. It is 9:02.", 0.0)]
    options = {"name": "gigpo", "dialect": dialect, "gamma": 1.0, "weight": "trajectory"}
    exact, alike = make_recipe(options), make_recipe(options | {"similarity": 0.9})
    assert table_for(exact, episodes).text_N is None
    # each part is ±1/√2: the first turns meet only where their texts are compared, the last ones either way
    half = 0.5**0.5
    np.testing.assert_allclose(assign_credit(exact, episodes), [half, 2 * half, -half, -2 * half], atol=1e-5)
    np.testing.assert_allclose(assign_credit(alike, episodes), [2 * half, 2 * half, -2 * half, -2 * half], atol=1e-5)


def test_columns() -> None:
    one, other = episode("a", 2), episode("b", 1, Outcome.ENV_ERROR)
    one.final_anchor = "the end"
    assert turn_columns([one, other]) == {
        "group": ["group"] * 3,
        "trajectory": ["a", "a", "b"],
        "turn": [0, 1, 0],
        "reward": [0.0, 0.5, 0.0],
        "anchor": ["state 0", "state 1", "state 0"],
        "action": ["action 0", "action 1", "action 0"],
        "next_anchor": ["state 1", None, None],
        "final_anchor": ["the end"] * 2 + [None],
        "success": [False] * 3,
        "invalid": [False, True, False],
        "verdict": [True, True, False],
        "tokens": [2, 3, 2],
        "entropy": [0.0, 0.1, 0.0],
        "logprob": [0.0, 0.0, 0.0],
        "parent": [None, None, None],
        "branch_turn": [0, 0, 0],
    }


def test_log_probability_of_a_turn_is_the_mean_of_its_sampled_tokens() -> None:
    one, two = sequence([-1, 0, 0, -1, 1], seed=1), sequence([-1, 3, 1], seed=2)
    played = trajectory(one, two)
    first, second, silent, last = turn_columns([played])["logprob"]
    assert first == pytest.approx(float(one.behavior_logprobs_L[1:3].mean()))
    assert second == pytest.approx(float(one.behavior_logprobs_L[4] + two.behavior_logprobs_L[2]) / 2)
    assert (silent, last) == (0.0, pytest.approx(float(two.behavior_logprobs_L[1])))


def test_tokens_of_a_turn_that_was_not_completed_do_not_count() -> None:
    played = trajectory(sequence([-1, 0, 1]))
    played.turns.pop()
    assert len(turn_columns([played])["logprob"]) == 1


def test_forked_trajectories_know_their_parents() -> None:
    root, fork = episode("a", 2), episode("b", 3)
    fork.parent = BranchPoint("a", 1)
    columns = turn_columns([root, fork])
    assert columns["parent"] == [None, None, "a", "a", "a"] and columns["branch_turn"] == [0, 0, 1, 1, 1]
    table = turn_table([root, fork])
    assert table.need("parent").tolist() == [-1, -1, 0, 0, 0] and table.need("branch_turn").tolist() == [0, 0, 1, 1, 1]


def test_groups_may_be_tasks() -> None:
    one, two = episode("a", 1), episode("b", 1)
    two.group = "another"
    assert turn_table([one, two]).num_groups == 2
    assert turn_table([one, two], "task").group_labels == ["task"]


class Remembering(Running):
    """Keeps the rewards that it was shown."""

    _seen: list[list[float]] = PrivateAttr(default_factory=list)

    def observe(self, table: TurnTable) -> None:
        self._seen.append(table.reward_N[table.verdict_N].tolist())

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        return np.where(table.verdict_N, super().advantages(table), np.nan)


def test_dropped_groups_are_not_scored_but_remembered() -> None:
    played = [episode("a", 1), episode("b", 2), episode("c", 1), episode("d", 1)]
    for one in played[2:]:
        one.group = "all equal"
    recipe = Remembering()
    advantages = assign_credit(recipe, played, DynamicSampling())
    np.testing.assert_array_equal(advantages, [0.0, 1.0, 2.0, np.nan, np.nan])
    assert recipe._seen == [[0.0, 0.0, 0.5, 0.0, 0.0]]
    assert num_unscored_groups(played, advantages) == 1
    played[2].outcome = played[3].outcome = Outcome.ENV_ERROR
    assert num_unscored_groups(played, advantages) == 0, "a group without a verdict was not dropped but lost"


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
