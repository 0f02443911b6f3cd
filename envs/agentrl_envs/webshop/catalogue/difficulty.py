"""How hard the generated shop is."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard it is to tell products apart and to understand wishes.

    Attributes:
      line: how many products differ in one thing only: each has one fewer near misses.
      hidden: the share of attributes that titles leave out, so that one has to look at the product's pages.
      attributes: the fewest and the most attributes that a wish names.
      choices: the fewest and the most option values that a wish names, where there are so many options.
      limited: the share of wishes with a price limit.
      rephrased: the share of attributes that wishes say in other words, of those for which there are some.
    """

    line: int
    hidden: float
    attributes: tuple[int, int]
    choices: tuple[int, int]
    limited: float
    rephrased: float


DIFFICULTIES: Mapping[str, Difficulty] = MappingProxyType(
    {
        "easy": Difficulty(3, 0.2, (1, 2), (1, 1), 0.7, 0.0),
        "medium": Difficulty(5, 0.4, (2, 3), (1, 2), 0.9, 0.1),
        "hard": Difficulty(8, 0.6, (3, 4), (2, 3), 1.0, 0.4),
    }
)
