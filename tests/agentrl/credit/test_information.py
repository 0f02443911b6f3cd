import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, random_forest, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError, DataError

COLUMNS = {
    "group": [0] * 5,
    "trajectory": ["a", "a", "a", "b", "b"],
    "turn": [0, 1, 2, 0, 1],
    "reward": [0, 0, 1, 0, 0],
    "step_reward": [0.3, -0.1, 9.0, 0.1, 9.0],  # what stands at last turns is not read
}


def test_golden_joint():
    values = np.array([0.3, -0.1, 1.0, 0.1, 0.0])
    z = (values - values.mean()) / values.std()
    expected = [z[0] + 0.5 * (z[1] + 0.5 * z[2]), z[1] + 0.5 * z[2], z[2], z[3] + 0.5 * z[4], z[4]]
    np.testing.assert_allclose(credit.igpo(TurnTable.from_columns(**COLUMNS), gamma=0.5, eps=0.0), expected)


def test_golden_separate():
    gains = (np.array([0.3, -0.1, 0.1]) - 0.1) / np.std([0.3, -0.1, 0.1])
    expected = [gains[0] + gains[1] + 1, gains[1] + 1, 1, gains[2] - 1, -1]
    np.testing.assert_allclose(credit.igpo(TurnTable.from_columns(**COLUMNS), norm="separate", eps=0.0), expected)


def oracle(columns, gamma, norm):
    rows = range(len(columns["turn"]))
    last, total, episodes = {}, {}, {}
    for row in sorted(rows, key=lambda row: columns["turn"][row]):
        name = columns["trajectory"][row]
        episodes.setdefault(name, []).append(row)
        last[name], total[name] = row, total.get(name, 0.0) + columns["reward"][row]
    is_last = [last[columns["trajectory"][row]] == row for row in rows]
    value = [total[columns["trajectory"][row]] if is_last[row] else columns["step_reward"][row] for row in rows]
    scaled = {}
    for row in rows:
        kinds = (True, False) if norm == "joint" else (is_last[row],)
        others = [
            v for r, v in enumerate(value) if columns["group"][r] == columns["group"][row] and is_last[r] in kinds
        ]
        spread = np.ptp(others) > 1e-12
        scaled[row] = (value[row] - np.mean(others)) / (np.std(others) + 1e-6) if spread else 0.0
    result = np.zeros(len(value))
    for chain in episodes.values():
        for place, row in enumerate(chain):
            result[row] = sum(gamma**ahead * scaled[later] for ahead, later in enumerate(chain[place:]))
    return result


@given(seed=st.integers(0, 500), gamma=st.sampled_from([0.5, 1.0]), norm=st.sampled_from(["joint", "separate"]))
def test_equals_the_definition(seed, gamma, norm):
    columns = (random_forest if seed % 2 else random_columns)(seed)
    result = credit.igpo(table_of(columns), gamma=gamma, norm=norm)
    np.testing.assert_allclose(result, oracle(columns, gamma, norm), atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_without_gains_it_is_grpo(seed):
    columns = random_columns(seed)
    table = table_of(columns | {"step_reward": [0.25] * len(columns["turn"])})
    ours = credit.igpo(table, norm="separate")
    np.testing.assert_allclose(ours, credit.group_relative(table, ddof=0), atol=1e-12)


def test_what_it_needs_and_bad_options_are_said():
    columns = {key: value for key, value in COLUMNS.items() if key != "step_reward"}
    with pytest.raises(DataError, match="step_reward"):
        credit.igpo(TurnTable.from_columns(**columns))
    with pytest.raises(ConfigError, match="norm"):
        credit.igpo(TurnTable.from_columns(**COLUMNS), norm="both")
