"""How alike two equally long pieces of token ids are: what LATR prunes by."""

from collections.abc import Sequence


def edit_share(one: Sequence[int], other: Sequence[int]) -> float:
    """Return Levenshtein's distance (insertions, deletions, substitutions at 1 each) divided by the length.

    >>> edit_share([1, 2, 3, 4], [2, 3, 4, 5])
    0.5
    """
    row = list(range(len(other) + 1))
    for above, left in enumerate(one, start=1):
        diagonal, row[0] = row[0], above
        for column, right in enumerate(other, start=1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (left != right))
    return row[-1] / len(one)


def suffix_share(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the longest ending of either that is found in one piece anywhere in the other, divided by the length.

    >>> suffix_share([1, 2, 3, 4], [9, 3, 4, 8])
    0.5
    """
    return max(_longest_ending(one, other), _longest_ending(other, one)) / len(one)


def rouge_l(one: Sequence[int], other: Sequence[int]) -> float:
    """Return ROUGE-L: F1 of the longest common subsequence's share of each (Lin, 2004), here with equal lengths.

    >>> rouge_l([1, 2, 3, 4], [1, 9, 3, 8])
    0.5
    """
    row = [0] * (len(other) + 1)
    for left in one:
        diagonal = 0
        for column, right in enumerate(other, start=1):
            longest = diagonal + 1 if left == right else max(row[column], row[column - 1])
            diagonal, row[column] = row[column], longest
    return row[-1] / len(one)


def _longest_ending(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many ids at the end of ``one`` are found side by side in ``other``."""
    longest = 0
    for end in range(1, len(other) + 1):
        count = 0
        while count < min(end, len(one)) and one[-1 - count] == other[end - 1 - count]:
            count += 1
        longest = max(longest, count)
    return longest
