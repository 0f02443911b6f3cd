import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, random_forest, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError, DataError

# The hindsight probabilities of the winner's turns are 0.5, 1 and 0.6 (T = 1), their mean 0.7.
COLUMNS = {
    "group": [0] * 4,
    "trajectory": ["win"] * 3 + ["lose"],
    "turn": [0, 1, 2, 0],
    "reward": [0, 0, 8, 0],
    "hindsight": [math.log(0.5), 0.0, math.log(0.6), math.nan],
    "success": [True] * 3 + [False],
}


def test_golden():
    table = TurnTable.from_columns(**COLUMNS)
    ratios = credit.hindsight_ratios(table, temperature=1.0)
    np.testing.assert_allclose(ratios, [0.8, 1.2, 0.6 / 0.7, 1.0])  # clipped, clipped, as it is, not asked
    values = np.array([0.8 * 2, 1.2 * 4, 0.6 / 0.7 * 8, 0.0])  # gamma 0.5
    step = (values - values.mean()) / np.std(values, ddof=1)
    episode = np.array([1, 1, 1, -1]) * math.sqrt(0.5)
    result = credit.hcapo(table, gamma=0.5, temperature=1.0, eps=0.0)
    np.testing.assert_allclose(result, episode + np.array([0.0, *step[1:]]))  # the first turn did no harm


def test_golden_smoothing():
    table = TurnTable.from_columns(**COLUMNS)
    first, second, third = 0.8 * 2, 1.2 * 4, 0.6 / 0.7 * 8
    values = np.array([(first + second) / 2, (second + third) / 2, third, 0.0])
    step = np.maximum(values - values.mean(), [0, 0, 0, -math.inf])
    result = credit.hcapo(table, gamma=0.5, temperature=1.0, smoothing=0.5, scale="none")
    np.testing.assert_allclose(result, np.array([4, 4, 4, -4]) + step)


def oracle(columns, temperature, smoothing, weight):
    table = table_of(columns)
    returns, result = credit.discounted_returns(table, 0.95), credit.group_relative(table).copy()
    values, episodes = np.zeros(len(returns)), {}
    for row in sorted(range(len(returns)), key=lambda row: columns["turn"][row]):
        episodes.setdefault(columns["trajectory"][row], []).append(row)
    for rows in episodes.values():
        likely = np.exp(np.array(columns["hindsight"])[rows] / temperature)
        raw = np.clip(likely / likely.mean(), 0.8, 1.2) * returns[rows]
        values[rows] = smoothing * raw + (1 - smoothing) * np.append(raw[1:], raw[-1])
    for group in set(columns["group"]):
        rows = [row for row in range(len(values)) if columns["group"][row] == group]
        step = (values[rows] - values[rows].mean()) / (values[rows].std(ddof=1) + 1e-6)
        is_success = np.array(columns["success"])[rows]
        result[rows] += weight * np.where(is_success & (step < 0), 0.0, step)
    return result


@given(seed=st.integers(0, 500), temperature=st.sampled_from([1.0, 5.0]), smoothing=st.sampled_from([0.0, 0.5, 1.0]))
def test_equals_the_definition(seed, temperature, smoothing):
    columns = (random_forest if seed % 2 else random_columns)(seed)
    options = {"temperature": temperature, "smoothing": smoothing, "step_weight": 0.3}
    result = credit.hcapo(table_of(columns), **options)
    np.testing.assert_allclose(result, oracle(columns, temperature, smoothing, 0.3), atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_without_the_steps_it_is_grpo(seed):
    table = table_of(random_columns(seed))
    np.testing.assert_array_equal(credit.hcapo(table, step_weight=0.0), credit.grpo(table, eps=1e-6))


@pytest.mark.parametrize("seed", range(4))
def test_hindsight_that_says_nothing_leaves_the_discounted_returns(seed):
    columns = random_columns(seed) | {"success": [False] * len(random_columns(seed)["turn"])}
    nobody = table_of(columns | {"hindsight": [math.nan] * len(columns["turn"])})
    equal = table_of(columns | {"hindsight": [-0.7] * len(columns["turn"])})
    bounded = credit.hcapo(table_of(columns), clip_low=1.0, clip_high=1.0)
    # one state for all: what GiGPO compares
    gigpo = credit.gigpo(table_of(columns | {"anchor": ["everywhere"] * len(columns["turn"])}))
    for result in (credit.hcapo(nobody), bounded, credit.hcapo(equal)):
        np.testing.assert_allclose(result, gigpo, atol=1e-9)


def test_what_it_needs_and_bad_options_are_said():
    columns = {key: value for key, value in COLUMNS.items() if key != "hindsight"}
    with pytest.raises(DataError, match="hindsight"):
        credit.hcapo(TurnTable.from_columns(**columns))
    for options in ({"temperature": 0.0}, {"clip_low": 2.0}):
        with pytest.raises(ConfigError, match="bounds in order"):
            credit.hcapo(TurnTable.from_columns(**COLUMNS), **options)
