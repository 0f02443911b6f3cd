import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, random_forest, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError, DataError
from agentrl.seeding import generator


def test_golden_mt_grpo():
    # outcomes 1, 0, 1, tool rewards 0.5, 0, -; the third calls no tool
    table = TurnTable.from_columns(
        group=[0] * 5, trajectory=[0, 0, 1, 1, 2], turn=[0, 1, 0, 1, 0], reward=[0, 1, 0, 0, 1]
    )
    turn_reward = np.array([0.5, 0.0, 0.0, 0.0, 0.0])
    outcome = (np.array([1, 0, 1]) - 2 / 3) / np.std([1, 0, 1], ddof=1)
    tool = (np.array([0.5, 0, 0]) - 1 / 6) / np.std([0.5, 0, 0], ddof=1)
    total = (np.array([1.5, 0, 1]) - 2.5 / 3) / np.std([1.5, 0, 1], ddof=1)
    expected = [outcome[0] + 2 * tool[0], outcome[0], outcome[1] + 2 * tool[1], outcome[1], total[2]]
    np.testing.assert_allclose(credit.mt_grpo(table, turn_reward=turn_reward, turn_weight=2.0, eps=0.0), expected)


@given(seed=st.integers(0, 1000), gamma=st.sampled_from([0.0, 0.9, 1.0]))
def test_mt_grpo_equals_the_definition(seed, gamma):
    columns = random_columns(seed, turns=3)
    rows = range(len(columns["turn"]))
    turn_reward = generator(seed, "turn reward").integers(0, 3, len(rows)) * 1.0
    last, total, extra = {}, {}, {}
    for row in rows:
        name = columns["trajectory"][row]
        last[name] = columns["turn"][row]
        total[name] = total.get(name, 0.0) + columns["reward"][row]
        extra[name] = extra.get(name, 0.0) + turn_reward[row]

    def to_go(row):
        mine = [r for r in rows if columns["trajectory"][r] == columns["trajectory"][row]]
        return sum(gamma ** (r - row) * turn_reward[r] for r in mine if r >= row)

    def score(value, values):
        return (
            0.0
            if len(values) < 2 or np.ptp(values) == 0
            else (value - np.mean(values)) / (np.std(values, ddof=1) + 1e-4)
        )

    expected = []
    for row in rows:
        name, group = columns["trajectory"][row], columns["group"][row]
        members = sorted({columns["trajectory"][r] for r in rows if columns["group"][r] == group})
        alike = [r for r in rows if columns["group"][r] == group and columns["turn"][r] == columns["turn"][row]]
        outcome = score(total[name], [total[n] for n in members])
        if last[name] == 0:
            expected.append(score(total[name] + extra[name], [total[n] + extra[n] for n in members]))
        elif columns["turn"][row] == last[name]:
            expected.append(outcome)
        else:
            expected.append(outcome + score(to_go(row), [to_go(r) for r in alike]))
    result = credit.mt_grpo(table_of(columns), turn_reward=turn_reward, gamma=gamma)
    np.testing.assert_allclose(result, expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_without_turn_rewards_mt_grpo_is_grpo(seed):
    table = table_of(random_columns(seed))
    np.testing.assert_allclose(
        credit.mt_grpo(table, turn_reward=np.zeros(len(table))), credit.grpo(table, eps=1e-4), atol=1e-12
    )


def chain(rewards):
    count = len(rewards)
    return TurnTable.from_columns(group=[0] * count, trajectory=[0] * count, turn=range(count), reward=rewards)


def test_golden_vineppo():
    # 0 + 0.5 - 0.25; 0 + 0.75 - 0.5; 1 + 0 - 0.75
    result = credit.vineppo(chain([0, 0, 1]), values=np.array([0.25, 0.5, 0.75]))
    np.testing.assert_allclose(result, [0.25, 0.25, 0.25])


def test_golden_vineppo_with_missing_estimates():
    # V_2 = 1 and V_1 = 0 + 1: both turns without an estimate get 0
    result = credit.vineppo(chain([0, 0, 1]), values=np.array([0.25, np.nan, np.nan]))
    np.testing.assert_allclose(result, [0.75, 0.0, 0.0])


@pytest.mark.parametrize("seed", range(4))
def test_vineppo_sums_to_what_was_earned_beyond_the_first_value_and_is_one_step_gae(seed):
    columns = random_columns(seed)
    table = table_of(columns)
    values = generator(seed, "values").random(len(table))
    result = credit.vineppo(table, values=values)
    earned = np.bincount(table.trajectory_N, weights=table.reward_N) - values[table.first_row_M]
    np.testing.assert_allclose(np.bincount(table.trajectory_N, weights=result), earned, atol=1e-12)
    np.testing.assert_allclose(result, credit.gae(table.reward_N, values, table.trajectory_N, lam=0.0)[0], atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_vine_values_equal_the_definition(seed):
    columns = random_forest(seed, trajectories=6)
    rows = range(len(columns["turn"]))
    expected = []
    for row in rows:
        name, turn = columns["trajectory"][row], columns["turn"][row]
        forks = {
            columns["trajectory"][r]
            for r in rows
            if columns["parent"][r] == name and columns["branch_turn"][r] == turn == columns["turn"][r]
        }
        earned = [
            sum(columns["reward"][r] for r in rows if columns["trajectory"][r] == fork and columns["turn"][r] >= turn)
            for fork in forks
        ]
        expected.append(np.mean(earned) if earned else np.nan)
    table = table_of(columns)
    result = credit.vine_values(table)
    np.testing.assert_allclose(result, expected, atol=1e-12)
    assert np.isfinite(credit.vineppo(table, values=result)).all()


def test_a_lost_continuation_says_nothing_about_the_value():
    columns = {"group": [0] * 4, "trajectory": ["a", "b", "c", "d"], "turn": [0] * 4, "reward": [1.0, 0.0, 0.5, 9.0]}
    forest = {"parent": [None, "a", "a", "a"], "branch_turn": [0] * 4}
    table = TurnTable.from_columns(**columns, **forest, verdict=[True, True, True, False])
    np.testing.assert_array_equal(credit.vine_values(table), [0.25, np.nan, np.nan, np.nan])
    assert credit.vineppo(table, values=credit.vine_values(table))[0] == 0.75


def test_bad_input_is_refused():
    with pytest.raises(DataError, match=r"values has shape \(1,\)"):
        credit.vineppo(chain([0, 1]), values=np.zeros(1))
    with pytest.raises(DataError, match="base has shape"):
        credit.mt_grpo(chain([0, 1]), turn_reward=np.zeros(1))
    with pytest.raises(ConfigError, match="gamma is 2"):
        credit.mt_grpo(chain([0, 1]), turn_reward=np.zeros(2), gamma=2)
