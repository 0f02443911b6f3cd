"""Room layouts: which receptacles stand in a room and which of them share a spot."""

from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import numpy as np

from agentrl.tasks import content_digest
from agentrl_envs.household.tables import FITTINGS, Fitting

Item = TypeVar("Item")

_NEEDED = {
    "kitchen": ("countertop", "fridge", "microwave", "sinkbasin"),
    "livingroom": ("sofa",),
    "bedroom": ("bed",),
    "bathroom": ("sinkbasin", "toilet"),
}
"""What every room of the kind has: the stations, and the piece that tells the room."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The receptacles of one room, without their numbers."""

    room: str
    spots: tuple[tuple[str, ...], ...]
    """Receptacle types by spot: those of one spot are reached together. Sorted, so equal rooms are equal layouts."""

    @property
    def receptacles(self) -> list[str]:
        """All receptacle types, with repetitions, in the order of the spots."""
        return [type_ for spot in self.spots for type_ in spot]

    @property
    def digest(self) -> str:
        """Hash of the canonical content: equal for equal layouts, in any process."""
        return content_digest(f"{self.room}:{'|'.join(','.join(spot) for spot in self.spots)}")

    @property
    def is_unseen(self) -> bool:
        """True for the one layout in five that is never trained on; decided by the content alone."""
        return bucket(self.digest) % 5 == 0


def bucket(digest: str) -> int:
    """Return the number that decides on which side of a split some content lies."""
    return int(digest, 16)


def draw(rng: np.random.Generator, weights: Mapping[Item, float]) -> Item:
    """Draw a key with a probability proportional to its weight."""
    limits = list(accumulate(weights.values()))
    return list(weights)[min(bisect(limits, rng.random() * limits[-1]), len(limits) - 1)]


def draw_layout(rng: np.random.Generator, room: str, receptacles: tuple[int, int] | None, shared: float) -> Layout:
    """Draw a layout.

    Args:
      room: one of ``tables.ROOMS``.
      receptacles: smallest and largest number; None draws the numbers of each type as in the official games.
      shared: chance of a receptacle to share the spot of another one of its type.
    """
    counts = _natural_counts(rng, room) if receptacles is None else _sized_counts(rng, room, receptacles)
    spots: list[tuple[str, ...]] = []
    for type_ in sorted(counts):
        together = 1
        for _ in range(counts[type_] - 1):
            if rng.random() < shared:
                together += 1
            else:
                spots.append((type_,) * together)
                together = 1
        spots.append((type_,) * together)
    return Layout(room, tuple(sorted(spots)))


def _natural_counts(rng: np.random.Generator, room: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for type_, fitting in FITTINGS[room].items():
        if rng.random() < fitting.share:
            # Geometric above the smallest number, with about the mean of the official games.
            more = rng.exponential(fitting.mean / fitting.share - fitting.fewest + 0.5)
            counts[type_] = min(fitting.most, fitting.fewest + int(more))
    return counts


def _sized_counts(rng: np.random.Generator, room: str, receptacles: tuple[int, int]) -> Counter[str]:
    fewest, most = receptacles
    number = fewest + int(rng.random() * (most - fewest + 1))
    counts = Counter(_NEEDED[room])
    weights = {type_: _wish(counts[type_], fitting) for type_, fitting in FITTINGS[room].items()}
    for _ in range(number - counts.total()):
        type_ = draw(rng, weights)
        counts[type_] += 1
        weights[type_] = _wish(counts[type_], FITTINGS[room][type_])
    return counts


def _wish(count: int, fitting: Fitting) -> float:
    """Return the weight of one more: square roots and falling, or small kitchens would be all cabinets."""
    return 0.0 if count >= fitting.most else fitting.mean**0.5 / (1 + count)


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """Draw an item uniformly; several times faster than ``rng.choice`` for a single draw."""
    return items[int(rng.random() * len(items))]
