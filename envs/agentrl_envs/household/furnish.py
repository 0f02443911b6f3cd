"""From a room layout to a game: draw a goal that can be reached, and put the objects where they belong."""

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from agentrl_envs.household.game import Affordance, Game, Goal, Object, Receptacle, TaskType
from agentrl_envs.household.layout import Layout, draw, pick
from agentrl_envs.household.tables import (
    CLEANABLE,
    CONTAINERS,
    COOLABLE,
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


def affordances(thing: str) -> frozenset[Affordance]:
    """Return what objects of the type ``thing`` allow."""
    allowed = {affordance for affordance, things in _AFFORDANCES.items() if thing in things}
    return frozenset(allowed if thing in LAMPS else allowed | {Affordance.PICKUPABLE})


def start_places(room: str, thing: str, present: Iterable[str]) -> dict[str, float]:
    """Return weights of the receptacle types among ``present`` where ``thing`` may start.

    Those are the types that may hold it (for a lamp, where lamps were seen), so that nothing is taken that cannot be
    put down again. The weights are percentages of the official games; where it was never seen it counts half a percent.
    """
    seen = HABITS[room][thing].places
    return {t: float(seen.get(t, 0.5)) for t in present if thing in HOLDS.get(t, ()) or (thing in LAMPS and t in seen)}


def draw_goal(rng: np.random.Generator, layout: Layout, task: TaskType) -> Goal | None:
    """Draw a goal that the layout allows, its object by frequency and its place uniformly; None if there is none."""
    present = dict.fromkeys(layout.receptacles)
    treatment = TREATMENTS.get(task)
    if task is TaskType.LOOK:
        if not start_places(layout.room, _LAMP, present):
            return None
        places = {thing: [_LAMP] for thing in HABITS[layout.room] if thing not in LAMPS}
    else:
        possible = [type_ for type_ in present if type_ in TARGETS and type_ != STATIONS.get(treatment or "")]
        places = {thing: [p for p in possible if thing in HOLDS[p]] for thing in HABITS[layout.room]}
    weights = {
        thing: HABITS[layout.room][thing].mean
        for thing in places
        if places[thing]
        and (treatment is None or thing in _TREATABLE[treatment])
        # Something beside the target must be able to hold it at the start.
        and len(start_places(layout.room, thing, present)) > (task is not TaskType.LOOK)
    }
    if not weights:
        return None
    thing = draw(rng, weights)
    place = pick(rng, places[thing])
    return Goal(task, thing, place, pick(rng, SENTENCES[task]).format(o=thing, r=place))


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
    counts = _draw_counts(rng, layout, goal, list(by_type), objects)
    items: list[Object] = []
    for thing in sorted(counts):
        wanted = thing == goal.object
        places = start_places(layout.room, thing, by_type)
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


def _draw_counts(
    rng: np.random.Generator, layout: Layout, goal: Goal, present: list[str], objects: tuple[int, int] | None
) -> Counter[str]:
    """Draw how many objects of each type there are: the wanted ones, now and then one more, and others."""
    habits = HABITS[layout.room]
    counts = Counter({goal.object: 1 + (goal.task is TaskType.TWO) + int(rng.random() < 0.3)})
    if goal.task is TaskType.LOOK:
        counts[goal.receptacle] = 1
    others = {
        thing: habit.mean
        for thing, habit in habits.items()
        if not counts[thing] and start_places(layout.room, thing, present)
    }
    if objects is None:
        for thing, mean in others.items():
            counts[thing] = int(rng.random() * 2 * mean + 0.5)
        return +counts
    total = objects[0] + int(rng.random() * (objects[1] - objects[0] + 1))
    while counts.total() < total:
        counts[draw(rng, {thing: mean / (1 + counts[thing]) for thing, mean in others.items()})] += 1
    return counts


def _prefer(places: dict[str, float], hidden: bool | None) -> dict[str, float]:
    """Keep the places that are closed (or open) at the start, if there are any."""
    preferred = {place: weight for place, weight in places.items() if (place in OPENABLE) == hidden}
    return preferred if hidden is not None and preferred else places
