"""BRPO: votes against a random member of the group."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, shuffled, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError


def group(*returns: float, label: str = "task") -> TurnTable:
    count = len(returns)
    return TurnTable.from_columns(
        group=[label] * count, trajectory=list(range(count)), turn=[0] * count, reward=list(returns)
    )


def test_golden() -> None:
    table = group(1.0, 3.0, 2.0, 2.0)
    seen = set()
    for seed in range(40):
        votes = credit.brpo(table, seed=seed, max_skew=1.0)
        (reference,) = np.flatnonzero(votes == 0)
        seen.add(int(reference))
        expected = np.where(table.reward_N > table.reward_N[reference], 1.0, -1.0)
        expected[reference] = 0.0
        np.testing.assert_array_equal(votes, expected)
        ties = credit.brpo(table, seed=seed, max_skew=1.0, tie=0.0)
        np.testing.assert_array_equal(ties, np.sign(table.reward_N - table.reward_N[reference]))
    assert seen == {0, 1, 2, 3}, "every member is a reference now and then"


def test_a_skewed_vote_is_not_scored() -> None:
    table = group(0.0, 1.0, 1.0, 1.0)  # against the failure all win, against a success none does
    whole = [credit.brpo(table, seed=seed, max_skew=1.0) for seed in range(20)]
    cut = [credit.brpo(table, seed=seed) for seed in range(20)]
    assert {abs(votes.sum()) for votes in whole} == {3.0}
    assert np.isnan(cut).all(), "3 / 4 > 0.6"
    np.testing.assert_array_equal([credit.brpo(table, seed=seed, max_skew=0.75) for seed in range(20)], whole)


def test_a_judge_of_ones_own_decides() -> None:
    table = group(1.0, 2.0, 3.0, 4.0, 5.0)
    asked: list[Any] = []

    def shorter(turns: TurnTable, one_M: Any, other_M: Any) -> Any:
        asked.append((turns, one_M, other_M))
        return -credit.brpo.__wrapped__.__kwdefaults__["judge"](turns, one_M, other_M)  # type: ignore[attr-defined]

    ours = credit.brpo(table, seed=3, judge=shorter, max_skew=1.0)
    np.testing.assert_array_equal(ours, -credit.brpo(table, seed=3, max_skew=1.0))
    assert len(asked) == 1 and len(set(asked[0][2])) == 1


@given(seed=st.integers(0, 50), scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_only_the_order_of_returns_counts(seed: int, scale: float, shift: float) -> None:
    rewards = np.random.Generator(np.random.PCG64(seed)).integers(0, 3, size=6).astype(float)
    one, other = group(*rewards), group(*(rewards * scale + shift))
    np.testing.assert_array_equal(credit.brpo(one, seed=seed), credit.brpo(other, seed=seed))


def test_a_group_draws_alone() -> None:
    """Neither other groups nor, where they are in order of time, the order of the rows change a group's reference."""
    columns = random_columns(2)
    whole = credit.brpo(table_of(columns), seed=1, max_skew=1.0)
    mine = [row for row, name in enumerate(columns["group"]) if name == "task 1"]
    alone = {name: [values[row] for row in mine] for name, values in columns.items()}
    np.testing.assert_array_equal(credit.brpo(table_of(alone), seed=1, max_skew=1.0), whole[mine])
    mixed, order = shuffled(columns, 5)
    votes = credit.brpo(table_of(mixed), seed=1, max_skew=1.0)
    for name in set(mixed["trajectory"]):
        assert len({vote for vote, other in zip(votes, mixed["trajectory"], strict=True) if other == name}) == 1
    assert len(order) == len(votes)


def test_the_seed_and_the_label_decide() -> None:
    references = [
        tuple(np.flatnonzero(credit.brpo(group(*range(9), label=label), seed=seed, max_skew=1.0) == 0))
        for label in ("a", "b", "c")
        for seed in range(5)
    ]
    assert len(set(references)) > 3
    assert np.array_equal(credit.brpo(group(1, 2, 3), seed=0), credit.brpo(group(1, 2, 3), seed=0), equal_nan=True)


def test_a_group_of_one_and_bad_options() -> None:
    np.testing.assert_array_equal(credit.brpo(group(5.0), seed=0), [0.0])
    with pytest.raises(ConfigError, match="max_skew is 2"):
        credit.brpo(group(1.0), seed=0, max_skew=2.0)
