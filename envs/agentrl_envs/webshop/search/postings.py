"""The inverted index: for each term the products that have it. Built in blocks, so that memory stays bounded."""

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

K1, B = 0.9, 0.4
_BLOCK = 2_000_000
"""Postings in a block: about 60 MB while it is made."""
_EXACT = 24
"""Lengths up to here are kept exactly by Lucene's one-byte code; then it has 4 significant bits above it."""


@lru_cache(maxsize=1 << 18)
def term_key(term: str) -> int:
    """Return the 64 bits by which a term is known."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def coded_length(length: int) -> int:
    """Return a document length as Lucene remembers it, in one byte.

    >>> [coded_length(length) for length in (7, 40, 41, 107, 1000)]
    [7, 40, 40, 104, 984]
    """
    rest = length - _EXACT
    if rest < 16:
        return length
    shift = rest.bit_length() - 4
    return _EXACT + (rest >> shift << shift)


@dataclass(frozen=True, slots=True)
class Postings:
    """The lists of all terms, one after the other.

    Attributes:
      asins: of the products, in the order of the catalogue.
      keys: (terms,) uint64, ascending: the terms, see `term_key`.
      starts: (terms + 1,) int64: where the list of each term begins.
      products: (postings,) uint32: numbers of products, ascending within a term.
      impacts: (postings,) float32: what the term adds to the product's score, but for the term's weight.
      largest: (terms,) float32: the largest impact of each term.
    """

    asins: NDArray[Any]
    keys: NDArray[Any]
    starts: NDArray[Any]
    products: NDArray[Any]
    impacts: NDArray[Any]
    largest: NDArray[Any]

    FILES = ("asins", "keys", "starts", "products", "impacts", "largest")

    @classmethod
    def open(cls, folder: Path) -> "Postings":
        """Return the postings in ``folder``, mapped into memory."""
        maps = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls.FILES)
        return cls(*(np.asarray(each) for each in maps))

    def find(self, key: int) -> int | None:
        """Return the place of a term, or None."""
        place = int(self.keys.searchsorted(np.uint64(key)))
        return place if place < len(self.keys) and self.keys[place] == key else None

    def read(self, place: int) -> tuple[NDArray[Any], NDArray[Any], float]:
        """Return a term's products, its impacts on them and the largest of these."""
        first, end = self.starts[place], self.starts[place + 1]
        return self.products[first:end], self.impacts[first:end], float(self.largest[place])


class PostingsBuilder:
    """Inverts documents that are added one by one.

    In a folder every full block is written to a file, and a builder for the same folder goes on after the last of
    them: ``len(builder)`` says how many documents are there already.

    Args:
      folder: where blocks and result are written; None keeps all in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._blocks: list[Any] = sorted(folder.glob("block-*.npz")) if folder else []
        self._asins: list[str] = []
        self._lengths = array("I")
        self._keys, self._products, self._counts = array("Q"), array("I"), array("H")
        self._first = 0
        for block in self._blocks:
            with np.load(block) as arrays:
                self._asins += arrays["asins"].tolist()
                self._lengths.extend(arrays["lengths"].tolist())
        self._first = len(self._asins)

    def __len__(self) -> int:
        return len(self._asins)

    def add(self, asin: str, terms: Sequence[str]) -> None:
        """Add the document of a product."""
        counts = Counter(terms)
        self._keys.extend(map(term_key, counts))
        self._counts.extend(min(count, 65535) for count in counts.values())
        self._products.extend([len(self._asins)] * len(counts))
        self._asins.append(asin)
        self._lengths.append(len(terms))
        if len(self._keys) >= _BLOCK:
            self._close_block()

    def finish(self) -> Postings:
        """Return the postings of all documents; in a folder, as files there."""
        if len(self._asins) > self._first:
            self._close_block()
        keys, sizes = self._terms()
        starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        products = self._array("products", np.uint32, int(starts[-1]))
        impacts = self._array("impacts", np.float32, int(starts[-1]))
        self._merge(keys, starts[:-1].copy(), products, impacts)
        lengths = np.array([coded_length(length) for length in self._lengths], np.float64)
        mean = sum(self._lengths) / max(1, len(self._lengths))
        norms = K1 * (1 - B + B * lengths / max(mean, 1e-9))
        for first in range(0, len(products), _BLOCK):
            part = slice(first, first + _BLOCK)
            impacts[part] /= impacts[part] + norms[products[part]]
        largest = np.maximum.reduceat(impacts, starts[:-1]) if len(keys) else np.empty(0, np.float32)
        asins = np.array(self._asins) if self._asins else np.empty(0, "U10")
        found = Postings(asins, keys, starts, products, impacts, np.asarray(largest))
        return found if self._folder is None else self._keep(self._folder, found)

    def _close_block(self) -> None:
        keys = np.frombuffer(self._keys, np.uint64)
        order = np.argsort(keys, kind="stable")
        terms, sizes = np.unique(keys[order], return_counts=True)
        block = {
            "terms": terms,
            "sizes": sizes.astype(np.uint32),
            "products": np.frombuffer(self._products, np.uint32)[order],
            "counts": np.frombuffer(self._counts, np.uint16)[order],
            "asins": np.array(self._asins[self._first :]),
            "lengths": np.array(self._lengths[self._first :], np.uint32),
        }
        if self._folder is None:
            self._blocks.append(block)
        else:
            path = self._folder / f"block-{len(self._blocks):06d}.npz"
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                np.savez(file, **block)  # type: ignore[arg-type]
            os.replace(unfinished, path)
            self._blocks.append(path)
        self._first = len(self._asins)
        self._keys, self._products, self._counts = array("Q"), array("I"), array("H")

    def _terms(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return all terms, ascending, and how many products have each."""
        keys, sizes = np.empty(0, np.uint64), np.empty(0, np.int64)
        for block in self._blocks:
            merged = np.union1d(keys, block_terms := _load(block, "terms"))
            total = np.zeros(len(merged), np.int64)
            total[merged.searchsorted(keys)] += sizes
            total[merged.searchsorted(block_terms)] += _load(block, "sizes")
            keys, sizes = merged, total
        return keys, sizes

    def _merge(self, keys: NDArray[Any], next_free: NDArray[Any], products: NDArray[Any], counts: NDArray[Any]) -> None:
        """Bring the lists of all blocks together: blocks hold later and later products, so they are appended."""
        for block in self._blocks:
            sizes = _load(block, "sizes").astype(np.int64)
            places = keys.searchsorted(_load(block, "terms"))
            offsets = next_free[places] - (np.cumsum(sizes) - sizes)
            targets = np.repeat(offsets, sizes) + np.arange(int(sizes.sum()))
            products[targets] = _load(block, "products")
            counts[targets] = _load(block, "counts")
            next_free[places] += sizes

    def _array(self, name: str, dtype: Any, size: int) -> NDArray[Any]:
        if self._folder is None or not size:
            return np.empty(size, dtype)
        return np.lib.format.open_memmap(self._folder / f"{name}.npy", "w+", dtype, (size,))

    def _keep(self, folder: Path, found: Postings) -> Postings:
        """Write what is not on disk yet, and remove the blocks."""
        for name in Postings.FILES:
            values = getattr(found, name)
            if isinstance(values, np.memmap):
                values.flush()
            else:
                np.save(folder / f"{name}.npy", values)
        for block in reversed(self._blocks):  # killed here, the first ones are left, and can be gone on from
            block.unlink()
        return Postings.open(folder)


def _load(block: Any, name: str) -> NDArray[Any]:
    if not isinstance(block, Path):
        return np.asarray(block[name])
    with np.load(block) as arrays:
        return np.asarray(arrays[name])
