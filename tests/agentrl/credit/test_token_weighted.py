"""HAPO's advantage: statistics of the group over tokens."""

import numpy as np
import pytest
from tables import random_columns, table_of

from agentrl import credit
from agentrl.credit import TurnTable


@pytest.mark.parametrize("seed", range(4))
def test_brute_force_over_repeated_tokens(seed: int) -> None:
    columns = random_columns(seed)
    table = table_of(columns)
    episode = dict.fromkeys(columns["trajectory"], 0.0)
    for name, reward in zip(columns["trajectory"], columns["reward"], strict=True):
        episode[name] += reward
    expected = np.zeros(len(table))
    for task in set(columns["group"]):
        rows = [row for row, name in enumerate(columns["group"]) if name == task]
        tokens = np.concatenate([[episode[columns["trajectory"][row]]] * columns["tokens"][row] for row in rows])
        for row in rows:
            own = episode[columns["trajectory"][row]]
            expected[row] = (own - tokens.mean()) / (tokens.std() + 1e-6) if np.ptp(tokens) else 0.0
    np.testing.assert_allclose(credit.hapo(table, outlier=1e9), expected, atol=1e-9)


def test_golden_standard_deviation_of_the_population() -> None:
    # two episodes of two tokens that return 1 and 0: std 1/2 over four tokens, √3/3 if it were unbiased
    columns = {"group": [0, 0], "trajectory": [0, 1], "turn": [0, 0], "reward": [1.0, 0.0], "tokens": [2, 2]}
    table = TurnTable.from_columns(**columns)  # type: ignore[arg-type]
    np.testing.assert_allclose(credit.hapo(table, eps=0.0), [1.0, -1.0])
    np.testing.assert_allclose(credit.hapo(table, ddof=1, eps=0.0), [0.75**0.5, -(0.75**0.5)])


def test_equal_lengths_are_grpo() -> None:
    columns = random_columns(1, turns=1)
    columns["tokens"] = [3] * len(columns["turn"])
    table = table_of(columns)
    np.testing.assert_allclose(credit.hapo(table), credit.grpo(table, ddof=0), atol=1e-12)


def test_a_group_with_an_outlier_takes_grpo() -> None:
    columns = {
        "group": [0, 0, 0, 1, 1],
        "trajectory": list(range(5)),
        "turn": [0] * 5,
        "reward": [1.0, 0.0, 0.0, 1.0, 0.0],
        "tokens": [1, 100, 100, 5, 5],
    }
    table = TurnTable.from_columns(**columns)  # type: ignore[arg-type]
    wild = credit.hapo(table, outlier=1e9)
    assert wild[0] > 5
    ours = credit.hapo(table)
    np.testing.assert_array_equal(ours[:3], credit.grpo(table)[:3])
    np.testing.assert_array_equal(ours[3:], wild[3:])
