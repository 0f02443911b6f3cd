"""Fast draws: NumPy streams read in bulk, since a product takes about a hundred small decisions."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeVar

from agentrl.seeding import generator

Item = TypeVar("Item")

_BLOCK = 160


class Dice:
    """Draws from the random stream that is named by a seed and a path (see `agentrl.seeding`).

    Args:
      seed: the seed.
      path: names the stream.
      first: numbers from 0 to below 1 to use before those of the stream.
    """

    def __init__(self, seed: int, *path: int | str, first: Sequence[float] = ()) -> None:
        self.number = chain(first, _numbers(seed, *path)).__next__
        """Returns a number from 0 to below 1."""

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.number() < probability

    def between(self, fewest: int, most: int) -> int:
        """Return a whole number, both ends included."""
        return fewest + int(self.number() * (most - fewest + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of ``items``."""
        return items[int(self.number() * len(items))]

    def sample(self, items: Sequence[Item], number: int) -> list[Item]:
        """Return ``number`` different ones of ``items``, in the order drawn; all of them if there are fewer."""
        left, draw = list(items), self.number
        return [left.pop(int(draw() * len(left))) for _ in range(min(number, len(left)))]

    def subset(self, items: Sequence[Item], number: int) -> tuple[Item, ...]:
        """Return ``number`` different ones of ``items``, in their own order; all of them if there are fewer."""
        return tuple(items[place] for place in sorted(self.sample(range(len(items)), number)))


def _numbers(seed: int, *path: int | str) -> Iterator[float]:
    rng = generator(seed, *path)
    while True:
        yield from rng.random(_BLOCK).tolist()
