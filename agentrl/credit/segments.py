"""Keyed arithmetic on flat arrays: the few loops that credit assignment needs, done by NumPy.

Axis suffixes: ``_N`` rows, ``_K`` distinct keys, ``_M`` trajectories.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatN = NDArray[np.float64]
IntN = NDArray[np.int64]
BoolN = NDArray[np.bool_]

# Up to this many times more possible keys than rows, a table over the keys beats a sort of the rows.
TABLE_FACTOR = 8
# Odd and without pattern: the multiplier of SplitMix64.
HASH_FACTOR = np.uint64(0xBF58476D1CE4E5B9)


def dense(key_N: IntN) -> tuple[IntN, int]:
    """Renumber integer keys as 0..K-1, keeping their order; return the codes and K."""
    if not len(key_N):
        return key_N.astype(np.int64), 0
    low = int(key_N.min())
    span = int(key_N.max()) - low + 1  # Python integers: no overflow
    if span > TABLE_FACTOR * len(key_N):
        labels, codes = np.unique(key_N, return_inverse=True)
        return codes.astype(np.int64, copy=False), len(labels)
    offset_N = key_N - low
    present = np.zeros(span, dtype=np.int64)
    present[offset_N] = 1
    rank = present.cumsum() - 1
    return rank[offset_N], int(rank[-1]) + 1


def pair(first_N: IntN, second_N: IntN) -> tuple[IntN, int]:
    """Return dense codes of the pairs (first, second) and how many there are. Both hold codes from 0."""
    if not len(first_N):
        return first_N, 0
    first_of = np.zeros(int(second_N.max()) + 1, dtype=np.int64)
    first_of[second_N] = first_N
    if (first_of[second_N] == first_N).all():  # the second says it all: states met in one group only
        return dense(second_N)
    return dense(first_N * (int(second_N.max()) + 1) + second_N)


def tuples(columns: Sequence[IntN]) -> tuple[IntN, int]:
    """Return dense codes of the rows of several integer columns, and how many different rows there are.

    The codes are in no order. Rows are hashed and sorted once; that equal hashes were equal rows is then checked, and
    where they were not the columns are paired one after the other instead.
    """
    hash_N = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        hash_N = (hash_N ^ column.astype(np.uint64)) * HASH_FACTOR
        hash_N ^= hash_N >> np.uint64(32)
    codes_N, count = dense(hash_N.view(np.int64))
    member_K = np.zeros(count, dtype=np.int64)
    member_K[codes_N] = np.arange(len(codes_N))
    if all((column[member_K[codes_N]] == column).all() for column in columns):
        return codes_N, count
    codes_N, count = dense(columns[0])
    for column in columns[1:]:
        codes_N, count = pair(codes_N, dense(column)[0])
    return codes_N, count


def is_sorted_by(first_N: IntN, second_N: IntN) -> bool:
    """Return whether the rows ascend by (first, second), both codes from 0, and no two pairs are equal."""
    key_N = first_N * (int(second_N.max(initial=0)) + 1) + second_N
    return bool((key_N[1:] > key_N[:-1]).all())


def order_by(first_N: IntN, second_N: IntN) -> IntN:
    """Return the rows sorted by (first, second), both codes from 0; rows with equal pairs keep their order."""
    if not len(first_N):
        return np.zeros(0, dtype=np.int64)
    key_N = first_N * (int(second_N.max()) + 1) + second_N
    span = int(key_N.max()) + 1
    if span <= TABLE_FACTOR * len(key_N):
        row_of_key = np.full(span, -1, dtype=np.int64)
        row_of_key[key_N] = np.arange(len(key_N))
        order = row_of_key[row_of_key >= 0]
        if len(order) == len(key_N):  # no two rows share a pair
            return order
    return np.argsort(key_N, kind="stable")


def sums(value_N: FloatN, key_N: IntN, num_keys: int) -> FloatN:
    """Return the sum of the values of each key, shape (K,)."""
    return np.bincount(key_N, weights=value_N, minlength=num_keys).astype(np.float64, copy=False)


def suffix_scan(value_N: FloatN, factor: FloatN | float, left_N: IntN) -> FloatN:
    """Solve yᵢ = xᵢ + fᵢ yᵢ₊₁ backwards inside each segment (y = 0 after its end), in O(N log T).

    Doubling: after k rounds row i holds the terms of 2ᵏ rows and the product of their factors, so that row i and row
    i + 2ᵏ together hold 2ᵏ⁺¹. Factors are only ever multiplied, never divided out, hence nothing overflows while they
    are at most 1, and rows with the same future get the same bits.

    Args:
      value_N: x, segments contiguous and in order.
      factor: f, one number or one per row.
      left_N: number of rows that follow in the same segment.
    """
    total_N = value_N.astype(np.float64)
    reach = factor if isinstance(factor, float) else factor.astype(np.float64)
    longest = int(left_N.max(initial=0))
    step = 1
    while step <= longest:
        inside = left_N[:-step] >= step
        ahead = np.where(inside, total_N[step:], 0.0)
        if isinstance(reach, float):
            total_N[:-step] += reach * ahead
            reach *= reach
        else:
            total_N[:-step] += reach[:-step] * ahead
            reach[:-step] *= np.where(inside, reach[step:], 0.0)
        step *= 2
    return total_N
