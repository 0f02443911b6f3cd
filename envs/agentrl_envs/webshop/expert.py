"""A demonstrator that knows only what it is told and shown: it searches, compares, backs out and buys."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import unescape

import numpy as np

from agentrl.env import Info
from agentrl.errors import DataError
from agentrl_envs.webshop.analysis import terms
from agentrl_envs.webshop.pages import SEPARATOR

_PRICE_LIMIT = re.compile(r"\$\s?(\d[\d,]*(?:\.\d+)?)|(\d[\d,]*(?:\.\d+)?) ?(?:dollars|usd|bucks)", re.IGNORECASE)
_PRICE_WORDS = re.compile(
    r"(?:,? ?(?:and|that|which)? ?(?:the )?(?:price|costs?|priced|budget)[^,.;]*?)?"
    r"(?:\$\s?\d[\d,]*(?:\.\d+)?|\d[\d,]*(?:\.\d+)? ?(?:dollars|usd|bucks))",
    re.IGNORECASE,
)
_COST = re.compile(r"\$(\d+(?:\.\d+)?)")
_MARKS = re.compile(r"^\s*\[(?:clicked )?button\] (.*) \[(?:clicked )?button_\]$")
_TAG = re.compile(r"<[^>]*>")
_FILLERS = frozenset(
    terms("find me i need want am i'm looking look for please would like something some get buy one that has have with")
)
_VISITS = 5
"""How many products are looked at before one is bought, at most."""


@dataclass
class _Offer:
    """A product, as far as it was seen."""

    asin: str
    title: str
    cost: float
    text: str
    values: list[str] = field(default_factory=list)
    """The option values to choose."""
    lacks: int = 0
    """Options that are named by the wish, of which the wished value is not there."""
    pages: list[str] = field(default_factory=list)
    """The sub pages that were read."""


class Customer:
    """Call it with each observation and its ``info``; it follows one episode.

    It reads the instruction, searches its words, opens what looks best and can be afforded, chooses the values that the
    instruction names, reads features and description where the title does not say all, and buys what fits, or goes
    back for the next one; short of turns it returns to the best so far.

    Args:
      rng: breaks ties, so that demonstrations differ.
      turns: how many actions there are; None for no limit.
      is_careful: without it, it reads nothing and buys the first product that it can afford.
    """

    def __init__(self, rng: np.random.Generator, *, turns: int | None = None, is_careful: bool = True) -> None:
        self._rng, self._turns, self._is_careful = rng, turns or 1_000, is_careful
        self._played = 0
        self._wish = ""
        self._limit = float("inf")
        self._needed: frozenset[str] = frozenset()
        self._offers: dict[str, _Offer] = {}
        self._visited: list[str] = []
        self._open: _Offer | None = None
        self._decided: str | None = None

    def __call__(self, observation: str, info: Info) -> str:
        """Return the next action.

        Raises:
          DataError: ``info`` does not say what can be done.
        """
        possible = info.get("admissible_actions")
        if possible is None:
            raise DataError("the customer needs info['admissible_actions']; the web shop always lists them")
        self._played += 1
        clickables = [action[len("click[") : -1] for action in possible if action.startswith("click[")]
        texts = read_texts(observation)
        if not self._wish:
            self._understand(texts)
        if len(clickables) < len(possible):
            return f"search[{self._keywords()}]"
        if "buy now" in clickables:
            return self._at_item(texts, clickables)
        if "next >" in clickables:
            return self._at_results(texts, clickables)
        if self._open is not None:
            self._open.text += " " + " ".join(texts)
        return "click[< prev]"

    # -- reading -------------------------------------------------------------------------------------------------

    def _understand(self, texts: Sequence[str]) -> None:
        """Take in the instruction: it follows its heading."""
        heading = next((at for at, text in enumerate(texts) if text.startswith("Instruction:")), 0)
        self._wish = texts[heading + 1] if heading + 1 < len(texts) else "anything"
        if found := _PRICE_LIMIT.findall(self._wish):
            self._limit = float((found[-1][0] or found[-1][1]).replace(",", ""))
        self._needed = frozenset(terms(self._keywords())) - _FILLERS

    def _keywords(self) -> str:
        """Return the wish in lower case, without its price and the words that all wishes have."""
        words = _PRICE_WORDS.sub(" ", self._wish.lower()).replace("[", " ").replace("]", " ").split()
        return " ".join(word for word in words if not set(terms(word)) <= _FILLERS) or "anything"

    def _coverage(self, text: str) -> float:
        """Return the share of the wish's words that ``text`` has."""
        return len(self._needed & set(terms(text))) / max(1, len(self._needed))

    # -- acting --------------------------------------------------------------------------------------------------

    def _at_results(self, texts: Sequence[str], clickables: Sequence[str]) -> str:
        listed = [asin for asin in clickables if asin.upper() in texts]
        for rank, asin in enumerate(listed):
            if asin not in self._offers:
                at = texts.index(asin.upper())
                cost = _COST.search(texts[at + 2])
                price = float(cost[1]) if cost else 0.0
                # A later place and a tie of chance count for less than one word of the wish.
                noise = 0.02 * rank + 0.001 * float(self._rng.random())
                self._offers[asin] = _Offer(asin, texts[at + 1], price + noise, texts[at + 1])
        if self._decided is not None:
            return f"click[{self._decided}]" if self._decided in listed else "click[< prev]"
        fresh = [asin for asin in listed if asin not in self._visited]
        affordable = [asin for asin in fresh if self._offers[asin].cost <= self._limit + 1]
        if not (affordable or fresh):
            return "click[next >]"
        if not self._is_careful:
            chosen = (affordable or fresh)[0]
        else:
            chosen = max(affordable or fresh, key=lambda asin: self._promise(listed.index(asin), self._offers[asin]))
        self._visited.append(chosen)
        return f"click[{chosen}]"

    def _promise(self, rank: int, offer: _Offer) -> float:
        return self._coverage(offer.title) - 0.03 * rank

    def _at_item(self, texts: Sequence[str], clickables: Sequence[str]) -> str:
        asin = self._decided or (self._visited[-1] if self._visited else "")
        offer = self._offers.get(asin)
        if offer is None:
            offer = self._offers[asin] = _Offer(asin, "", 0.0, " ".join(texts))
        if self._open is not offer:
            self._open = offer
            self._choose(offer, texts, clickables)
        if self._decided is None and self._is_careful:
            if (page := self._to_read(offer)) is not None:
                offer.pages.append(page)
                return f"click[{page}]"
            if not self._is_fine(offer) and self._may_look_on():
                return "click[< prev]"
            best = max((self._offers[one] for one in self._visited), key=self._value)
            if self._value(best) > self._value(offer) + 1e-9 and self._played + 4 <= self._turns:
                self._decided, best.pages = best.asin, ["features", "description"]
                best.values, self._open = [], None
                return "click[< prev]"
        return f"click[{offer.values.pop(0)}]" if offer.values else "click[buy now]"

    def _choose(self, offer: _Offer, texts: Sequence[str], clickables: Sequence[str]) -> None:
        """Choose for each option the longest value that the wish has."""
        fixed = {"back to search", "< prev", "description", "features", "reviews", "buy now"}
        options = _options(texts, [text for text in clickables if text not in fixed])
        wish = f" {' '.join(_plain(self._wish))} "
        offer.values, offer.lacks = [], 0
        for name, values in options.items():
            named = [value for value in values if f" {' '.join(_plain(value))} " in wish]
            if named:
                asked = [value for value in named if f"{name}: {value}" in self._wish.lower()]
                offer.values.append(max(asked or named, key=len))
            elif f"{name}:" in self._wish.lower():
                offer.lacks += 1
        offer.text += " " + " ".join((*options, *offer.values))

    def _to_read(self, offer: _Offer) -> str | None:
        """Return the sub page that should still be read."""
        if offer.lacks or self._coverage(offer.text) == 1.0 or self._played + 4 + len(offer.values) > self._turns:
            return None
        return next((page for page in ("features", "description") if page not in offer.pages), None)

    def _is_fine(self, offer: _Offer) -> bool:
        return not offer.lacks and self._coverage(offer.text) == 1.0 and offer.cost <= self._limit + 1

    def _may_look_on(self) -> bool:
        return len(self._visited) < _VISITS and self._played + 6 <= self._turns

    def _value(self, offer: _Offer) -> float:
        return self._coverage(offer.text) - 0.5 * offer.lacks - (offer.cost > self._limit + 1)


def read_texts(observation: str) -> list[str]:
    """Return the texts of a page from any kind of observation that has them."""
    if observation.startswith("<!DOCTYPE"):
        body = observation[observation.index("<body>") :]
        return [text for line in body.split("\n") if (text := unescape(_TAG.sub("", line)).strip())]
    if SEPARATOR in observation:
        return [text.strip() for text in observation.split(SEPARATOR)]
    lines = (_MARKS.sub(r"\1", line).strip() for line in observation.split("\n"))
    return [line for line in lines if line]


def _plain(text: str) -> list[str]:
    return re.findall(r"[\w.]+", text.lower())


def _options(texts: Sequence[str], values: Sequence[str]) -> dict[str, list[str]]:
    """Return the values by the heading that they stand under."""
    remaining = list(values)
    found: dict[str, list[str]] = {}
    heading = ""
    for text in texts:
        if remaining and text == remaining[0]:
            found.setdefault(heading, []).append(remaining.pop(0))
        elif text in values and heading in found:
            found[heading].append(text)
        else:
            heading = text
    return found
