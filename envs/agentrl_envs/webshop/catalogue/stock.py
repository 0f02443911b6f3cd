"""The generated catalogue as a stock: any product by its number or asin, none of them held."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import overload

from agentrl.seeding import derive, generator
from agentrl_envs.webshop.catalogue.design import Design, draw_line
from agentrl_envs.webshop.catalogue.dice import Dice
from agentrl_envs.webshop.catalogue.kind import Department, Kind
from agentrl_envs.webshop.catalogue.writing import write_product
from agentrl_envs.webshop.product import Product

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MODULUS = 36**8
_FACTOR = 1_955_307_401_807
"""Has no factor in common with 36, so that multiplying by it permutes the numbers below 36^8."""
_NUMBERS = 160
"""Random numbers drawn at once for a product, more than almost all need."""
SCANNED = 20_000
"""How many products are looked through for an attribute."""


class Numbered(Sequence[str]):
    """Asins of the products with given numbers, made when asked for."""

    def __init__(self, length: int, asin: Callable[[int], str]) -> None:
        self._length, self._asin = length, asin

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        places = range(self._length)[index]
        return [self._asin(place) for place in places] if isinstance(places, range) else self._asin(places)


class GeneratedStock:
    """Products as a pure function of seed and number: a million of them take no memory until they are looked at.

    Products come in lines of ``line`` neighbours that differ in one attribute, the values of an option, the price, or
    the brand. The lines take the kinds of the departments in turn, so that every kind has as many products.

    Args:
      departments: what is sold.
      products: how many products there are.
      line: how many products a line has.
      hidden: the share of attributes that titles leave out.
      seed: another seed gives another catalogue.
    """

    def __init__(
        self, departments: Sequence[Department], *, products: int, line: int, hidden: float, seed: int
    ) -> None:
        self.products, self.line, self.hidden, self.seed = products, line, hidden, seed
        kinds = [(department, kind) for department in departments for kind in department.kinds]
        order = generator(seed, "shop", "kinds").permutation(len(kinds))
        self._kinds: list[tuple[Department, Kind]] = [kinds[place] for place in order.tolist()]
        self._shift = derive(seed, "shop", "asin") % _MODULUS
        self._cached_line = lru_cache(maxsize=256)(self._line)
        self._product = lru_cache(maxsize=4096)(self._write)

    def __len__(self) -> int:
        return self.products

    def __iter__(self) -> Iterator[Product]:
        return map(self._write, range(self.products))

    def get(self, asin: str) -> Product | None:
        """Return the product, or None if the shop does not have it."""
        number = self.number(asin)
        return None if number is None else self._product(number)

    def product(self, number: int) -> Product:
        """Return the product with this number, from 0."""
        return self._product(number)

    def asin(self, number: int) -> str:
        """Return the asin of the product with this number: ``B0`` and eight digits or letters."""
        code, digits = (number * _FACTOR + self._shift) % _MODULUS, ""
        for _ in range(8):
            code, digit = divmod(code, 36)
            digits = _DIGITS[digit] + digits
        return f"B0{digits}"

    def number(self, asin: str) -> int | None:
        """Return the number of the product with this asin, or None if the shop does not have it."""
        code = asin[2:]
        if len(asin) != 10 or asin[:2] != "B0" or not set(code) <= set(_DIGITS):
            return None
        number = (int(code, 36) - self._shift) * pow(_FACTOR, -1, _MODULUS) % _MODULUS
        return number if number < self.products else None

    def of_query(self, query: str) -> Sequence[str]:
        """Return the asins of the products of the kind that is called so."""
        places = [place for place, (_, kind) in enumerate(self._kinds) if kind.query == query]
        return self._of_places(places)

    def of_category(self, category: str) -> Sequence[str]:
        """Return the asins of the products of a department."""
        places = [place for place, (department, _) in enumerate(self._kinds) if department.category == category]
        return self._of_places(places)

    def of_attribute(self, attribute: str) -> Sequence[str]:
        """Return the asins of those of the first 20,000 products that have the attribute."""
        first = range(min(self.products, SCANNED))
        return [self.asin(number) for number in first if attribute in self.design(number).attributes]

    def design(self, number: int) -> Design:
        """Return the facts of the product with this number."""
        line, place = divmod(number, self.line)
        return self.designs(line)[place]

    def designs(self, line: int) -> tuple[Design, ...]:
        """Return the facts of the products of a line; the last line of the catalogue may be cut off within it."""
        return self._cached_line(line)[0]

    def _line(self, line: int) -> tuple[tuple[Design, ...], list[list[float]]]:
        """Return the facts of a line, and for each product the numbers that its words begin with."""
        department, kind = self._kinds[line % len(self._kinds)]
        numbers = generator(self.seed, "shop", "line", line).random((self.line + 1, _NUMBERS)).tolist()
        dice = Dice(self.seed, "shop", "design", line, first=numbers.pop())
        return draw_line(dice, department, kind, self.line), numbers

    def _write(self, number: int) -> Product:
        line, place = divmod(number, self.line)
        designs, numbers = self._cached_line(line)
        dice = Dice(self.seed, "shop", "words", number, first=numbers[place])
        return write_product(designs[place], self.asin(number), dice, self.hidden)

    def _of_places(self, places: Sequence[int]) -> Sequence[str]:
        """Return the asins of the kinds at ``places`` of the turn, in the order of the catalogue."""
        if not places:
            return ()
        rounds = self.products // (self.line * len(self._kinds))
        last = [number for place in places for number in self._run(rounds, place) if number < self.products]
        return Numbered(
            rounds * len(places) * self.line + len(last),
            lambda index: self.asin(self._numbered(index, places, rounds, last)),
        )

    def _run(self, turn: int, place: int) -> range:
        start = (turn * len(self._kinds) + place) * self.line
        return range(start, start + self.line)

    def _numbered(self, index: int, places: Sequence[int], rounds: int, last: list[int]) -> int:
        line, offset = divmod(index, self.line)
        turn, place = divmod(line, len(places))
        return (
            self._run(turn, places[place])[offset] if turn < rounds else last[index - rounds * len(places) * self.line]
        )
