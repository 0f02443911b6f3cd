import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, table_of

from agentrl.credit import TurnTable, discounted_returns
from agentrl.errors import ConfigError


def chain(rewards):
    count = len(rewards)
    return TurnTable.from_columns(group=[0] * count, trajectory=[0] * count, turn=np.arange(count), reward=rewards)


def test_golden():
    # by hand: 4; 2 + 4/2 = 4; 0 + 4/2 = 2; 1 + 2/2 = 2
    np.testing.assert_array_equal(discounted_returns(chain([1, 0, 2, 4]), 0.5), [2, 2, 4, 4])


def test_trajectories_do_not_mix_and_time_is_the_turn():
    table = TurnTable.from_columns(
        group=[0] * 5, trajectory=["a", "b", "a", "b", "a"], turn=[2, 7, 0, 3, 1], reward=[1, 10, 0, 0, 0]
    )
    np.testing.assert_array_equal(discounted_returns(table, 0.5), [1, 10, 0.25, 5, 0.5])


def test_gamma_zero_is_the_reward_and_gamma_one_the_sum():
    table = chain([1, 2, 3, 4, 5])
    np.testing.assert_array_equal(discounted_returns(table, 0.0), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(discounted_returns(table, 1.0), [15, 14, 12, 9, 5])


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_gamma_out_of_range_is_refused(gamma):
    with pytest.raises(ConfigError, match="gamma"):
        discounted_returns(chain([1]), gamma)


@given(seed=st.integers(0, 1000), gamma=st.floats(0, 1))
def test_equals_the_recursion(seed, gamma):
    columns = random_columns(seed, turns=20)
    expected, running = [0.0] * len(columns["turn"]), {}
    for row in reversed(range(len(expected))):
        name = columns["trajectory"][row]
        running[name] = expected[row] = columns["reward"][row] + gamma * running.get(name, 0.0)
    np.testing.assert_allclose(discounted_returns(table_of(columns), gamma), expected, rtol=1e-12, atol=1e-12)


def test_a_long_trajectory_neither_overflows_nor_drifts():
    length, gamma = 200_000, 0.999
    result = discounted_returns(chain(np.ones(length)), gamma)
    assert result[0] == pytest.approx(1 / (1 - gamma), rel=1e-12)
    assert result[-1] == 1.0


def test_the_same_future_has_the_same_bits():
    rewards = [0.1, 0.7, 0.3, 0.0, 0.9]
    short, long = discounted_returns(chain(rewards), 0.95), discounted_returns(chain([0.2] * 37 + rewards), 0.95)
    np.testing.assert_array_equal(short, long[37:])
