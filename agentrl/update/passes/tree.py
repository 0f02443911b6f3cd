"""Token sequences that begin alike, merged into a trie: tokens that have the same past are kept once.

A fork costs the pass a few kernels a layer whatever it saves, so that one which saves little can be left out: then its
branches begin a little further up, and the tokens in between are there once for each.

Axis suffixes: ``_L`` tokens of one sequence, ``_U`` unique tokens, in the order of a depth-first walk.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IntN = NDArray[np.int64]
Ids = NDArray[np.integer]


class Part(NamedTuple):
    """Unique tokens ``first_query:last_query`` have all of ``first_key:last_key`` in their past (ends excluded)."""

    first_key: int
    last_key: int
    first_query: int
    last_query: int


@dataclass(frozen=True, slots=True)
class Trie:
    """Sequences merged by their common prefixes.

    A depth-first walk that takes the sequences in lexicographic order numbers the unique tokens, so that the ones
    below any token follow it without a gap. The walk goes down in *runs*, each token the child of the one before it;
    a run hangs from a token of an earlier run. The past of a token is therefore made of intervals: the part of its own
    run up to itself, and of each run above it the part down to where the path leaves it. The latter are ``parts``, one
    for all siblings together: as many as tokens that runs hang from, however many tokens they concern.

    Attributes:
      ids_U: token ids.
      depths_U: position of the token in each sequence that it belongs to.
      ends_U: number of the first token after those below it: k is in the past of q iff k <= q < ends_U[k].
      nodes: the unique token at each position of each sequence, in the order the sequences were given, (L,) each.
      runs: length of each run, in the order of the walk.
      parts: what the tokens see beyond their own run.
    """

    ids_U: IntN
    depths_U: IntN
    ends_U: IntN
    nodes: tuple[IntN, ...]
    runs: tuple[int, ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, sequences: Sequence[Ids], least_saved: int = 1) -> "Trie":
        """Merge token id sequences, with forks that save ``least_saved`` tokens; linear but for the sorting."""
        order = lexicographic(sequences)
        walk = _Walk(sum(map(len, sequences)))
        nodes: list[IntN] = [np.empty(0, np.int64)] * len(sequences)
        shared = _shared_with_previous(sequences, order, least_saved)
        for number, depth in zip(order, shared, strict=True):
            nodes[number] = walk.add(depth, len(sequences[number]))
        fresh = [np.arange(depth, len(sequences[number])) for number, depth in zip(order, shared, strict=True)]
        ids = [sequences[number][depth:].astype(np.int64) for number, depth in zip(order, shared, strict=True)]
        none = [np.empty(0, np.int64)]
        return cls(np.concatenate(none + ids), np.concatenate(none + fresh), *walk.finish(nodes))


class _Walk:
    """Numbers unique tokens as the sequences come in lexicographic order."""

    def __init__(self, most_tokens: int) -> None:
        self.count = 0
        self.path_L: IntN = np.empty(0, np.int64)  # unique tokens of the last sequence
        self.ends_U = np.empty(most_tokens, np.int64)
        self.run_starts: list[int] = []
        self.open: list[tuple[int, Part]] = []  # (depth of the token that the runs hang from, part so far)
        self.parts: list[Part] = []

    def add(self, shared: int, length: int) -> IntN:
        """Take the next sequence, whose first ``shared`` tokens are those of the one before; return its tokens."""
        self._leave(shared)
        if length > shared and not (shared and self.path_L[shared - 1] == self.count - 1):
            self._start_run(shared)
        fresh = np.arange(self.count, self.count + length - shared)
        self.path_L = np.concatenate([self.path_L[:shared], fresh])
        self.count += len(fresh)
        return self.path_L

    def _leave(self, depth: int) -> None:
        """End what lies deeper than ``depth`` on the path of the last sequence."""
        self.ends_U[self.path_L[depth:]] = self.count
        while self.open and self.open[-1][0] > depth:
            self.parts.append(self.open.pop()[1]._replace(last_query=self.count))

    def _start_run(self, depth: int) -> None:
        if depth and not (self.open and self.open[-1][0] == depth):
            token = int(self.path_L[depth - 1])
            start = self.run_starts[int(np.searchsorted(self.run_starts, token, side="right")) - 1]
            self.open.append((depth, Part(start, token + 1, self.count, self.count)))
        self.run_starts.append(self.count)

    def finish(self, nodes: list[IntN]) -> tuple[IntN, tuple[IntN, ...], tuple[int, ...], tuple[Part, ...]]:
        """Return ends, the sequences' tokens, run lengths and parts."""
        self._leave(0)
        runs = np.diff([*self.run_starts, self.count])
        return self.ends_U[: self.count], tuple(nodes), tuple(runs.tolist()), tuple(self.parts)


def lexicographic(sequences: Sequence[Ids]) -> list[int]:
    """Return the numbers of the sequences in lexicographic order: those that begin alike are neighbours."""
    keys = [np.asarray(ids_L, ">u4").tobytes() for ids_L in sequences]  # bytes compare as the ids do, but fast
    return sorted(range(len(keys)), key=keys.__getitem__)


def common_prefix(one_L: Ids, other_L: Ids) -> int:
    """Return the number of leading tokens that two sequences share."""
    size = min(len(one_L), len(other_L))
    differs_L = one_L[:size] != other_L[:size]
    first = int(differs_L.argmax()) if size else 0
    return first if size and differs_L[first] else size


def num_unique(sequences: Sequence[Ids], least_saved: int = 1) -> int:
    """Return the number of tokens that remain when the sequences are merged."""
    order = lexicographic(sequences)
    return sum(map(len, sequences)) - sum(_shared_with_previous(sequences, order, least_saved))


def _shared_with_previous(sequences: Sequence[Ids], order: Sequence[int], least_saved: int) -> list[int]:
    """Return how many tokens each sequence, in this order, has in common with the one before and is to share with it.

    Sequences that leave the path after the same token do so at one fork; it saves as many tokens for each of them as
    it lies below the next fork further up. Where that is less than ``least_saved`` in all, they leave further up. What
    goes on from the end of the one before needs no fork.
    """
    depths = [0] * bool(order)
    depths += [common_prefix(sequences[one], sequences[other]) for one, other in itertools.pairwise(order)]
    forks: list[tuple[int, list[int]]] = [(0, [])]  # (depth, who leaves there) of those on the path, going down
    for at, depth in enumerate([*depths, 0]):
        while forks[-1][0] > depth:
            deepest, members = forks.pop()
            above = max(depth, forks[-1][0])
            if (deepest - above) * len(members) < least_saved:
                for member in members:
                    depths[member] = above
                _leave_at(forks, above, members)
        if at < len(depths) and depth < len(sequences[order[at - 1]]):
            _leave_at(forks, depth, [at])
    return depths


def _leave_at(forks: list[tuple[int, list[int]]], depth: int, members: list[int]) -> None:
    """Let sequences leave the path after ``depth`` tokens; no fork lies deeper."""
    if forks[-1][0] < depth:
        forks.append((depth, []))
    forks[-1][1].extend(members)
