import difflib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, shuffled, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError, DataError

# Two ways through states s, t: the second trajectory fails.
COLUMNS = {
    "group": ["q"] * 4,
    "trajectory": ["win", "win", "lose", "lose"],
    "turn": [0, 1, 0, 1],
    "reward": [0.0, 10.0, 0.0, 0.0],
    "anchor": ["s", "t", "s", "u"],
}


def test_golden_anchor_state():
    # returns 5, 10, 0, 0 with gamma 1/2; only s is shared: mean 5/2, std 5/√2
    table = TurnTable.from_columns(**COLUMNS)
    np.testing.assert_allclose(credit.anchor_state(table, gamma=0.5, scale="none"), [2.5, 0, -2.5, 0])
    half = 1 / np.sqrt(2)
    np.testing.assert_allclose(credit.anchor_state(table, gamma=0.5, eps=0.0), [half, 0, -half, 0])


def test_golden_gigpo():
    # episode returns 10 and 0: ±5 centred
    table = TurnTable.from_columns(**COLUMNS)
    np.testing.assert_allclose(credit.gigpo(table, gamma=0.5, scale="none"), [7.5, 5, -7.5, -5])
    np.testing.assert_allclose(credit.gigpo(table, gamma=0.5, scale="none", step_weight=2.0), [10, 5, -10, -5])


def test_golden_invalid_penalty():
    table = TurnTable.from_columns(**COLUMNS, invalid=[False, False, False, True])
    # "paper": a reward of -1 in the last turn: episode returns 10, -1; step returns 5, 10, -1/2, -1
    expected = np.array([5.5, 5.5, -5.5, -5.5]) + np.array([2.75, 0, -2.75, 0])
    np.testing.assert_allclose(credit.gigpo(table, gamma=0.5, scale="none", invalid_penalty=1.0), expected)
    # "authors": scores 10, 10, 0, -1 with mean 19/4; step returns 5, 10, 0, -1
    expected = np.array([10, 10, 0, -1]) - 4.75 + [2.5, 0, -2.5, 0]
    options = {"gamma": 0.5, "scale": "none", "invalid_penalty": 1.0, "dialect": "authors"}
    np.testing.assert_allclose(credit.gigpo(table, **options), expected)
    # over trajectories the first row of each speaks: 10, 0 with mean 5
    expected = np.array([10, 10, 0, -1]) - 5 + [2.5, 0, -2.5, 0]
    np.testing.assert_allclose(credit.gigpo(table, weight="trajectory", **options), expected)


def test_authors_keep_the_raw_score_of_a_lone_row():
    table = TurnTable.from_columns(group=[0], trajectory=[0], turn=[0], reward=[10.0], anchor=["s"])
    assert credit.gigpo(table, scale="none", dialect="authors") == 10.0
    assert credit.gigpo(table, dialect="authors") == pytest.approx(10 / (1 + 1e-6), rel=1e-12)
    assert credit.gigpo(table) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_reduces_to_grpo(seed):
    columns = random_columns(seed)
    table = table_of(columns)
    np.testing.assert_array_equal(credit.gigpo(table, step_weight=0.0), credit.grpo(table))
    unique = table_of(columns | {"anchor": range(len(columns["turn"]))})
    np.testing.assert_array_equal(credit.gigpo(unique), credit.grpo(unique))
    by_turn = credit.gigpo(table, step_weight=0.0, dialect="authors")
    sizes = np.bincount(table.group_N)[table.group_N]
    np.testing.assert_allclose(by_turn[sizes > 1], credit.grpo(table, weight="turn")[sizes > 1], rtol=1e-12)


def authors_oracle(columns, *, gamma, step_weight, scale, weight, penalty, similarity):
    """The public code's rules, row by row, in plain Python."""
    rows = range(len(columns["turn"]))
    score, step = [0.0] * len(rows), [0.0] * len(rows)
    for row in rows:
        mine = [r for r in rows if columns["trajectory"][r] == columns["trajectory"][row]]
        cost = penalty * columns["invalid"][row]
        score[row] = sum(columns["reward"][r] for r in mine) - cost
        later = sorted(
            (columns["turn"][r], columns["reward"][r]) for r in mine if columns["turn"][r] >= columns["turn"][row]
        )
        step[row] = sum(gamma**k * reward for k, (_, reward) in enumerate(later)) - cost

    def centred(values, member, lone_mean, lone_std):
        mean, std = (np.mean(member), np.std(member, ddof=1)) if len(member) > 1 else (lone_mean, lone_std)
        return (values - mean) / (std + 1e-6 if scale == "std" else 1.0)

    episode = {}
    for row in rows:
        seen, member = set(), []
        for r in rows:
            if columns["group"][r] == columns["group"][row]:
                if weight == "turn" or columns["trajectory"][r] not in seen:
                    member.append(score[r])
                seen.add(columns["trajectory"][r])
        episode[row] = centred(score[row], member, 0.0, 1.0)
    leaders, cluster = {}, [0] * len(rows)
    for row in rows:
        mine = leaders.setdefault(columns["group"][row], [])
        text = columns["anchor"][row]
        alike = [text == leader if similarity is None else ratio(text, leader) >= similarity for leader in mine]
        at = alike.index(True) if any(alike) else len(mine)
        if at == len(mine):
            mine.append(text)
        cluster[row] = (columns["group"][row], at)
    return [
        episode[row]
        + step_weight * centred(step[row], [step[r] for r in rows if cluster[r] == cluster[row]], step[row], 1)
        for row in rows
    ]


def ratio(text, leader):
    return difflib.SequenceMatcher(None, text, leader).ratio()


@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from(["std", "none"]),
    weight=st.sampled_from(["turn", "trajectory"]),
    similarity=st.sampled_from([None, 0.8]),
    penalty=st.sampled_from([0.0, 0.1]),
)
def test_authors_dialect_equals_the_public_code(seed, scale, weight, similarity, penalty):
    columns, _ = shuffled(random_columns(seed, groups=2, trajectories=3, turns=4), seed)
    columns["anchor"] = [anchor * (1 + row % 3) for row, anchor in enumerate(columns["anchor"])]
    columns["text"] = columns["anchor"]
    rules = {"gamma": 0.95, "step_weight": 0.7, "scale": scale, "weight": weight, "similarity": similarity}
    result = credit.gigpo(table_of(columns), invalid_penalty=penalty, dialect="authors", **rules)
    np.testing.assert_allclose(result, authors_oracle(columns, penalty=penalty, **rules), rtol=1e-9, atol=1e-9)


def test_equal_returns_give_no_noise():
    # float32 arithmetic divides rounding errors of about 1e-8 by 1e-6 here
    count = 64
    table = TurnTable.from_columns(
        group=[0] * count,
        trajectory=range(count),
        turn=[0] * count,
        reward=np.full(count, np.float32(0.7)),
        anchor=["s"] * count,
    )
    np.testing.assert_array_equal(credit.gigpo(table), 0.0)
    np.testing.assert_array_equal(credit.gigpo(table, dialect="authors"), 0.0)


def test_success_everywhere_still_prefers_the_faster_way():
    table = TurnTable.from_columns(
        group=[0] * 3, trajectory=["slow", "slow", "fast"], turn=[0, 1, 0], reward=[0, 1, 1], anchor=["s", "t", "s"]
    )
    slow, _, fast = credit.gigpo(table)
    assert slow < 0 < fast


def test_states_of_different_groups_never_meet():
    table = TurnTable.from_columns(group=[0, 1], trajectory=[0, 1], turn=[0, 0], reward=[0, 1], anchor=["s", "s"])
    np.testing.assert_array_equal(credit.anchor_state(table), 0.0)


@pytest.mark.parametrize(("option", "value"), [("dialect", "author"), ("scale", "sdt"), ("weight", "row")])
def test_unknown_options_are_refused(option, value):
    with pytest.raises(ConfigError, match=f"{option} is '{value}'"):
        credit.gigpo(TurnTable.from_columns(**COLUMNS), **{option: value})


def test_similarity_needs_texts_and_a_ratio():
    with pytest.raises(DataError, match="strings as anchors, got int"):
        credit.gigpo(TurnTable.from_columns(**COLUMNS | {"anchor": [1, 2, 1, 3]}), similarity=0.9)
    with pytest.raises(ConfigError, match=r"similarity is 1\.0"):
        credit.gigpo(TurnTable.from_columns(**COLUMNS), similarity=1.0)
