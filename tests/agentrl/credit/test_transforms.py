from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError, DataError


def singles(**columns):
    """One trajectory of one turn per value."""
    count = len(next(iter(columns.values())))
    usual = {"group": [0] * count, "trajectory": range(count), "turn": [0] * count, "reward": [0.0] * count}
    return TurnTable.from_columns(**usual | columns)


def test_golden_empg():
    table = TurnTable.from_columns(
        group=[0] * 3, trajectory=[0, 0, 0], turn=[0, 1, 2], reward=[0] * 3, entropy=[2.0, 1.0, 3.0]
    )
    scaled = np.array([0.5, 0.0, 1.0])
    gain = np.exp(-scaled) / np.exp(-scaled).mean()
    shaped = np.array([1.0, 2.0, 3.0]) * gain + 0.1 * np.array([1.0, np.exp(-1.0), 0.0])
    result = credit.empg(table, base=np.array([1.0, 2.0, 3.0]), bonus=0.1)
    np.testing.assert_allclose(result, shaped - shaped.mean())


@pytest.mark.parametrize("seed", range(4))
def test_empg_without_its_terms_centres_the_base(seed):
    table = table_of(random_columns(seed))
    base = credit.grpo(table)
    np.testing.assert_allclose(credit.empg(table, base=base, sharpness=0.0, bonus=0.0), base - base.mean(), atol=1e-12)
    same = table_of(random_columns(seed) | {"entropy": [0.3] * len(table)})
    np.testing.assert_allclose(credit.empg(same, base=base, bonus=0.0), base - base.mean(), atol=1e-12)


def test_golden_d3s():
    table = singles(reward=[0] * 5)
    base = np.array([0.5, -1.0, 0.0, 1.0, 0.4])
    np.testing.assert_array_equal(credit.d3s(table, base=base, keep=2), [np.nan, -1, np.nan, 1, np.nan])
    np.testing.assert_array_equal(credit.d3s(table, base=base, keep=0.6), [0.5, -1, np.nan, 1, np.nan])
    np.testing.assert_array_equal(credit.d3s(table, base=base, keep=9), base)


@given(base=st.lists(st.floats(-3, 3), min_size=1, max_size=8), data=st.data())
def test_d3s_finds_the_most_varied_subset(base, data):
    keep = data.draw(st.integers(1, len(base)))
    kept = credit.d3s(singles(reward=[0] * len(base)), base=np.array(base), keep=keep)
    kept = kept[~np.isnan(kept)]
    assert len(kept) == keep
    assert np.var(kept) == pytest.approx(max(np.var(subset) for subset in combinations(base, keep)), abs=1e-9)


def test_d3s_keeps_whole_trajectories():
    table = table_of(random_columns(0))
    kept = ~np.isnan(credit.d3s(table, base=credit.grpo, keep=0.25))
    by_trajectory = [set(kept[table.trajectory_N == t].tolist()) for t in range(table.num_trajectories)]
    assert all(len(answers) == 1 for answers in by_trajectory)
    assert sum(answers == {True} for answers in by_trajectory) == round(0.25 * table.num_trajectories)


def test_d3s_schedule_is_a_straight_line():
    assert [credit.d3s_schedule(p, 0.8, 0.4) for p in (0.0, 0.25, 1.0)] == pytest.approx([0.8, 0.7, 0.4])


@pytest.mark.parametrize("keep", [0, 0.0, 1.5, -1])
def test_d3s_keeps_something(keep):
    with pytest.raises(ConfigError, match="keep is"):
        credit.d3s(singles(reward=[0, 1]), base=np.zeros(2), keep=keep)


def test_golden_unlikeliness():
    table = singles(reward=[1.0, 1, 0, 1], logprob=[-1.0, -3, -2, -0.5], tokens=[1] * 4)
    # ranks 2, 0, 1, 3 of 4
    np.testing.assert_allclose(credit.unlikeliness(table, beta=0.4).reward_N, [0.8, 1.0, 0.0, 0.7])


def test_unlikeliness_weighs_turns_by_tokens_and_groups_apart():
    table = TurnTable.from_columns(
        group=[0, 0, 0, 1], trajectory=[0, 0, 1, 2], turn=[0, 1, 0, 0], reward=[1.0] * 4,
        logprob=[-1.0, -5.0, -2.5, -9.0], tokens=[7, 1, 3, 1],
    )  # fmt: skip
    # -12/8 = -1.5 is likelier than -2.5; the other group is ranked alone
    np.testing.assert_allclose(credit.unlikeliness(table, beta=0.5).reward_N, [0.75, 0.75, 1.0, 1.0])


@given(seed=st.integers(0, 1000))
def test_unlikeliness_equals_the_definition(seed):
    columns = random_columns(seed, turns=2)
    columns["logprob"] = np.round(np.array(columns["logprob"]) * 8) / 8  # ties, exact in floats
    columns["tokens"] = [1] * len(columns["turn"])
    rows = range(len(columns["turn"]))

    def mean(name):
        return np.mean([columns["logprob"][r] for r in rows if columns["trajectory"][r] == name])

    expected = []
    for row in rows:
        mine = columns["trajectory"][row]
        members = {columns["trajectory"][r] for r in rows if columns["group"][r] == columns["group"][row]}
        rank = sum(mean(name) < mean(mine) for name in members)
        expected.append(columns["reward"][row] * (1 - 0.25 * rank / len(members)))
    np.testing.assert_allclose(credit.unlikeliness(table_of(columns)).reward_N, expected, atol=1e-12)


def test_unlikeliness_passes_over_what_is_not_scored():
    table = singles(reward=[1.0, 1.0], logprob=[-1.0, -2.0], tokens=[1, 1], verdict=[True, False])
    np.testing.assert_array_equal(credit.unlikeliness(table).reward_N, [1.0, 1.0])
    with pytest.raises(DataError, match="no sampled tokens"):
        credit.unlikeliness(singles(reward=[1.0], logprob=[0.0], tokens=[0]))


def test_empty_tables():
    columns = {"logprob": [], "tokens": [], "entropy": []}
    table = TurnTable.from_columns(group=[], trajectory=[], turn=[], reward=[], **columns)
    assert len(credit.unlikeliness(table)) == 0
    assert credit.empg(table, base=np.zeros(0)).shape == credit.d3s(table, base=np.zeros(0), keep=1).shape == (0,)
