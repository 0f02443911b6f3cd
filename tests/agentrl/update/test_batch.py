"""Advantages reach the right tokens, and cutting a batch loses and doubles nothing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl import seeding
from agentrl.update import batch as batches
from agentrl.update.batch import Sample, micro_batches, pack, spread, worth_merging
from agentrl.update.dealing import mini_batches
from tests.agentrl.update.samples import NAN, samples, sequence, trajectory


@pytest.fixture(autouse=True)
def every_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge whatever small samples share."""
    monkeypatch.setattr(batches, "LEAST_SAVED", 1)


def test_spread_gives_tokens_the_advantage_of_their_turn() -> None:
    played = [
        trajectory(sequence([-1, 0, 0, -1, 1])),
        trajectory(sequence([-1, -1, 0]), sequence([-1, 1, 1, 1]), sequence([-1, 2])),
    ]
    first, second, third, fourth = spread(played, np.array([0.5, -1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(first.advantages_L, [NAN, 0.5, 0.5, NAN, -1.0])
    np.testing.assert_array_equal(first.rows_L, [-1, 0, 0, -1, 1])
    np.testing.assert_array_equal(second.advantages_L, [NAN, NAN, 2.0])
    np.testing.assert_array_equal(third.rows_L, [-1, 3, 3, 3])
    np.testing.assert_array_equal(fourth.advantages_L, [NAN, 4.0])
    assert (first.num_scored, third.num_scored) == (3, 3)
    assert first.old_logprobs_L is played[0].sequences[0].behavior_logprobs_L


def test_spread_leaves_out_turns_that_are_not_scored() -> None:
    played = [trajectory(sequence([-1, 0, 1])), trajectory(sequence([-1, 0])), trajectory(sequence([-1, 0]))]
    kept = spread(played, np.array([NAN, 0.0, NAN, 1.0]))
    assert [sample.num_scored for sample in kept] == [1, 1], "zero is scored, NaN is not"
    np.testing.assert_array_equal(kept[0].advantages_L, [NAN, NAN, 0.0])
    np.testing.assert_array_equal(kept[1].rows_L, [-1, 3])


def test_spread_needs_an_advantage_for_each_turn() -> None:
    with pytest.raises(ValueError, match="3 advantages for 2 turns"):
        spread([trajectory(sequence([-1, 0, 1]))], np.zeros(3))
    assert spread([], np.zeros(0)) == []


def test_pack() -> None:
    # The second sequence begins with a sampled token: nothing predicts it.
    played = [trajectory(sequence([-1, 0, -1, 1], seed=1)), trajectory(sequence([0, 0, -1], seed=2))]
    batch = pack(spread(played, np.array([1.0, NAN, -2.0])))
    ids = [*played[0].sequences[0].ids_L, *played[1].sequences[0].ids_L]
    assert batch.num_tokens == 7
    assert batch.ids_L.tolist() == ids
    assert batch.packing.positions_L.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert batch.before_Q.tolist() == [0, 4]
    assert batch.targets_Q.tolist() == [ids[1], ids[5]]
    assert batch.advantages_A.tolist() == [1.0, -2.0]
    assert batch.sequence_A.tolist() == [0, 1]
    assert batch.row_A.tolist() == [0, 2]
    old = [played[0].sequences[0].behavior_logprobs_L[1], played[1].sequences[0].behavior_logprobs_L[1]]
    assert batch.old_logprobs_A.tolist() == [float(value) for value in old]


LENGTHS = st.lists(st.integers(1, 20), max_size=12)


def of_lengths(lengths: list[int]) -> list[Sample]:
    return [sample for length in lengths for sample in samples([1.0] * length)]


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 120))
def test_micro_batches(lengths: list[int], budget: int) -> None:
    given_samples = of_lengths(lengths)
    parts = list(micro_batches(given_samples, budget))
    assert sorted(id(s) for part in parts for s in part) == sorted(map(id, given_samples))
    for part in parts:
        assert part and (len(part) == 1 or sum(map(len, part)) <= budget)
    flat = [len(sample) for part in parts for sample in part]
    assert flat == sorted(flat, reverse=True)


PREFIXES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=12)


def of_trees(members: list[tuple[int, int, int]]) -> list[Sample]:
    """Return samples that begin with so many tokens of a tree's common ones and go on by themselves."""
    result = []
    for number, (tree, shared, own) in enumerate(members):
        ids_L = np.concatenate([100 * tree + np.arange(shared), np.full(own, 300 + number)]).astype(np.int32)
        one = sequence([-1] + [0] * (len(ids_L) - 1))
        one.ids_L = ids_L
        result += spread([trajectory(one)], np.ones(1))
    return result


@settings(deadline=None)
@given(PREFIXES, st.integers(1, 120))
def test_merged_micro_batches_count_what_is_shared_once(members: list[tuple[int, int, int]], budget: int) -> None:
    given_samples = of_trees(members)
    parts = list(micro_batches(given_samples, budget, merge=True))
    assert sorted(id(s) for part in parts for s in part) == sorted(map(id, given_samples))
    sizes = [pack(part, merge=True).num_tokens for part in parts]
    assert all(len(part) == 1 or size <= budget for part, size in zip(parts, sizes, strict=True))
    for part, after in itertools.pairwise(parts):
        assert pack([*part, after[0]], merge=True).num_tokens > budget, "no part could have taken another one"
    flat = [int(sample.sequence.ids_L[0]) for part in parts for sample in part]
    assert flat == sorted(flat), "trees come one after the other"


@settings(deadline=None)
@given(PREFIXES, st.integers(1, 120), st.integers(2, 16))
def test_merged_micro_batches_keep_to_the_budget_with_forks_left_out(
    members: list[tuple[int, int, int]], budget: int, least_saved: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "LEAST_SAVED", least_saved)
        for part in micro_batches(of_trees(members), budget, merge=True):
            assert len(part) == 1 or pack(part, merge=True).num_tokens <= budget


def test_merging_is_for_what_saves_enough() -> None:
    alike, different = of_trees([(0, 10, 10), (0, 10, 10)]), of_trees([(0, 10, 10), (1, 10, 10)])
    assert worth_merging(alike) and not worth_merging(different)
    assert worth_merging(different, "always") and not worth_merging(alike, "never")
    assert not worth_merging([]), "a process without samples"
    assert not worth_merging(of_trees([(0, 1, 19), (0, 1, 19)])), "one token in forty"


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 5))
def test_mini_batches(lengths: list[int], count: int) -> None:
    given_samples = of_lengths(lengths)
    parts = mini_batches(given_samples, count, seeding.generator(0, "test"))
    assert sorted(id(s) for part in parts for s in part) == sorted(map(id, given_samples))
    assert len(parts) == count
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_mini_batches_are_shuffled_by_the_generator_alone() -> None:
    given_samples = of_lengths([1] * 20)
    one, same, other = (
        [id(s) for part in mini_batches(given_samples, 2, seeding.generator(seed, "deal")) for s in part]
        for seed in (0, 0, 1)
    )
    assert one == same != other
