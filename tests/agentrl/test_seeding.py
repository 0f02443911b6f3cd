import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentrl.seeding import derive, generator

paths = st.lists(st.one_of(st.integers(), st.text(st.characters(exclude_characters="\x1f"), max_size=5)), max_size=4)


def test_streams_are_the_same_for_ever() -> None:
    assert derive(0) == 4246866556266386882
    assert derive(0, "rollout", 1) == 4914038390705802531
    assert generator(0, "rollout", 1).integers(1000, size=4).tolist() == [560, 131, 173, 871]


@given(seed=st.integers(), path=paths)
def test_a_seed_is_a_63_bit_integer(seed: int, path: list[int | str]) -> None:
    assert 0 <= derive(seed, *path) < 2**63


@given(one=paths, other=paths)
def test_different_paths_give_different_streams(one: list[int | str], other: list[int | str]) -> None:
    assert (derive(0, *one) == derive(0, *other)) == (one == other)


def test_numbers_and_words_are_told_apart() -> None:
    assert len({derive(1), derive(0, 1), derive(0, "1"), derive(0, 1, 1), derive(0, 11), derive(11)}) == 6


def test_neighbouring_streams_are_uncorrelated() -> None:
    draws = np.array([generator(seed, "x").standard_normal(2000) for seed in range(20)])
    off_diagonal = np.corrcoef(draws)[np.triu_indices(20, 1)]
    assert np.abs(off_diagonal).max() < 4.5 / np.sqrt(2000)
