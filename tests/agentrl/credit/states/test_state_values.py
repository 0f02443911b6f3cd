import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, random_forest, table_of

from agentrl import credit
from agentrl.credit import TurnTable

# Two episodes through the same hall: one wins in the attic, one loses in the cellar.
COLUMNS = {
    "group": [0] * 4,
    "trajectory": ["win", "win", "lose", "lose"],
    "turn": [0, 1, 0, 1],
    "reward": [0, 10, 0, 0],
    "anchor": ["hall", "attic", "hall", "cellar"],
    "success": [True, True, False, False],
}


def test_g2po_golden():
    # gamma 0.5: V(hall) = (2.5 + 0) / 2, V(attic) = 5, V(cellar) = 0, the goal 10
    episode = np.array([5.0, 5.0, -5.0, -5.0])
    local = [2.5, 0.0, -2.5, 0.0]
    gain = np.array([3.75, 5.0, -1.25, 0.0])
    result = credit.g2po(TurnTable.from_columns(**COLUMNS), gamma=0.5, scale="none")
    np.testing.assert_allclose(result, episode + local + gain - gain.mean())


def test_gagpo_golden():
    # gamma 0.5: V(hall) = (5 + 0) / 2, V(attic) = 10, V(cellar) = 0
    table = TurnTable.from_columns(**COLUMNS)
    delta = np.array([0.5 * 10 - 2.5, 0.0, -2.5, 0.0])
    np.testing.assert_allclose(credit.gagpo(table, gamma=0.5, lam=0.3, scale="none"), delta - delta.mean())
    expected = (delta - delta.mean()) / np.std(delta, ddof=1)
    np.testing.assert_allclose(credit.gagpo(table, gamma=0.5, lam=0.3, eps=0.0), expected)


def episodes(columns):
    rows = sorted(range(len(columns["turn"])), key=lambda row: columns["turn"][row])
    found = {}
    for row in rows:
        found.setdefault(columns["trajectory"][row], []).append(row)
    return found


def zscore(values, eps):
    values = np.array(values, dtype=np.float64)
    if len(values) < 2 or np.ptp(values) < 1e-12:
        return np.zeros(len(values))
    return (values - values.mean()) / (values.std(ddof=1) + eps)


def oracle_values(columns, worth):
    states = {}
    for row, value in worth.items():
        states.setdefault((columns["group"][row], columns["anchor"][row]), []).append(value)
    return {row: np.mean(states[columns["group"][row], columns["anchor"][row]]) for row in worth}


def alike(columns, values, *names):
    """Z-score of the values among the rows that agree in the named columns."""
    result = np.zeros(len(values))
    keys = [tuple(columns[name][row] for name in names) for row in range(len(values))]
    for key in set(keys):
        rows = [row for row in range(len(values)) if keys[row] == key]
        result[rows] = zscore([values[row] for row in rows], 1e-6)
    return result


@given(seed=st.integers(0, 500), gamma=st.sampled_from([0.5, 0.95, 1.0]), forest=st.booleans())
def test_g2po_equals_the_definition(seed, gamma, forest):
    columns = (random_forest if forest else random_columns)(seed)
    size = len(columns["turn"])
    total = {name: sum(columns["reward"][row] for row in rows) for name, rows in episodes(columns).items()}
    worth, follows = {}, {}
    for name, rows in episodes(columns).items():
        for place, row in enumerate(rows):
            worth[row] = gamma ** (len(rows) - place) * total[name]
            follows[row] = rows[place + 1] if place + 1 < len(rows) else None
    value = oracle_values(columns, worth)
    after = [
        value[follows[row]] if follows[row] is not None else total[columns["trajectory"][row]] * columns["success"][row]
        for row in range(size)
    ]
    local = alike(columns, [after[row] - 0.1 * columns["invalid"][row] for row in range(size)], "group", "anchor")
    gain = alike(columns, [after[row] - value[row] for row in range(size)], "group")
    table = table_of(columns)
    episode = credit.group_relative(table.with_reward(table.reward_N - 0.1 * table.invalid_N))
    result = credit.g2po(table, gamma=gamma, step_weight=0.5, invalid_penalty=0.1)
    np.testing.assert_allclose(result, episode + 0.5 * (local + gain), atol=1e-8)


@given(seed=st.integers(0, 500), gamma=st.sampled_from([0.5, 1.0]), lam=st.sampled_from([0.0, 0.7, 1.0]))
def test_gagpo_equals_the_definition(seed, gamma, lam):
    columns = random_columns(seed)
    returns = credit.discounted_returns(table_of(columns), gamma)
    value = oracle_values(columns, dict(enumerate(returns)))
    raw = np.zeros(len(returns))
    for rows in episodes(columns).values():
        later = 0.0
        for place in reversed(range(len(rows))):
            row = rows[place]
            next_value = value[rows[place + 1]] if place + 1 < len(rows) else 0.0
            later = columns["reward"][row] + gamma * next_value - value[row] + gamma * lam * later
            raw[row] = later
    result = credit.gagpo(table_of(columns), gamma=gamma, lam=lam)
    np.testing.assert_allclose(result, alike(columns, raw, "group"), atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_gagpo_without_bootstrap_is_the_centred_turn_advantage(seed):
    table = table_of(random_columns(seed))
    ours = credit.gagpo(table, lam=1.0, gamma=0.9, scale="none")
    theirs = credit.anchor_state(table, gamma=0.9, scale="none")  # its mean over each group's turns is 0 already
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_g2po_without_the_steps_is_grpo(seed):
    table = table_of(random_columns(seed))
    np.testing.assert_array_equal(credit.g2po(table, step_weight=0.0), credit.grpo(table, eps=1e-6))


def test_an_invalid_action_costs_its_own_turn():
    columns = COLUMNS | {"invalid": [False, False, True, False]}
    table = TurnTable.from_columns(**columns)
    change = credit.g2po(table, scale="none", invalid_penalty=1.0) - credit.g2po(table, scale="none")
    np.testing.assert_allclose(change, [0.5 + 0.5, 0.5, -0.5 - 0.5, -0.5])  # episode, and in the hall
