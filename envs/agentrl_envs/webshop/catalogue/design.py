"""Designs: what a product is before words are found for it, in lines of near misses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentrl_envs.webshop.catalogue.dice import Dice
from agentrl_envs.webshop.catalogue.kind import Choice, Department, Kind
from agentrl_envs.webshop.catalogue.words import BRAND_ENDS, BRAND_STARTS, BRAND_TAILS, MODELS

CHANGES = ("attribute", "option", "price", "attribute", "brand", "option", "price")
"""In what the products of a line differ from its first, in turn."""
SPREAD = 0.12
"""The share of products whose price is a range."""


@dataclass(frozen=True, slots=True)
class Design:
    """The facts of a product.

    Attributes:
      department, kind: what it is.
      brand, model, noun: how it is called.
      traits, having, suits: its attributes, by their place in a sentence (see `Kind`).
      options: name to values.
      prices: its price, or the lowest and the highest.
    """

    department: Department
    kind: Kind
    brand: str
    model: str
    noun: str
    traits: tuple[str, ...]
    having: tuple[str, ...]
    suits: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    prices: tuple[float, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """All its attributes."""
        return self.traits + self.having + self.suits


def draw_line(dice: Dice, department: Department, kind: Kind, size: int) -> tuple[Design, ...]:
    """Draw a line of ``size`` products: one, and others that differ from it in one attribute, option or the price."""
    first = Design(
        department,
        kind,
        brand=_brand(dice),
        model=dice.pick(MODELS),
        noun=dice.pick(kind.nouns),
        traits=tuple(dice.sample(kind.traits, dice.between(2, 3))),
        having=tuple(dice.sample(kind.having, dice.between(1, 3))),
        suits=tuple(dice.sample(kind.suits, dice.between(1, 2))),
        options={name: _offer(dice, choice) for name, choice in kind.options.items()},
        prices=_prices(dice, kind.prices),
    )
    turn = dice.between(0, len(CHANGES) - 1)
    return first, *(_vary(dice, first, CHANGES[(turn + step) % len(CHANGES)]) for step in range(size - 1))


def _vary(dice: Dice, first: Design, change: str) -> Design:
    if change == "attribute":
        return _other_attribute(dice, first)
    if change == "option":
        return _fewer_values(dice, first)
    if change == "price":
        factor = 1.3 + 0.6 * dice.number() if dice.chance(0.6) else 0.55 + 0.25 * dice.number()
        return replace(first, prices=tuple(_rounded(price * factor) for price in first.prices))
    return replace(first, brand=_brand(dice), model=dice.pick(MODELS), noun=dice.pick(first.kind.nouns))


def _other_attribute(dice: Dice, first: Design) -> Design:
    """Return the design with one attribute replaced by another of the same place in a sentence."""
    slot = dice.pick(("traits", "having", "suits"))
    present: tuple[str, ...] = getattr(first, slot)
    absent = [attribute for attribute in getattr(first.kind, slot) if attribute not in present]
    left, new = dice.pick(present), dice.pick(absent)
    changed: dict[str, Any] = {slot: tuple(new if attribute == left else attribute for attribute in present)}
    return replace(first, **changed)


def _fewer_values(dice: Dice, first: Design) -> Design:
    """Return the design with about half of the values of one option."""
    name = dice.pick(tuple(first.options))
    values = first.options[name]
    kept = dice.subset(values, max(1, len(values) // 2))
    return replace(first, options={**first.options, name: kept})


def _brand(dice: Dice) -> str:
    return dice.pick(BRAND_STARTS) + dice.pick(BRAND_ENDS) + dice.pick(BRAND_TAILS)


def _offer(dice: Dice, choice: Choice) -> tuple[str, ...]:
    number = dice.between(*choice.number)
    if choice.is_ordered:
        start = dice.between(0, len(choice.groups) - number)
        groups: Sequence[tuple[str, ...]] = choice.groups[start : start + number]
    else:
        groups = dice.sample(choice.groups, number)
    return tuple(group[0] if len(group) == 1 else dice.pick(group) for group in groups)


def _prices(dice: Dice, bounds: tuple[float, float]) -> tuple[float, ...]:
    low, high = bounds
    price = low * (high / low) ** dice.number()
    if dice.chance(SPREAD):
        return _rounded(price), _rounded(price * (1.1 + 0.3 * dice.number()))
    return (_rounded(price),)


def _rounded(price: float) -> float:
    """Return the price a shop would ask: one cent below a whole or a half dollar."""
    return round(max(round(price * 2) / 2, 1.0) - 0.01, 2)
