"""Grouping of texts that are nearly the same: greedy leader clustering in row order.

A text joins the first cluster whose leader (the text that opened it) is similar enough, else it opens a cluster.
Needs rapidfuzz (the extra ``similarity``).

Axis suffixes: ``_N`` rows, ``_C`` leaders of the clusters so far.
"""

import difflib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentrl.credit.segments import IntN
from agentrl.errors import ConfigError, DataError

Dialect = Literal["paper", "authors"]

# Far above the rounding of a ratio of two lengths, far below one edit in the longest observation.
SLACK = 1e-9
# rapidfuzz rounds its cutoff to float32: cut a little lower, then compare exactly.
CUTOFF_SLACK = 1e-3


def similar_groups(group_N: IntN, text_N: IntN, labels: Sequence[Hashable], threshold: float, dialect: Dialect) -> IntN:
    """Return a cluster code for each row; clusters never cross groups.

    ``dialect="paper"`` measures 2·LCS/(|a|+|b|) (rapidfuzz's Indel ratio; LCS the longest common subsequence).
    ``dialect="authors"`` measures ``difflib.SequenceMatcher(None, text, leader).ratio()``, bit for bit, with all its
    ways (matching blocks instead of the LCS, "autojunk" from 200 characters on, not symmetric); the Indel ratio is an
    upper bound of it and is used to reject.
    Equal rows are looked up, not compared again; lengths that cannot reach the threshold are skipped.

    Raises:
      ConfigError: threshold not in (0, 1), or rapidfuzz is not installed.
      DataError: an anchor is not a string.
    """
    if not 0.0 < threshold < 1.0:
        raise ConfigError(
            f"similarity is {threshold}: give a ratio between 0 and 1 (both excluded), or None for equality"
        )
    ratios = _indel_ratios()
    texts = [_as_text(labels[code]) for code in range(len(labels))]
    cluster_N = np.empty(len(text_N), dtype=np.int64)
    first_cluster = 0
    for rows in np.split(np.argsort(group_N, kind="stable"), np.cumsum(np.bincount(group_N))[:-1]):
        clusters = _Clusters(threshold, ratios, exact=dialect == "authors")
        cluster_N[rows] = [first_cluster + clusters.place(texts[code]) for code in text_N[rows]]
        first_cluster += len(clusters.leaders)
    return cluster_N


class _Clusters:
    """The clusters of one group, grown one text at a time."""

    def __init__(self, threshold: float, ratios: Callable[..., NDArray[Any]], *, exact: bool) -> None:
        self.leaders: list[str] = []
        self._lengths = np.zeros(64)
        self._threshold, self._ratios, self._exact = threshold, ratios, exact
        self._known: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Return the number of the text's cluster, opening one if none is near enough."""
        found = self._known.get(text)
        if found is not None:
            return found
        found = self._nearest(text)
        if found is None:
            found = self._open(text)
            if self._exact and not self._is_similar(text, text):
                # autojunk can call a long text unlike itself: then its next occurrence opens a cluster again
                return found
        self._known[text] = found
        return found

    def _open(self, text: str) -> int:
        count = len(self.leaders)
        if count == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.zeros(count)])
        self._lengths[count] = len(text)
        self.leaders.append(text)
        return count

    def _nearest(self, text: str) -> int | None:
        """Return the first leader that is similar. Both measures are at most 2 min(|a|, |b|) / (|a| + |b|)."""
        length_C = self._lengths[: len(self.leaders)]
        bound_C = 2.0 * np.minimum(length_C, len(text)) >= (self._threshold - SLACK) * (length_C + len(text))
        near = np.flatnonzero(bound_C)
        if not len(near):
            return None
        leaders = [self.leaders[at] for at in near]
        ratio = self._ratios([text], leaders, score_cutoff=self._threshold - CUTOFF_SLACK, dtype=np.float64)[0]
        for at in near[ratio >= self._threshold - SLACK]:
            if not self._exact or self._is_similar(text, self.leaders[at]):
                return int(at)
        return None

    def _is_similar(self, text: str, leader: str) -> bool:
        return difflib.SequenceMatcher(None, text, leader).ratio() >= self._threshold


def _as_text(label: Hashable) -> str:
    if not isinstance(label, str):
        raise DataError(f"similarity grouping needs strings as anchors, got {type(label).__name__}: {label!r}")
    return label


def _indel_ratios() -> Callable[..., NDArray[Any]]:
    try:
        from rapidfuzz import process
        from rapidfuzz.distance import Indel
    except ImportError as error:
        raise ConfigError("similarity grouping needs rapidfuzz: pip install 'agentrl[similarity]'") from error

    def ratios(texts: list[str], leaders: list[str], **options: Any) -> NDArray[Any]:
        table: NDArray[Any] = process.cdist(texts, leaders, scorer=Indel.normalized_similarity, **options)
        return table

    return ratios
