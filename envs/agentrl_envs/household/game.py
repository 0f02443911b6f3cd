"""One household game: what stands where, what can be done with it, and what is asked.

A :class:`Game` is the content of a task: plain, immutable, picklable data, read from an official file (`games`) or
made by the generator. The rules that bring it to life are in `world`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class TaskType(StrEnum):
    """The six task types of ALFWorld, named as in its game folders."""

    PLACE = "pick_and_place_simple"
    LOOK = "look_at_obj_in_light"
    CLEAN = "pick_clean_then_place_in_recep"
    HEAT = "pick_heat_then_place_in_recep"
    COOL = "pick_cool_then_place_in_recep"
    TWO = "pick_two_obj_and_place"


class Affordance(StrEnum):
    """What an object allows, or is."""

    PICKUPABLE = "pickupable"
    CLEANABLE = "cleanable"
    HEATABLE = "heatable"
    COOLABLE = "coolable"
    TOGGLEABLE = "toggleable"
    SLICEABLE = "sliceable"
    CONTAINER = "container"
    """It can hold other objects (a bowl, a box). ALFWorld's rules only ever describe such an object."""


class Quality(StrEnum):
    """What an object has become."""

    CLEAN = "clean"
    HOT = "hot"
    COOL = "cool"
    SLICED = "sliced"
    TOGGLED = "toggled"
    """It has been switched on at least once; it never reverts."""


@dataclass(frozen=True, slots=True)
class Receptacle:
    """A place that holds objects.

    Attributes:
      name: as in every text, like ``cabinet 2``; unique in the game.
      kind: its type, lower case, like ``cabinet``; nearly always the name without the number.
      location: index into `Game.locations`. Receptacles that share a location are reached together.
      openable: it has a door or a lid, and hides its contents while closed.
      opened: it is open at the start.
    """

    name: str
    kind: str
    location: int
    openable: bool = False
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Object:
    """A thing that lies in receptacles.

    Attributes:
      name: as in every text, like ``apple 1``; unique in the game.
      kind: its type, lower case, like ``apple``.
      receptacles: indices into `Game.receptacles` of those it lies in at the start. Nearly always one; official games
        have a few objects that lie in several, and may be taken from each.
      location: index into `Game.locations` of where it is at the start, None if it is out of reach. Nearly always
        that of its receptacle.
      affordances: what it allows.
      qualities: what it is at the start.
      contents: names shown when a container is examined. Fixed for the whole game, as in ALFWorld.
    """

    name: str
    kind: str
    receptacles: tuple[int, ...]
    location: int | None
    affordances: frozenset[Affordance] = frozenset()
    qualities: frozenset[Quality] = frozenset()
    contents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Goal:
    """What has to be brought about.

    ====================  ==========================================================================================
    `PLACE`               an object of type `object` lies in a receptacle of type `receptacle`
    `CLEAN, HEAT, COOL`   the same, and that object is clean, hot or cool (and allows it)
    `TWO`                 two objects of type `object` lie in one receptacle of type `receptacle`
    `LOOK`                the agent holds an object of type `object`, and a lamp of type `receptacle` that was
                          switched on at some time lies in a receptacle at the agent's location
    ====================  ==========================================================================================
    """

    task: TaskType
    object: str
    receptacle: str
    """Type of the receptacle, or of the lamp for `LOOK`."""
    sentence: str
    """What the agent is told after ``Your task is to: ``, with the full stop."""


@dataclass(frozen=True, slots=True)
class Game:
    """A household game.

    Attributes:
      id: its address, like ``train/pick_heat_then_place_in_recep-Egg-None-Fridge-13/trial_T2019…``.
      receptacles: in the order in which texts list them: name ascending, number descending (``drawer 10, drawer 9``).
      objects: likewise.
      locations: a name for each location (``loc 7``; seen in the `classic` dialect only).
      start: index into `locations` of where the agent begins; usually a place of its own without receptacles.
      can_contain: receptacle type -> object types that may be put there.
      goal: what has to be brought about.
      walkthrough: commands, in the `current` dialect, that win from the start; may be empty.
    """

    id: str
    receptacles: tuple[Receptacle, ...]
    objects: tuple[Object, ...]
    locations: tuple[str, ...]
    start: int
    can_contain: Mapping[str, frozenset[str]]
    goal: Goal
    walkthrough: tuple[str, ...] = field(default=(), compare=False)
