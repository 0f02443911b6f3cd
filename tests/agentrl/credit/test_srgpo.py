import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.credit.srgpo import _random_groups
from agentrl.errors import ConfigError


def test_golden_with_one_group_for_all():
    # step rewards 1, 0, 0, 1: mean 1/2, std 1/√3; episode returns 1 and 1
    table = TurnTable.from_columns(group=[0] * 4, trajectory=[0, 0, 1, 1], turn=[0, 1] * 2, reward=[1, 0, 0, 1])
    result = credit.srgpo(table, seed=0, group_size=None, eps=0.0)
    np.testing.assert_allclose(result, 0.5 * np.sqrt(3) * np.array([0.5, -0.5, -0.5, 0.5]))
    step_reward = np.array([0.0, 0.0, 0.0, 4.0])
    result = credit.srgpo(table, seed=0, group_size=None, step_reward=step_reward, step_weight=1.0, scale="none")
    np.testing.assert_allclose(result, [-1, -1, -1, 3])


def test_golden_outcome_and_steps_apart_and_the_penalty_in_its_own_row():
    # a: outcome 1, step rewards 1 and 0, the second action invalid; b: nothing
    table = TurnTable.from_columns(
        group=[0] * 4, trajectory=["a", "a", "b", "b"], turn=[0, 1] * 2, reward=[0, 1, 0, 0], invalid=[0, 1, 0, 0]
    )
    result = credit.srgpo(
        table, seed=0, step_reward=np.array([1.0, 0, 0, 0]), group_size=None, invalid_penalty=0.1, scale="none"
    )
    # outcomes 1, 0.9, 0, 0 less their mean 0.475; steps 1, -0.1, 0, 0 less 0.225, by a half
    np.testing.assert_allclose(result, [0.525 + 0.3875, 0.425 - 0.1625, -0.475 - 0.1125, -0.475 - 0.1125])


@given(sizes=st.lists(st.integers(1, 9), max_size=4), size=st.integers(1, 5), seed=st.integers(0, 99))
def test_random_groups_are_full_and_stay_in_their_pool(sizes, size, seed):
    pool = np.repeat(np.arange(len(sizes)), sizes)
    key, count = _random_groups(pool, size, seed)
    members = [np.flatnonzero(key == k) for k in range(count)]
    assert sum(len(m) for m in members) == len(pool)
    for number, total in enumerate(sizes):
        lengths = sorted((len(m) for m in members if len(set(pool[m])) == 1 and pool[m[0]] == number), reverse=True)
        expected = [size] * (total // size) + [total % size] * (total % size > 0)
        assert lengths == expected


@pytest.mark.parametrize("within", ["batch", "group"])
def test_equals_the_z_score_of_its_random_groups(within):
    columns = random_columns(3)
    table = table_of(columns)
    pool = table.group_N if within == "group" else np.zeros(len(table), dtype=np.int64)
    key, _ = _random_groups(pool, 4, 11)
    step = np.zeros(len(table))
    for k in set(key.tolist()):
        mine = table.reward_N[key == k]
        if len(mine) > 1 and np.ptp(mine) > 0:
            step[key == k] = (mine - mine.mean()) / (mine.std(ddof=1) + 1e-6)
    expected = credit.grpo(table, weight="turn") + 0.5 * step
    np.testing.assert_allclose(credit.srgpo(table, seed=11, group_size=4, within=within), expected, atol=1e-12)


def test_the_seed_decides():
    table = table_of(random_columns(1))
    one, same, other = (credit.srgpo(table, seed=seed, group_size=3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_groups_of_one_leave_the_episode():
    table = table_of(random_columns(2))
    ours = credit.srgpo(table, seed=0, group_size=1)
    np.testing.assert_allclose(ours, credit.grpo(table, weight="turn"), atol=1e-12)
    with pytest.raises(ConfigError, match="group_size is 0"):
        credit.srgpo(table, seed=0, group_size=0)
