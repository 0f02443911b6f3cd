import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.credit import segments
from agentrl.credit.segments import dense, order_by, pair, suffix_scan, tuples

codes = st.lists(st.integers(0, 4), min_size=0, max_size=20).map(lambda x: np.array(x, dtype=np.int64))


def same_partition(one, other):
    return len(set(zip(one.tolist(), other, strict=True))) == len(set(one.tolist())) == len(set(other))


@given(key=st.lists(st.one_of(st.integers(-5, 5), st.integers(-(2**62), 2**62)), max_size=20))
def test_dense_keeps_order_and_leaves_no_gap(key):
    result, count = dense(np.array(key, dtype=np.int64))
    expected = sorted(set(key))
    assert [expected[code] for code in result] == key
    assert count == len(expected)


@given(one=codes, two=codes, three=codes)
def test_pairs_and_tuples_are_what_python_says(one, two, three):
    size = min(len(one), len(two), len(three))
    columns = [column[:size] for column in (one, two, three)]
    result, count = tuples(columns)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert same_partition(result, rows)
    assert count == len(set(rows)) == len(np.unique(result))
    assert same_partition(pair(columns[0], columns[1])[0], [row[:2] for row in rows])


def test_tuples_survive_colliding_hashes(monkeypatch):
    monkeypatch.setattr(segments, "HASH_FACTOR", np.uint64(0))
    columns = [np.array([0, 0, 1, 1, 0]), np.array([-1, 2, -1, 2, -1])]
    result, count = tuples(columns)
    assert same_partition(result, [(0, -1), (0, 2), (1, -1), (1, 2), (0, -1)])
    assert count == 4


@pytest.mark.parametrize("spread", [1, 1_000_000])
def test_order_by_is_a_stable_sort(spread):
    rng = np.random.Generator(np.random.PCG64(0))
    one, two = rng.integers(0, 5, 50), rng.integers(0, 5, 50) * spread
    assert order_by(one, two).tolist() == sorted(range(50), key=lambda row: (one[row], two[row]))


@given(seed=st.integers(0, 1000), single=st.booleans())
def test_suffix_scan_is_the_recursion(seed, single):
    rng = np.random.Generator(np.random.PCG64(seed))
    length = rng.integers(1, 12, 4)
    value, factor = rng.normal(size=length.sum()), rng.random(length.sum())
    if single:
        factor[:] = factor[0]
    left = np.concatenate([np.arange(n)[::-1] for n in length])
    expected = value.copy()
    for row in reversed(range(len(value))):
        if left[row]:
            expected[row] += factor[row] * expected[row + 1]
    result = suffix_scan(value, float(factor[0]) if single else factor, left)
    np.testing.assert_allclose(result, expected, atol=1e-12)
