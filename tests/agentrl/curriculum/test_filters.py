"""Group filters: by hand, against the definition, and what they leave alone."""

import numpy as np
import pytest

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.curriculum import DynamicSampling, TopVariance, keep_groups, make_filter, num_kept
from agentrl.errors import ConfigError
from tests.agentrl.credit.tables import random_columns


def groups(*returns: list[float], verdict: bool = True) -> TurnTable:
    """Return a table of a group per list, with an episode of two turns per return."""
    rows = [
        (g, f"{g}/{m}", t, value * t) for g, row in enumerate(returns) for m, value in enumerate(row) for t in (0, 1)
    ]
    group, trajectory, turn, reward = zip(*rows, strict=True) if rows else ((), (), (), ())
    return TurnTable.from_columns(
        group=group, trajectory=trajectory, turn=turn, reward=reward, verdict=[verdict] * len(rows)
    )


def kept(table: TurnTable) -> list[int]:
    return sorted(set(table.group_N[table.verdict_N].tolist()))


def test_dynamic_sampling_keeps_mixed_outcomes() -> None:
    table = groups([0, 0, 0], [1, 1, 1], [1, 0, 0], [0.3, 0.3, 0.3], [0, 1, 1])
    assert kept(keep_groups(table, DynamicSampling())) == [2, 4]


def test_a_group_of_one_has_no_mix() -> None:
    assert kept(keep_groups(groups([1], [0, 1]), DynamicSampling())) == [1]


def test_number_kept() -> None:
    assert num_kept(groups([0, 0], [1, 0], [0.2, 0.1]), DynamicSampling()) == 2
    assert num_kept(groups([0, 0], [1, 0], [0.2, 0.1]), TopVariance(0.4)) == 1
    assert num_kept(groups([0, 1], verdict=False), DynamicSampling()) == 0
    assert num_kept(groups(), DynamicSampling()) == 0


@pytest.mark.parametrize(("share", "expected"), [(0.2, [1]), (0.4, [1, 3]), (0.6, [1, 2, 3]), (1.0, [1, 2, 3])])
def test_top_variance(share: float, expected: list[int]) -> None:
    table = groups([1, 1], [0, 1], [0.4, 0.6], [0.2, 0.8], [0, 0])
    assert kept(keep_groups(table, TopVariance(share))) == expected


def test_top_variance_keeps_the_earlier_of_equals_and_something_of_little() -> None:
    assert kept(keep_groups(groups([0, 1], [1, 0], [0, 1]), TopVariance(0.34))) == [0]
    assert kept(keep_groups(groups([0, 0], [1, 1]), TopVariance(0.5))) == []


@pytest.mark.parametrize("seed", range(3))
def test_the_kept_are_the_most_varied(seed: int) -> None:
    table = TurnTable.from_columns(**random_columns(seed, groups=12))
    members = [np.unique(table.trajectory_N[table.group_N == g]) for g in range(12)]
    returns = [[table.reward_N[table.trajectory_N == m].sum() for m in group] for group in members]
    spread = np.array([np.std(row, ddof=1) for row in returns])
    assert kept(keep_groups(table, TopVariance(0.25))) == sorted(np.argsort(-spread, kind="stable")[:3].tolist())


def test_dropped_groups_do_not_change_the_credit_of_others() -> None:
    table = groups([0, 0, 0], [1, 0, 0], [0, 1, 1])
    filtered = credit.grpo(keep_groups(table, DynamicSampling()))
    np.testing.assert_array_equal(np.isnan(filtered), table.group_N == 0)
    np.testing.assert_array_equal(filtered[table.group_N > 0], credit.grpo(table)[table.group_N > 0])


def test_groups_without_a_verdict_are_not_counted() -> None:
    lost = groups([0, 1], [0, 1], verdict=False)
    assert keep_groups(lost, TopVariance(0.5)) is lost
    table = groups([0, 0], [0, 1], [0.1, 0.9], [0, 1])
    half = table.select(table.group_N > 1)
    assert kept(keep_groups(half, TopVariance(0.5))) == [3]


def test_by_name() -> None:
    assert make_filter("none") is None
    assert make_filter("dynamic_sampling") == DynamicSampling()
    assert make_filter("top_variance", share=0.5) == TopVariance(0.5)
    with pytest.raises(ConfigError, match="did you mean 'top_variance'"):
        make_filter("top_varience")
    with pytest.raises(ConfigError, match="share is 0"):
        TopVariance(0.0)
