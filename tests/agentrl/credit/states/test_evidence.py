import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, random_forest, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError

# One state: three went left (4, 2, 0), one lucky one went right (6).
COLUMNS = {
    "group": [0] * 4,
    "trajectory": [0, 1, 2, 3],
    "turn": [0] * 4,
    "reward": [4, 2, 0, 6],
    "anchor": ["s"] * 4,
    "action": ["left", "left", "left", "right"],
}


def test_golden():
    # mean 3; left (3 * 2 + 2 * 3) / 5, right (6 + 2 * 3) / 3; between (3 * 1 + 9) / 4, within (4 + 0 + 4) / 4
    left, right = 12 / 5, 4.0
    mean = (3 * left + right) / 4
    trust = math.tanh(4 / 4) * 3 / (3 + 2)
    shrunk = np.array([left, left, left, right])
    episode = np.array([1, -1, -3, 3])
    result = credit.ecpo(TurnTable.from_columns(**COLUMNS), scale="none", eps=0.0)
    np.testing.assert_allclose(result, episode + trust * (shrunk - mean))
    expected = episode / np.std(COLUMNS["reward"], ddof=1) + trust * (shrunk - mean) / np.std(shrunk, ddof=1)
    np.testing.assert_allclose(credit.ecpo(TurnTable.from_columns(**COLUMNS), eps=0.0), expected)


def oracle(columns, prior, maturity, weight):
    table = table_of(columns)
    returns, rows = credit.discounted_returns(table, 0.95), range(len(columns["turn"]))
    result = credit.group_relative(table).copy()

    def key(row):
        return columns["group"][row], columns["anchor"][row]

    for state in {key(row) for row in rows}:
        here = [row for row in rows if key(row) == state]
        middle, between, within, shrunk = returns[here].mean(), 0.0, 0.0, {}
        for action in {columns["action"][row] for row in here}:
            did = [row for row in here if columns["action"][row] == action]
            mean = returns[did].mean()
            between += len(did) * (mean - middle) ** 2 / len(here)
            within += ((returns[did] - mean) ** 2).sum() / len(here)
            shrunk |= dict.fromkeys(did, (len(did) * mean + prior * middle) / (len(did) + prior))
        values = np.array([shrunk[row] for row in here])
        if np.ptp(values) > 1e-12:
            act = (values - values.mean()) / (values.std(ddof=1) + 1e-6)
            result[here] += weight * math.tanh(len(here) / maturity) * between / (between + within + 1e-6) * act
    return result


@given(seed=st.integers(0, 500), prior=st.sampled_from([0.0, 2.0]), maturity=st.sampled_from([1.0, 8.0]))
def test_equals_the_definition(seed, prior, maturity):
    columns = (random_forest if seed % 2 else random_columns)(seed)
    result = credit.ecpo(table_of(columns), prior=prior, maturity=maturity, step_weight=0.7)
    np.testing.assert_allclose(result, oracle(columns, prior, maturity, 0.7), atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_with_one_action_it_is_grpo(seed):
    columns = random_columns(seed)
    table = table_of(columns | {"action": ["wait"] * len(columns["turn"])})
    np.testing.assert_array_equal(credit.ecpo(table), credit.group_relative(table))
    np.testing.assert_array_equal(credit.ecpo(table_of(columns), step_weight=0.0), credit.group_relative(table))


@pytest.mark.parametrize("seed", range(4))
def test_with_ever_new_actions_and_full_trust_it_is_gigpo(seed):
    columns = random_columns(seed)
    table = table_of(columns | {"action": list(range(len(columns["turn"])))})
    ours = credit.ecpo(table, prior=0.0, maturity=1e-6, eps=0.0)
    np.testing.assert_allclose(ours, credit.gigpo(table, eps=0.0), atol=1e-9)
    assert not np.allclose(ours, credit.grpo(table))


def test_a_rare_action_is_trusted_less_the_more_the_prior_counts():
    table = TurnTable.from_columns(**COLUMNS)
    parts = [credit.ecpo(table, prior=prior, scale="none") - credit.dr_grpo(table) for prior in (0.0, 2.0, 20.0)]
    gains = [part[3] for part in parts]
    assert gains[0] > gains[1] > gains[2] > 0


@pytest.mark.parametrize("options", [{"prior": -1.0}, {"maturity": 0.0}])
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError, match="give a prior from 0 and a maturity above 0"):
        credit.ecpo(TurnTable.from_columns(**COLUMNS), **options)
