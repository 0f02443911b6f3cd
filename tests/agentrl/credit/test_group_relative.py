import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.credit.group_relative import row_weights
from agentrl.errors import ConfigError

# trajectory returns 3 (one turn, 2 tokens), 1 (two turns, 4 tokens), 2 (one turn, 2 tokens)
TABLE = TurnTable.from_columns(
    group=[0] * 4, trajectory=[0, 1, 1, 2], turn=[0, 0, 1, 0], reward=[3, 0, 1, 2], tokens=[2, 1, 3, 2]
)


def test_golden_grpo():
    # mean 2, std 1
    np.testing.assert_allclose(credit.grpo(TABLE, eps=0.0), [1, -1, -1, 0])
    np.testing.assert_allclose(credit.grpo(TABLE, eps=1.0), [0.5, -0.5, -0.5, 0])


def test_golden_grpo_over_turns():
    # turns 3, 1, 1, 2: mean 7/4, variance (25 + 9 + 9 + 1)/16 / 3 = 11/12
    expected = np.array([5, -3, -3, 1]) / 4 / np.sqrt(11 / 12)
    np.testing.assert_allclose(credit.grpo(TABLE, weight="turn", eps=0.0), expected)


def test_golden_without_std():
    np.testing.assert_allclose(credit.dr_grpo(TABLE), [1, -1, -1, 0])
    np.testing.assert_allclose(credit.rloo(TABLE), [1.5, -1.5, -1.5, 0])
    # Σ l S / Σ l = (2·3 + 4·1 + 2·2) / 8 = 7/4
    np.testing.assert_allclose(credit.opo(TABLE), np.array([5, -3, -3, 1]) / 4)
    np.testing.assert_allclose(credit.opo(TABLE, length="turn"), np.array([5, -3, -3, 1]) / 4)


def test_golden_reinforce_plus_plus():
    # returns-to-go 3, 1, 1, 2 over the batch
    expected = np.array([5, -3, -3, 1]) / 4 / np.sqrt(11 / 12)
    np.testing.assert_allclose(credit.reinforce_plus_plus(TABLE, eps=0.0), expected)
    # centred by group 1, -1, -1, 0; the turns' mean is -1/4, variance (25 + 9 + 9 + 1)/16 / 3 = 11/12
    expected = np.array([5, -3, -3, 1]) / 4 / np.sqrt(11 / 12)
    np.testing.assert_allclose(credit.reinforce_plus_plus(TABLE, group_baseline=True, eps=0.0), expected)


def oracle(columns, *, scale, baseline, weight, ddof=1, eps=1e-6):
    """The definition, member by member: every trajectory listed as often as it counts."""
    rows = range(len(columns["turn"]))
    total, group_of, times = {}, {}, {}
    for row in rows:
        name = columns["trajectory"][row]
        group_of[name] = columns["group"][row]
        total[name] = total.get(name, 0.0) + columns["reward"][row]
        more = {"trajectory": 0, "turn": 1, "token": columns["tokens"][row]}[weight]
        times[name] = times.get(name, 0) + more
    result = []
    for row in rows:
        name = columns["trajectory"][row]
        members = [n for n in total if group_of[n] == group_of[name]]
        listed = [total[n] for n in members for _ in range(max(1, times[n]))]
        others = [total[n] for n in members if n != name for _ in range(max(1, times[n]))]
        if not others or len(set(listed)) == 1:
            result.append(0.0)
            continue
        centre = np.mean(listed if baseline == "mean" else others)
        spread = np.std(listed, ddof=ddof) + eps if scale == "std" else 1.0
        result.append((total[name] - centre) / spread)
    return result


@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from(["std", "none"]),
    baseline=st.sampled_from(["mean", "leave_one_out"]),
    weight=st.sampled_from(["trajectory", "turn", "token"]),
    ddof=st.integers(0, 1),
)
def test_equals_the_definition(seed, scale, baseline, weight, ddof):
    columns = random_columns(seed, trajectories=3)
    options = {"scale": scale, "baseline": baseline, "weight": weight, "ddof": ddof}
    result = credit.group_relative(table_of(columns), **options)
    np.testing.assert_allclose(result, oracle(columns, **options), rtol=1e-9, atol=1e-9)


def with_rewards(columns, rewards):
    return table_of(columns | {"reward": rewards})


@pytest.mark.parametrize("seed", range(5))
def test_scale_and_shift_of_the_return_do_not_matter(seed):
    columns = random_columns(seed)
    is_last = np.diff([*columns["turn"], 0]) <= 0
    rewards = np.array(columns["reward"])
    expected = credit.grpo(with_rewards(columns, rewards), eps=0.0)
    np.testing.assert_allclose(
        credit.grpo(with_rewards(columns, 7 * rewards + 5 * is_last), eps=0.0), expected, atol=1e-9
    )


def test_advantages_of_a_group_sum_to_zero_with_their_weights():
    for weight in ("trajectory", "turn", "token"):
        table = table_of(random_columns(3))
        weighted = credit.group_relative(table, weight=weight) * row_weights(table, weight)
        np.testing.assert_allclose(np.bincount(table.group_N, weights=weighted), 0.0, atol=1e-12)


def test_equal_returns_added_in_another_order_are_equal():
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit
    rewards = [0.1, 0.2, 0.3, 0.3, 0.2, 0.1]
    table = TurnTable.from_columns(group=[0] * 6, trajectory=[0] * 3 + [1] * 3, turn=[0, 1, 2] * 2, reward=rewards)
    np.testing.assert_array_equal(credit.grpo(table, eps=0.0), 0.0)


def test_unknown_options_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'leave_one_out'"):
        credit.group_relative(TABLE, baseline="leave_out")
