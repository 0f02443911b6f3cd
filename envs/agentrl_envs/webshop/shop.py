"""Where a customer is in the shop, and where a search or a click leads: the model that text and site share."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from agentrl_envs.webshop.product import Product, Stock
from agentrl_envs.webshop.search import LIMIT

BASE_URL = "http://127.0.0.1:3000"
PER_PAGE = 10
BACK, PREVIOUS, NEXT, BUY, SEARCH = "Back to Search", "< Prev", "Next >", "Buy Now", "Search"
SUB_PAGES: Mapping[str, str] = MappingProxyType(
    {name.lower(): name for name in ("Description", "Features", "Reviews", "Attributes")}
)
"""What a click leads to from a product's page, by the text to click. Only an option's value can name the last one."""
_TURNS: Mapping[str, int] = MappingProxyType({NEXT.lower(): 1, PREVIOUS.lower(): -1})
_PAGE_NAMES = ("search_results", "item_page", "item_sub_page", "done")

Search = Callable[[str], Sequence[str]]
"""Keywords, joined by spaces, to the asins of the products found, best first."""


class State(NamedTuple):
    """Where a customer is. What is not reached yet is empty."""

    page: Literal["index", "results", "item", "sub", "done"] = "index"
    keywords: tuple[str, ...] = ()
    number: int = 0
    """Of the page of results, from 1; 0 can be reached, and is empty."""
    asin: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """(name, value) of what is chosen, in the order in which the names were first chosen."""
    sub: str = ""
    """The sub page's title."""
    visited: frozenset[str] = frozenset()
    """The products that were looked at since the index page."""
    drawn: tuple[str, ...] = ()
    """The products of a random search."""


class Target(NamedTuple):
    """What a click is on: a button, a product in a list, or the value of an option."""

    kind: Literal["button", "product", "option"]
    name: str = ""
    """The product's asin, or the option's name."""


_BUTTON = Target("button")


class Shop:
    """The rules of moving about, the same for all customers.

    Args:
      stock: the products.
      search: finds them.
    """

    def __init__(self, stock: Stock, search: Search) -> None:
        self.stock, self._search = stock, search
        self.found = lru_cache(maxsize=4096)(self._found)
        self._item_targets = lru_cache(maxsize=4096)(self._list_item_targets)
        self._result_targets = lru_cache(maxsize=4096)(_list_result_targets)

    def product(self, asin: str) -> Product:
        """Return a product that is known to be in the shop."""
        product = self.stock.get(asin)
        assert product is not None, f"{asin} is not in the shop"
        return product

    # -- moves ---------------------------------------------------------------------------------------------------

    def search(self, state: State, words: str, rng: np.random.Generator) -> State:
        """Return the first page of what ``words``, in lower case, find: any page of the shop takes a search."""
        return self._results(state, tuple(words.split(" ")), 1, rng)

    def click(self, state: State, text: str, rng: np.random.Generator) -> State | None:
        """Return where a click on ``text``, in lower case, leads, or None if there is nothing to click."""
        target = self.targets(state).get(text)
        if target is None or text == SEARCH.lower():
            return None
        if text == BUY.lower():
            return state._replace(page="done")
        if text == BACK.lower():
            return State()
        if text in _TURNS:
            name = _page_name(state)
            if name == "search_results":
                return self._results(state, state.keywords, state.number + _TURNS[text], rng)
            if name == "item_page" and text == PREVIOUS.lower():
                return self._results(state, state.keywords, state.number, rng)
        if text in SUB_PAGES:
            return state._replace(page="sub", sub=SUB_PAGES[text])
        return self._item(state, target, text)

    def _results(self, state: State, keywords: tuple[str, ...], number: int, rng: np.random.Generator) -> State:
        drawn: tuple[str, ...] = ()
        if keywords[0] == "<r>":
            count = len(self.stock)
            drawn = tuple(self.stock.asin(int(at)) for at in rng.choice(count, min(LIMIT, count), replace=False))
        return State("results", keywords, number, visited=state.visited, drawn=drawn)

    def _item(self, state: State, target: Target, text: str) -> State:
        state = state._replace(page="item", sub="", drawn=())
        if target.kind == "product":
            return state._replace(asin=target.name, visited=state.visited | {target.name})
        if target.kind == "option":
            return state._replace(options=tuple((dict(state.options) | {target.name.lower(): text}).items()))
        return state

    # -- what there is ---------------------------------------------------------------------------------------------

    def results(self, state: State) -> Sequence[str]:
        """Return the asins of all that the search of ``state`` found."""
        return state.drawn or self.found(state.keywords)

    def listed(self, state: State) -> Sequence[str]:
        """Return the asins on the page of results of ``state``."""
        return self.results(state)[(state.number - 1) * PER_PAGE : state.number * PER_PAGE]

    def _found(self, keywords: tuple[str, ...]) -> tuple[str, ...]:
        first, *rest = keywords
        if first == "<a>":
            return tuple(self.stock.of_attribute(" ".join(rest).strip()))
        if first == "<c>":
            return tuple(self.stock.of_category(rest[0].strip() if rest else ""))
        if first == "<q>":
            return tuple(self.stock.of_query(" ".join(rest).strip()))
        found = islice(self._search(" ".join(keywords)), LIMIT)
        return tuple(asin for asin in found if self.stock.get(asin) is not None)

    def targets(self, state: State) -> Mapping[str, Target]:
        """Return what can be clicked, by its text in lower case, in the order of the original's list."""
        if state.page == "index":
            return _INDEX_TARGETS
        if state.page == "results":
            return self._result_targets(state.number > 1, tuple(self.listed(state)))
        if state.page == "item":
            return self._item_targets(state.asin)
        return _SUB_TARGETS if state.page == "sub" else {}

    def _list_item_targets(self, asin: str) -> Mapping[str, Target]:
        targets = dict(_ITEM_TARGETS)
        for name, values in self.product(asin).options.items():
            targets |= {value: Target("option", name) for value in values}
        return targets


def _list_result_targets(is_later: bool, asins: tuple[str, ...]) -> Mapping[str, Target]:
    buttons = _LATER_RESULTS_TARGETS if is_later else _RESULTS_TARGETS
    return buttons | {asin.lower(): Target("product", asin) for asin in asins}


def _buttons(*texts: str) -> dict[str, Target]:
    return {text.lower(): _BUTTON for text in texts}


_INDEX_TARGETS = _buttons(SEARCH)
_RESULTS_TARGETS = _buttons(BACK, NEXT)
_LATER_RESULTS_TARGETS = _buttons(BACK, PREVIOUS, NEXT)
_ITEM_TARGETS = _buttons(BACK, PREVIOUS, "Description", "Features", "Reviews", BUY)
_SUB_TARGETS = _buttons(BACK, PREVIOUS)


def url(state: State, session: str) -> str:
    """Return the page's address as the original writes it; ``session`` names the customer."""
    keywords = "+".join(state.keywords)
    options: dict[str, Any] = dict(state.options)
    if state.page == "index":
        return f"{BASE_URL}/{session}"
    if state.page == "results":
        return f"{BASE_URL}/search_results/{session}/{keywords}/{state.number}"
    if state.page == "item":
        return f"{BASE_URL}/item_page/{session}/{state.asin}/{keywords}/{state.number}/{json.dumps(options)}"
    if state.page == "sub":
        return f"{BASE_URL}/item_sub_page/{session}/{state.asin}/{keywords}/{state.number}/{state.sub}/{options}"
    return f"{BASE_URL}/done/{session}/{state.asin}/{options}"


def _page_name(state: State) -> str:
    """Return what the original takes the page for: the first known name in its address.

    So a customer who searched for the word "search_results" is led astray by "< prev", there as here.
    """
    address = url(state, "")
    return next((name for name in _PAGE_NAMES if name in address), "")
