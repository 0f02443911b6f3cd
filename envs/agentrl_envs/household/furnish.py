"""From a room layout to a game: draw a goal that can be reached, and put the objects where they belong."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache

import numpy as np

from agentrl_envs.household.game import Affordance, Game, Goal, Object, Receptacle, TaskType
from agentrl_envs.household.layout import Layout, draw, pick
from agentrl_envs.household.tables import (
    CLEANABLE,
    CONTAINERS,
    COOLABLE,
    FITTINGS,
    HABITS,
    HEATABLE,
    HOLDS,
    LAMPS,
    OPENABLE,
    SENTENCES,
    SLICEABLE,
    STATIONS,
    TARGETS,
    TREATMENTS,
)

_TREATABLE = {"clean": CLEANABLE, "heat": HEATABLE, "cool": COOLABLE}
_AFFORDANCES = {
    Affordance.CLEANABLE: CLEANABLE,
    Affordance.HEATABLE: HEATABLE,
    Affordance.COOLABLE: COOLABLE,
    Affordance.SLICEABLE: SLICEABLE,
    Affordance.CONTAINER: CONTAINERS,
    Affordance.TOGGLEABLE: LAMPS,
}
_LAMP = "desklamp"
"""Floor lamps stand in no receptacle, so no command reaches them; the official tasks use desk lamps only."""


@cache
def affordances(thing: str) -> frozenset[Affordance]:
    """Return what objects of the type ``thing`` allow."""
    allowed = {affordance for affordance, things in _AFFORDANCES.items() if thing in things}
    return frozenset(allowed if thing in LAMPS else allowed | {Affordance.PICKUPABLE})


def _start_weights(room: str, thing: str) -> dict[str, float]:
    """Return weights of the receptacle types where ``thing`` may start.

    Those are the types that may hold it (for a lamp, where lamps were seen), so that nothing is taken that cannot be
    put down again. The weights are percentages of the official games; where it was never seen it counts half a percent.
    """
    seen = HABITS[room][thing].places
    allowed = seen if thing in LAMPS else [type_ for type_ in FITTINGS[room] if thing in HOLDS.get(type_, ())]
    return {type_: float(seen.get(type_, 0.5)) for type_ in allowed}


_STARTS = {room: {thing: _start_weights(room, thing) for thing in habits} for room, habits in HABITS.items()}


def draw_goal(rng: np.random.Generator, layout: Layout, task: TaskType) -> Goal | None:
    """Draw a goal that the layout allows, its object by frequency and its place uniformly; None if there is none."""
    present = dict.fromkeys(layout.receptacles)
    options = (
        _look_options(layout.room, present) if task is TaskType.LOOK else _place_options(layout.room, present, task)
    )
    weights = {thing: HABITS[layout.room][thing].mean for thing, places in options.items() if places}
    if not weights:
        return None
    thing = draw(rng, weights)
    place = pick(rng, options[thing])
    return Goal(task, thing, place, pick(rng, SENTENCES[task]).format(o=thing, r=place))


def _look_options(room: str, present: Mapping[str, None]) -> dict[str, list[str]]:
    starts = _STARTS[room]
    if _LAMP not in starts or not starts[_LAMP].keys() & present.keys():
        return {}
    return {t: [_LAMP] for t, types in starts.items() if t not in LAMPS and types.keys() & present.keys()}


def _place_options(room: str, present: Mapping[str, None], task: TaskType) -> dict[str, list[str]]:
    treatment = TREATMENTS.get(task)
    targets = [type_ for type_ in present if type_ in TARGETS and (not treatment or type_ != STATIONS[treatment])]
    options = {}
    for thing, types in _STARTS[room].items():
        is_suited = thing in _TREATABLE[treatment] if treatment else thing not in LAMPS
        # Something beside the target must be able to hold it at the start.
        if is_suited and len(types.keys() & present.keys()) > 1:
            options[thing] = [type_ for type_ in targets if type_ in types]
    return options


def furnish(
    rng: np.random.Generator,
    game_id: str,
    layout: Layout,
    goal: Goal,
    objects: tuple[int, int] | None,
    closed: float | None,
) -> Game:
    """Return a game: the layout with numbered receptacles and objects in them, nothing of the goal reached yet.

    Args:
      game_id: its address.
      layout: the room.
      goal: one that :func:`draw_goal` gave for the room.
      objects: smallest and largest number of objects; None draws the numbers of each type as in the official games.
      closed: chance that a wanted object starts inside something closed, where there is that; None leaves it to habit.
    """
    receptacles = _number_receptacles(rng, layout)
    by_type: defaultdict[str, list[int]] = defaultdict(list)
    for index, receptacle in enumerate(receptacles):
        by_type[receptacle.kind].append(index)
    counts = _draw_counts(rng, layout, goal, objects)
    items: list[Object] = []
    for thing in sorted(counts):
        wanted = thing == goal.object
        places = {t: weight for t, weight in _STARTS[layout.room][thing].items() if t in by_type}
        if wanted and goal.task is not TaskType.LOOK:
            places.pop(goal.receptacle, None)
        for number in range(counts[thing], 0, -1):
            hidden = rng.random() < closed if wanted and closed is not None else None
            place = pick(rng, by_type[draw(rng, _prefer(places, hidden))])
            spot = receptacles[place].location
            items.append(Object(f"{thing} {number}", thing, (place,), spot, affordances(thing)))
    locations = tuple(f"loc {index}" for index in range(len(layout.spots) + 1))
    return Game(game_id, tuple(receptacles), tuple(items), locations, 0, HOLDS, goal)


def _number_receptacles(rng: np.random.Generator, layout: Layout) -> list[Receptacle]:
    """Give each receptacle a number at random, in the order of the texts: type ascending, number descending."""
    spots: defaultdict[str, list[int]] = defaultdict(list)
    for location, spot in enumerate(layout.spots, start=1):
        for type_ in spot:
            spots[type_].append(location)
    receptacles = []
    for type_ in sorted(spots):
        order = rng.permutation(len(spots[type_])) if len(spots[type_]) > 1 else [0]
        for number, index in zip(range(len(order), 0, -1), order, strict=True):
            receptacles.append(Receptacle(f"{type_} {number}", type_, spots[type_][index], type_ in OPENABLE))
    return receptacles


def _draw_counts(rng: np.random.Generator, layout: Layout, goal: Goal, objects: tuple[int, int] | None) -> Counter[str]:
    """Draw how many objects of each type there are: the wanted ones, now and then one more, and others."""
    counts = Counter({goal.object: 1 + (goal.task is TaskType.TWO) + int(rng.random() < 0.3)})
    if goal.task is TaskType.LOOK:
        counts[goal.receptacle] = 1
    present, starts = set(layout.receptacles), _STARTS[layout.room]
    means = {
        thing: habit.mean
        for thing, habit in HABITS[layout.room].items()
        if thing not in counts and not present.isdisjoint(starts[thing])
    }
    if objects is None:
        for thing, mean in means.items():
            counts[thing] = int(rng.random() * 2 * mean + 0.5)
        return counts
    total = objects[0] + int(rng.random() * (objects[1] - objects[0] + 1))
    weights = dict(means)
    for _ in range(total - counts.total()):
        thing = draw(rng, weights)
        counts[thing] += 1
        weights[thing] = means[thing] / (1 + counts[thing])
    return counts


def _prefer(places: dict[str, float], hidden: bool | None) -> dict[str, float]:
    """Keep the places that are closed (or open) at the start, if there are any."""
    if hidden is None:
        return places
    return {place: weight for place, weight in places.items() if (place in OPENABLE) == hidden} or places
