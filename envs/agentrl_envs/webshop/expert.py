"""A demonstrator that knows only what it is told and shown: it searches, compares, backs out and buys."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import unescape

import numpy as np

from agentrl.env import Info
from agentrl.errors import DataError
from agentrl_envs.webshop.pages import SEPARATOR
from agentrl_envs.webshop.search.analysis import terms
from agentrl_envs.webshop.shop import PREVIOUS

_PRICE_LIMIT = re.compile(r"\$\s?(\d[\d,]*(?:\.\d+)?)|(\d[\d,]*(?:\.\d+)?) ?(?:dollars|usd|bucks)", re.IGNORECASE)
_PRICE_WORDS = re.compile(
    r"(?:,? ?(?:and|that|which)? ?(?:the )?(?:price|costs?|priced|budget)[^,.;]*?)?"
    r"(?:\$\s?\d[\d,]*(?:\.\d+)?|\d[\d,]*(?:\.\d+)? ?(?:dollars|usd|bucks))",
    re.IGNORECASE,
)
_COST = re.compile(r"\$(\d+(?:\.\d+)?)")
_MARKS = re.compile(r"^\s*\[(?:clicked )?button\] (.*) \[(?:clicked )?button_\]$")
_TAG = re.compile(r"<[^>]*>")
_JOINTS = re.compile(r"[,.;:!?]\s|\b(?:and|with|for|in|that|which|is|are|as|by|on|to|or|the|a|an|of)\b")
"""What stands between the phrases of a wish."""
_FILLERS = frozenset(
    terms(
        "find me i need want am i'm looking look for please would like something some get buy one that has have "
        "with we my sister asked show help can could you shopping searching been i've order it they should be come "
        "right make choose i'd take spend up pay don't more than less must cost budget set box pair"
    )
)
_ENOUGH = 0.95
"""Coverage of the wish's phrases from which a product is bought without looking for another."""
_ENDS = re.compile(r"$|[,;!?]|\.(?:\s|$)|\s(?:and|with|for)\b|\s*$")
"""What may follow the value of an option in a wish."""
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
    rank: int = 0
    """Its place among the results."""


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
        self._phrases: list[str] = []
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
            self._open.text += ", ".join(["", *texts[texts.index(PREVIOUS) + 1 :]])
        return "click[< prev]"

    # -- reading -------------------------------------------------------------------------------------------------

    def _understand(self, texts: Sequence[str]) -> None:
        """Take in the instruction: it follows its heading."""
        heading = next((at for at, text in enumerate(texts) if text.startswith("Instruction:")), 0)
        self._wish = texts[heading + 1] if heading + 1 < len(texts) else "anything"
        if found := _PRICE_LIMIT.findall(self._wish):
            self._limit = float((found[-1][0] or found[-1][1]).replace(",", ""))
        text = _PRICE_WORDS.sub(" ", self._wish.lower())
        phrases = ([term for term in terms(part) if term not in _FILLERS] for part in _JOINTS.split(text))
        self._phrases = [" ".join(phrase) for phrase in phrases if phrase]

    def _keywords(self) -> str:
        """Return the wish in lower case, without its price and the words that all wishes have."""
        words = _PRICE_WORDS.sub(" ", self._wish.lower()).replace("[", " ").replace("]", " ").split()
        return " ".join(word for word in words if not set(terms(word)) <= _FILLERS) or "anything"

    def _coverage(self, text: str, phrases: Sequence[str] | None = None) -> float:
        """Return the share of the wish's phrases that ``text`` has; one that it has in pieces counts half as far."""
        phrases = self._phrases if phrases is None else phrases
        found = terms(text)
        line, known, total = f" {' '.join(found)} ", set(found), 0.0
        for phrase in phrases:
            words = phrase.split()
            total += 1.0 if f" {phrase} " in line else 0.5 * len(known.intersection(words)) / len(words)
        return total / max(1, len(phrases))

    # -- acting --------------------------------------------------------------------------------------------------

    def _at_results(self, texts: Sequence[str], clickables: Sequence[str]) -> str:
        listed = [asin for asin in clickables if asin.upper() in texts]
        for asin in listed:
            if asin not in self._offers:
                at = texts.index(asin.upper())
                cost = _COST.search(texts[at + 2])
                price = float(cost[1]) if cost else 0.0
                self._offers[asin] = _Offer(asin, texts[at + 1], price, texts[at + 1], rank=len(self._offers))
        if self._decided is not None:
            return f"click[{self._decided}]" if self._decided in listed else "click[< prev]"
        fresh = [asin for asin in listed if asin not in self._visited]
        affordable = [asin for asin in fresh if self._offers[asin].cost <= self._limit]
        if not (affordable or fresh):
            return "click[next >]"
        if not self._is_careful:
            chosen = (affordable or fresh)[0]
        else:
            chosen = max(affordable or fresh, key=lambda asin: self._promise(self._offers[asin]))
        self._visited.append(chosen)
        return f"click[{chosen}]"

    def _promise(self, offer: _Offer) -> float:
        # A tie of chance, which counts for less than a place.
        return self._coverage(offer.title) - 0.04 * offer.rank + 0.001 * float(self._rng.random())

    def _at_item(self, texts: Sequence[str], clickables: Sequence[str]) -> str:
        asin = self._decided or (self._visited[-1] if self._visited else "")
        offer = self._offers.setdefault(asin, _Offer(asin, "", 0.0, ""))
        if self._open is not offer:
            self._open = offer
            self._choose(offer, texts, clickables)
        if self._decided is None and self._is_careful:
            if action := self._compare(offer):
                return action
            self._decided = asin
        return f"click[{offer.values.pop(0)}]" if offer.values else "click[buy now]"

    def _compare(self, offer: _Offer) -> str:
        """Return how to go on before anything is bought, or "" if this offer is to be bought.

        It never goes so far that it could not come back to the best offer, choose, and buy.
        """
        left = self._turns - self._played + 1
        best = max((self._offers[asin] for asin in self._visited or [offer.asin]), key=self._value)
        buying = max(len(best.values), len(offer.values)) + 1
        if not offer.pages and not offer.lacks and self._coverage(offer.text) < 1.0 and left >= 2 + 2 + buying:
            offer.pages.append("features")
            return "click[features]"
        if not self._is_fine(best) and len(self._visited) < _VISITS and left >= 2 + 2 + buying:
            return "click[< prev]"
        if best is not offer and self._value(best) > self._value(offer) and left >= 2 + buying:
            self._decided, self._open = best.asin, None
            return "click[< prev]"
        return ""

    def _is_fine(self, offer: _Offer) -> bool:
        """Whether it has all of the wish that any product seen has, as far as that is known."""
        if offer.lacks or offer.cost > self._limit or not (offer.pages or self._coverage(offer.text) == 1.0):
            return False
        seen = [set(terms(one.text)) for one in self._offers.values()]
        known = [phrase for phrase in self._phrases if any(words.issuperset(phrase.split()) for words in seen)]
        return self._coverage(offer.text, known) >= _ENOUGH

    def _value(self, offer: _Offer) -> float:
        return self._coverage(offer.text) - 0.04 * offer.rank - 0.5 * offer.lacks - (offer.cost > self._limit)

    def _choose(self, offer: _Offer, texts: Sequence[str], clickables: Sequence[str]) -> None:
        """Choose for each option the longest value that the wish has."""
        fixed = {"back to search", "< prev", "description", "features", "reviews", "buy now"}
        options = _options(texts, [text for text in clickables if text not in fixed])
        wish = _PRICE_WORDS.sub("", self._wish.lower())
        offer.values, offer.lacks = [], 0
        for name, values in options.items():
            if f"{name}: " in wish:
                said = (value for value in values if f"{name}: {value}" in wish)
                fitting = [value for value in said if _ENDS.match(wish.split(f"{name}: {value}", 1)[1])]
            else:
                fitting = [value for value in values if self._says(value)]
            if fitting:
                offer.values.append(max(fitting, key=len))
            elif self._says(name):
                offer.lacks += 1
        offer.text += ", ".join(["", *options, *offer.values])

    def _says(self, text: str) -> bool:
        """Whether the wish has these words."""
        return f" {' '.join(_plain(text))} " in f" {' '.join(_plain(self._wish))} "


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
    return re.findall(r"\w+(?:\.\w+)*", text.lower())


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
