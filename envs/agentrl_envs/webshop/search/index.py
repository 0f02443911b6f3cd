"""Search as the original's: BM25 (k1 = 0.9, b = 0.4) over Lucene's terms, with Lucene's rounding and order of ties."""

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl_envs.webshop.product import Product, as_product
from agentrl_envs.webshop.search.analysis import terms
from agentrl_envs.webshop.search.postings import Postings, PostingsBuilder, term_key

LIMIT = 50
"""How many products a search finds at most."""
_REMEMBERED = 4096
_LOOKUP_COST = 16
"""How many postings can be added in the time in which one product is looked up in a list of them."""
_PROBE = 1000
"""How many products of the rarest terms are watched to know what it takes to be among the best."""
_MARGIN = 1 - 1e-6
"""So that rounding loses no product."""


def search_text(product: Product) -> str:
    """Return what is searched of a product: title, description, first bullet and options."""
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    return " ".join((product.title, product.description, product.bullets[0] if product.bullets else "", options))


class SearchIndex:
    """Finds products by words.

    The score of a product is the sum over the query's terms, counted as often as they occur, of
    ``log(1 + (N - n + ½) / (n + ½)) · f / (f + 0.9 · (0.6 + 0.4 · l / L))``: N products, n of them with the term, f its
    count in this one, l the product's length in terms, rounded as Lucene rounds it, L the mean length. Products that
    score the same come in the order of their asins.

    The best are found exactly without scoring all: lists of products are read from the rarest term on, and once the
    terms that are left cannot lift a new product among the best, only products seen so far are looked up.

    Args:
      postings: the inverted index.
    """

    def __init__(self, postings: Postings) -> None:
        self._postings = postings
        self._lock = threading.Lock()
        self._sums = np.zeros(len(postings.asins))
        self._found: OrderedDict[tuple[str, int], tuple[str, ...]] = OrderedDict()

    @classmethod
    def of_products(cls, products: Iterable[Product | Mapping[str, Any]]) -> "SearchIndex":
        """Return an index in memory."""
        builder = PostingsBuilder()
        for each in products:
            product = as_product(each)
            builder.add(product.asin, terms(search_text(product)))
        return cls(builder.finish())

    @classmethod
    def open(cls, folder: Path) -> "SearchIndex":
        """Return the index that `PostingsBuilder` has written to ``folder``; its lists stay on disk."""
        return cls(Postings.open(folder))

    def __len__(self) -> int:
        return len(self._sums)

    def search(self, query: str, limit: int = LIMIT) -> list[str]:
        """Return the asins of the best products, best first; none for a query without a known term.

        The answers to the last few thousand queries are remembered.
        """
        key = query, limit
        with self._lock:
            found = self._found.get(key)
            if found is None:
                found = tuple(asin for asin, _ in self._best(query, limit))
                self._found[key] = found
                if len(self._found) > _REMEMBERED:
                    self._found.popitem(last=False)
        return list(found)

    def scored(self, query: str, limit: int = LIMIT) -> list[tuple[str, float]]:
        """Return asins and scores of the best products, best first."""
        with self._lock:
            return self._best(query, limit)

    def _best(self, query: str, limit: int) -> list[tuple[str, float]]:
        lists = self._lists(query)
        touched: list[NDArray[Any]] = []
        try:
            candidates = self._score(lists, limit, touched)
            scores = self._sums[candidates].astype(np.float32)
        finally:
            self._clear(touched)
        if len(candidates) > limit:
            kept = scores >= _nth_largest(scores, limit)
            candidates, scores = candidates[kept], scores[kept]
        asins = self._postings.asins[candidates]
        order = np.lexsort((asins, -scores))[:limit]
        return list(zip(asins[order].tolist(), scores[order].tolist(), strict=True))

    def _lists(self, query: str) -> "list[_TermList]":
        """Return what is known about the terms of the query, from the one that counts most."""
        total = len(self._sums)
        lists = []
        for term, count in Counter(terms(query)).items():
            if (place := self._postings.find(term_key(term))) is not None:
                products, impacts, largest = self._postings.read(place)
                weight = count * math.log(1 + (total - len(products) + 0.5) / (len(products) + 0.5))
                lists.append(_TermList(products, impacts, weight, weight * largest))
        return sorted(lists, key=lambda one: -one.bound)

    def _score(self, lists: "list[_TermList]", limit: int, touched: list[NDArray[Any]]) -> NDArray[Any]:
        """Add the scores of all products that may be among the best to `_sums`; return these products.

        What it wrote to is appended to ``touched``.
        """
        sums = self._sums
        found = [np.empty(0, np.uint32)]
        probe = found[0]
        left = sum(one.bound for one in lists)
        for at, one in enumerate(lists):
            if len(probe) >= limit:
                # The best of all are at least as good as those of the probe.
                worst = _nth_largest(sums[probe], limit) * _MARGIN
                if worst > left:
                    candidates = np.concatenate(found)
                    good = sums[candidates] + left >= worst
                    return self._finish(lists[at:], candidates[good], left, limit, touched)
            before = sums[one.products]
            sums[one.products] = before + one.weight * one.impacts
            touched.append(one.products)
            found.append(one.products[before == 0.0])
            left -= one.bound
            if len(probe) < _PROBE:
                probe = np.concatenate((probe, found[-1][:_PROBE]))
        return np.concatenate(found)

    def _finish(
        self,
        lists: "list[_TermList]",
        candidates: NDArray[Any],
        left: float,
        limit: int,
        touched: list[NDArray[Any]],
    ) -> NDArray[Any]:
        """Add what the other terms give to ``candidates``, among which the best are; return those that still may be."""
        sums = self._sums
        for one in lists:
            if len(candidates) * _LOOKUP_COST > len(one.products):
                sums[one.products] += one.weight * one.impacts
                touched.append(one.products)
            else:
                places = np.minimum(one.products.searchsorted(candidates), len(one.products) - 1)
                has = one.products[places] == candidates
                sums[candidates[has]] += one.weight * one.impacts[places[has]]
            left -= one.bound
            if len(candidates) > 2 * limit:
                scores = sums[candidates]
                candidates = candidates[scores + left >= _nth_largest(scores, limit) * _MARGIN]
        return candidates

    def _clear(self, touched: list[NDArray[Any]]) -> None:
        """Set the sums back to 0."""
        if sum(map(len, touched)) > len(self._sums) // 16:
            self._sums.fill(0.0)
        else:
            for products in touched:
                self._sums[products] = 0.0


def _nth_largest(values: NDArray[Any], n: int) -> float:
    return float(np.partition(values, len(values) - n)[len(values) - n])


class _TermList:
    """The products that have a term, and what it adds to their scores: at most ``bound``."""

    __slots__ = ("bound", "impacts", "products", "weight")

    def __init__(self, products: NDArray[Any], impacts: NDArray[Any], weight: float, bound: float) -> None:
        self.products, self.impacts, self.weight, self.bound = products, impacts, weight, bound
