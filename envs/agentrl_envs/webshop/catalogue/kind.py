"""What a kind of product is: its words, its options and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """What an option offers.

    Attributes:
      groups: values in groups of alternatives; a product offers at most one of each group, so that no two of its values
        are mistaken for each other.
      number: the fewest and the most values that a product offers.
      is_ordered: the values offered are neighbours, as sizes are; else any of them.
    """

    groups: tuple[tuple[str, ...], ...]
    number: tuple[int, int]
    is_ordered: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product, like running shoes.

    Attributes:
      query: how a customer calls it, in lower case; the products of a kind share it.
      article: goes before the query in a wish: ``"a"``, ``"a pair of"``, ``"some"``.
      is_plural: the query takes verbs in the plural.
      path: where the shop has it, below the department.
      nouns: names for it in titles.
      prices: the lowest and the highest price, in dollars.
      traits: attributes that go before the noun, like ``"water resistant"``.
      having: attributes that go after "with", like ``"rubber sole"``.
      suits: attributes that go after "for", like ``"wide feet"``.
      options: name to what it offers.
      parts: what descriptions speak of, in the singular, like ``"heel"``.
      uses: occasions that descriptions name, like ``"long walks in the park"``.
    """

    query: str
    article: str
    is_plural: bool
    path: str
    nouns: tuple[str, ...]
    prices: tuple[float, float]
    traits: tuple[str, ...]
    having: tuple[str, ...]
    suits: tuple[str, ...]
    options: Mapping[str, Choice]
    parts: tuple[str, ...]
    uses: tuple[str, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """All attributes that a product of this kind may have."""
        return self.traits + self.having + self.suits


@dataclass(frozen=True, slots=True)
class Department:
    """A part of the shop.

    Attributes:
      category: its short name, like ``"garden"``.
      path: its name on pages.
      kinds: what it sells.
    """

    category: str
    path: str
    kinds: tuple[Kind, ...]
