"""Reading an official game: from the PDDL problem inside a ``game.tw-pddl`` file to a :class:`Game`.

Only the problem is read. The domain is the same in all games; its rules are `world`.
"""

import re
from collections import Counter, defaultdict

from agentrl.errors import DataError
from agentrl_envs.household.game import Affordance, Game, Goal, Object, Quality, Receptacle, TaskType

Facts = dict[str, set[tuple[str, ...]]]

_FACT = re.compile(r"\(\s*([a-z_]+)\s+([^()]*)\)")
_PLACE = {"inreceptacle", "objecttype", "receptacletype"}
_LOOK = {"objecttype", "toggleable", "istoggled", "receptacleatlocation", "atlocation", "inreceptacle", "holds"}
_TASKS = {
    frozenset(_PLACE): TaskType.PLACE,
    frozenset({*_PLACE, "cleanable", "isclean"}): TaskType.CLEAN,
    frozenset({*_PLACE, "heatable", "ishot"}): TaskType.HEAT,
    frozenset({*_PLACE, "coolable", "iscool"}): TaskType.COOL,
    frozenset({*_PLACE, "not", "="}): TaskType.TWO,
    frozenset(_LOOK): TaskType.LOOK,
}
_AFFORDANCES = {affordance.value: affordance for affordance in Affordance if affordance is not Affordance.CONTAINER} | {
    "isreceptacleobject": Affordance.CONTAINER
}
_QUALITIES = {f"is{quality.value}": quality for quality in Quality}


def read_game(game_id: str, problem: str, sentence: str, walkthrough: tuple[str, ...]) -> Game:
    """Return the game of a PDDL problem.

    Args:
      game_id: its address.
      problem: the text ``(define (problem …) … (:init …) (:goal …))``.
      sentence: the goal as told to the agent.
      walkthrough: commands that win.

    Raises:
      DataError: the problem has no ``:init`` or ``:goal``, not exactly one agent location, or an unknown goal.
    """
    text = problem.lower()
    begin, end = text.find("(:init"), text.rfind("(:goal")
    if begin < 0 or end < begin:
        raise DataError(f"game {game_id!r}: the PDDL problem needs (:init …) followed by (:goal …)")
    facts: Facts = defaultdict(set)
    for predicate, arguments in _FACT.findall(text, begin + len("(:init"), end):
        facts[predicate].add(tuple(arguments.split()))
    try:
        return _Reader(facts).game(game_id, _read_goal(text[end:], sentence), walkthrough)
    except (KeyError, ValueError) as error:
        raise DataError(f"game {game_id!r}: the PDDL problem is inconsistent ({error!r})") from error


def name_entities(ids: set[str]) -> dict[str, str]:
    """Return the name in the text of each PDDL id, as ALFWorld gives it.

    The name is the part before ``_bar_`` (with ``basin`` where the id has it) and a number. Numbers run downwards in
    the order of the ids: the first of n cabinets is ``cabinet n``.
    """
    stems = {
        entity: entity.split("_bar_", 1)[0] + ("basin" if "basin" in entity else "")
        for entity in sorted(ids)
        if "_bar_" in entity
    }
    left = Counter(stems.values())
    names = {}
    for entity, stem in stems.items():
        names[entity] = f"{stem} {left[stem]}"
        left[stem] -= 1
    return names


def _read_goal(text: str, sentence: str) -> Goal:
    used = frozenset(re.findall(r"\(\s*(=|[a-z_]+)", text)) - {"and", "exists"}
    task = _TASKS.get(used)
    if task is None:
        raise ValueError(f"a goal over {sorted(used)} is none of the six known ones")
    types = dict(re.findall(r"\(\s*objecttype\s+\?(\w+)\s+(\w+)type\s*\)", text))
    if task is TaskType.LOOK:
        lamp = re.findall(r"\(\s*toggleable\s+\?(\w+)", text)[0]
        return Goal(task, next(kind for name, kind in types.items() if name != lamp), types[lamp], sentence)
    objects = set(types.values())
    receptacles = set(re.findall(r"\(\s*receptacletype\s+\?\w+\s+(\w+)type\s*\)", text))
    (wanted,), (target,) = objects, receptacles
    return Goal(task, wanted, target, sentence)


class _Reader:
    """Turns facts about PDDL ids into a game of numbered things."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.names = name_entities({argument for rows in facts.values() for row in rows for argument in row})
        self.place = dict(_pairs(facts["receptacleatlocation"]))
        """Receptacle id -> location id, in text order."""
        self.kind = {thing: kind.removesuffix("type") for thing, kind in _pairs(facts["objecttype"])}
        self.inside: dict[str, list[str]] = defaultdict(list)
        for thing, receptacle in _pairs(facts["inreceptacle"]):
            self.inside[thing].append(receptacle)
        self.spot = dict(_pairs(facts["objectatlocation"]))

    def game(self, game_id: str, goal: Goal, walkthrough: tuple[str, ...]) -> Game:
        ((_, start),) = self.facts["atlocation"]
        locations = sorted({start, *self.place.values()})
        order = {location: index for index, location in enumerate(locations)}
        can_contain: dict[str, set[str]] = defaultdict(set)
        for receptacle, kind in self.facts["cancontain"]:
            can_contain[receptacle.removesuffix("type")].add(kind.removesuffix("type"))
        return Game(
            id=game_id,
            receptacles=self._receptacles(order),
            objects=self._objects(order),
            locations=tuple(self.names[location] for location in locations),
            start=order[start],
            can_contain={kind: frozenset(kinds) for kind, kinds in sorted(can_contain.items())},
            goal=goal,
            walkthrough=walkthrough,
        )

    def _receptacles(self, order: dict[str, int]) -> tuple[Receptacle, ...]:
        kinds = dict(_pairs(self.facts["receptacletype"]))
        return tuple(
            Receptacle(
                name=self.names[receptacle],
                kind=kinds[receptacle].removesuffix("type"),
                location=order[location],
                openable=(receptacle,) in self.facts["openable"],
                opened=(receptacle,) in self.facts["opened"],
            )
            for receptacle, location in self.place.items()
        )

    def _objects(self, order: dict[str, int]) -> tuple[Object, ...]:
        """Only the objects that can ever take part: those in a receptacle, and sliceable ones within reach."""
        index = {receptacle: number for number, receptacle in enumerate(self.place)}
        contents: dict[str, list[str]] = defaultdict(list)
        for inner, outer in _pairs(self.facts["inreceptacleobject"]):
            if inner != outer:
                contents[outer].append(self.names[inner])
        return tuple(
            Object(
                name=self.names[thing],
                kind=kind,
                receptacles=tuple(index[receptacle] for receptacle in self.inside[thing]),
                location=order.get(self.spot.get(thing, "")),
                affordances=frozenset(a for name, a in _AFFORDANCES.items() if (thing,) in self.facts[name]),
                qualities=frozenset(q for name, q in _QUALITIES.items() if (thing,) in self.facts[name]),
                contents=tuple(contents[thing]),
            )
            for thing, kind in self.kind.items()
            if self.inside[thing] or (self.spot.get(thing) in order and (thing,) in self.facts["sliceable"])
        )


def _pairs(rows: set[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return two-place facts sorted by PDDL id, which is the order of every list in the texts."""
    return sorted((first, second) for first, second in rows)
