from collections import deque

import numpy as np
import pytest
from tables import random_columns, random_forest, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import DataError

# win: a b c | won. lose: a c (never knew the way) . short: a b | won. Another group without a success.
COLUMNS = {
    "group": [0] * 7 + [1],
    "trajectory": ["win"] * 3 + ["lose"] * 2 + ["short"] * 2 + ["other"],
    "turn": [0, 1, 2, 0, 1, 0, 1, 0],
    "reward": [0, 0, 10, 0, 0, 0, 10, 0],
    "anchor": ["a", "b", "c", "a", "c", "a", "b", "a"],
    "final_anchor": ["x"] * 3 + ["dead end"] * 2 + ["y"] * 2 + ["dead end"],
    "success": [True] * 3 + [False] * 2 + [True] * 2 + [False],
}


def test_golden():
    # d: a 2, b 1, c 1, won 0, dead end 3 (one more than the farthest); alone in its group the other is 1 from nothing
    table = TurnTable.from_columns(**COLUMNS)
    expected = [5.0, 5.0, 10.0, 5.0, 1.25, 5.0, 10.0, 5.0]
    np.testing.assert_allclose(credit.goal_returns(table, gamma=0.5), expected)
    # from a: 1 - 2 + 1; from b to c: 1 - 1 + 1; to the goal: 0 - 1 + 1; from c into the dead end: 3 - 1 + 1
    relative = [10.0, 5.0, 10.0, 10.0, 1.25, 10.0, 10.0, 5.0]
    np.testing.assert_allclose(credit.goal_returns(table, gamma=0.5, relative=True), relative)
    episode = np.array([10, 10, 10, -20, -20, 10, 10, 0]) / 3
    step = [0, -2.5, 4.375, 0, -4.375, 0, 2.5, 0]  # in b: 5 and 10; in c: 10 and 1.25
    np.testing.assert_allclose(credit.graphgpo(table, gamma=0.5, scale="none"), episode + step)


def oracle_returns(columns, gamma, relative):
    rows = range(len(columns["turn"]))
    last = {columns["trajectory"][row]: row for row in sorted(rows, key=lambda row: columns["turn"][row])}
    at = {(columns["trajectory"][row], columns["turn"][row]): row for row in rows}
    turns = sorted(at)

    def after(row):
        name, group = columns["trajectory"][row], columns["group"][row]
        if row == last[name]:
            return (group, "GOAL", 0) if columns["success"][row] else (group, columns["final_anchor"][row])
        return group, columns["anchor"][at[turns[turns.index((name, columns["turn"][row])) + 1]]]

    edges = [((columns["group"][row], columns["anchor"][row]), after(row)) for row in rows]
    distances = {}
    for group in set(columns["group"]):
        found, queue = {(group, "GOAL", 0): 0}, deque([(group, "GOAL", 0)])
        while queue:
            target = queue.popleft()
            for source, reached in edges:
                if reached == target and source not in found:
                    found[source] = found[target] + 1
                    queue.append(source)
        far = max(found.values()) + 1
        states = {state for edge in edges for state in edge if state[0] == group}
        distances |= {state: found.get(state, far) for state in states}
    return [10 * gamma ** (distances[there] - (distances[here] - 1 if relative else 0)) for here, there in edges]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [random_columns, random_forest])
@pytest.mark.parametrize("relative", [False, True])
def test_equals_the_definition(seed, make, relative):
    columns = make(seed)
    result = credit.goal_returns(table_of(columns), gamma=0.9, relative=relative)
    np.testing.assert_allclose(result, oracle_returns(columns, 0.9, relative), rtol=1e-12)


def chains(seed):
    """Episodes that all succeed: from one state on, every other state lies on one way to the goal alone."""
    columns = random_columns(seed)
    length = {name: columns["trajectory"].count(name) for name in columns["trajectory"]}
    left = [length[name] - turn for name, turn in zip(columns["trajectory"], columns["turn"], strict=True)]
    columns["anchor"] = [f"{anchor}, {turns} to go" for anchor, turns in zip(columns["anchor"], left, strict=True)]
    columns["anchor"] = [
        "start" if turn == 0 else anchor for turn, anchor in zip(columns["turn"], columns["anchor"], strict=True)
    ]
    columns["success"] = [True] * len(left)
    columns["reward"] = [10.0 * (turns == 1) for turns in left]
    return columns


@pytest.mark.parametrize("seed", range(4))
def test_on_chains_it_is_gigpo(seed):
    table = table_of(chains(seed))
    np.testing.assert_allclose(credit.goal_returns(table, gamma=0.9), credit.discounted_returns(table, 0.9))
    ours, gigpo = credit.graphgpo(table, gamma=0.9), credit.gigpo(table, gamma=0.9)
    np.testing.assert_allclose(ours, gigpo, atol=1e-12)
    assert np.abs(ours).max() > 0


@pytest.mark.parametrize("seed", range(4))
def test_without_the_steps_it_is_grpo_and_without_success_too(seed):
    columns = random_columns(seed)
    np.testing.assert_array_equal(
        credit.graphgpo(table_of(columns), step_weight=0.0), credit.grpo(table_of(columns), eps=1e-6)
    )
    lost = table_of(columns | {"success": [False] * len(columns["turn"])})
    np.testing.assert_array_equal(credit.graphgpo(lost), credit.grpo(lost, eps=1e-6))


def test_a_shortcut_that_no_episode_went_counts():
    # one came from a to b the long way, the other found b next to the goal: a is two turns from it, not four
    columns = {
        "group": [0] * 5,
        "trajectory": ["long"] * 4 + ["near"],
        "turn": [0, 1, 2, 3, 0],
        "reward": [0] * 5,
        "anchor": ["a", "b", "c", "d", "b"],
        "final_anchor": ["end"] * 5,
        "success": [True] * 5,
    }
    result = credit.goal_returns(TurnTable.from_columns(**columns), gamma=0.5)
    np.testing.assert_allclose(result, [5.0, 2.5, 5.0, 10.0, 10.0])


def test_unknown_ends_are_no_meeting_place():
    columns = COLUMNS | {"final_anchor": [None] * 8}
    known = credit.goal_returns(TurnTable.from_columns(**COLUMNS), gamma=0.5)
    np.testing.assert_array_equal(credit.goal_returns(TurnTable.from_columns(**columns), gamma=0.5), known)


@pytest.mark.parametrize("missing", ["anchor", "final_anchor", "success"])
def test_what_it_needs_is_said(missing):
    columns = {key: value for key, value in COLUMNS.items() if key != missing}
    with pytest.raises(DataError, match=missing):
        credit.graphgpo(TurnTable.from_columns(**columns))


def test_one_episode_has_one_end():
    with pytest.raises(DataError, match="two values of success"):
        TurnTable.from_columns(**COLUMNS | {"success": [True] * 2 + [False] * 6})
