"""A planner that knows everything: from any state of a game to its goal in about the fewest commands."""

from collections.abc import Iterator
from itertools import permutations, product
from typing import Literal

from agentrl_envs.household.game import Affordance, Game, TaskType
from agentrl_envs.household.tables import STATIONS
from agentrl_envs.household.world import NOTHING, State, World

Verb = Literal["take", "put", "use", "visit", "clean", "heat", "cool"]
Deed = tuple[Verb, int, int]
"""What to do, with which object, at which receptacle; going there and opening it are understood."""
Deeds = list[Deed]

_TREATMENTS: dict[TaskType, tuple[Verb, Affordance]] = {
    TaskType.CLEAN: ("clean", Affordance.CLEANABLE),
    TaskType.HEAT: ("heat", Affordance.HEATABLE),
    TaskType.COOL: ("cool", Affordance.COOLABLE),
}


def solve(world: World, state: State) -> list[str]:
    """Return commands, in the world's dialect, that reach the goal from ``state``: the shortest of all sensible plans.

    A sensible plan handles every object once: put down what is in the way, take, treat, deliver. Where there is none,
    the list is empty: official games have objects that no receptacle may hold (a roll of paper towels), so that
    taking one is a dead end.
    """
    return min((_commands(world, state, deeds) for deeds in _plans(world.game, state)), key=len, default=[])


def _plans(game: Game, state: State) -> Iterator[Deeds]:
    things = [
        index
        for index, thing in enumerate(game.objects)
        if thing.kind == game.goal.object and Affordance.PICKUPABLE in thing.affordances
    ]
    if game.goal.task is TaskType.LOOK:
        return _look(game, state, things)
    if game.goal.task is TaskType.TWO:
        return _two(game, state, things)
    return _one(game, state, things)


def _look(game: Game, state: State, things: list[int]) -> Iterator[Deeds]:
    for lamp, thing in enumerate(game.objects):
        if thing.kind != game.goal.receptacle or Affordance.TOGGLEABLE not in thing.affordances:
            continue
        verb: Verb = "visit" if state.toggled >> lamp & 1 else "use"
        for wanted, place in product(things, _places(state, lamp)):
            for deeds in _obtain(game, state, wanted):
                yield [*deeds, (verb, lamp, place)]


def _one(game: Game, state: State, things: list[int]) -> Iterator[Deeds]:
    verb: Verb | None
    verb, affordance = _TREATMENTS.get(game.goal.task, (None, Affordance.PICKUPABLE))
    done = {TaskType.CLEAN: state.clean, TaskType.HEAT: state.hot, TaskType.COOL: state.cool}.get(game.goal.task, 0)
    for thing in things:
        if affordance not in game.objects[thing].affordances:
            continue
        treatments: list[Deeds] = [[]]
        if verb is not None and not done >> thing & 1:
            treatments = [[(verb, thing, station)] for station in _of_kind(game, STATIONS[verb])]
        for deeds, treatment in product(_obtain(game, state, thing), treatments):
            # An object that lay in two receptacles still lies in the other one: there is nothing left to deliver.
            left = {place for place in _places(state, thing) if ("take", thing, place) not in deeds}
            if left.intersection(_of_kind(game, game.goal.receptacle)):
                yield [*deeds, *treatment]
            for target in _targets(game):
                yield [*deeds, *treatment, ("put", thing, target)]


def _two(game: Game, state: State, things: list[int]) -> Iterator[Deeds]:
    for target in _targets(game):
        there = [thing for thing in things if state.contents[target] >> thing & 1]
        missing = [thing for thing in things if thing not in there]
        for group in permutations(missing, 2 - len(there[:2])):
            if state.held in things and group[:1] != (state.held,):
                continue
            # Only the first one can find the hands full.
            fetched = [_obtain(game, state, thing, is_free=index > 0) for index, thing in enumerate(group)]
            for parts in product(*fetched):
                yield [
                    deed for part, thing in zip(parts, group, strict=True) for deed in (*part, ("put", thing, target))
                ]


def _obtain(game: Game, state: State, thing: int, is_free: bool = False) -> list[Deeds]:
    """Return the ways to get hold of ``thing``, with empty hands or after putting down what is held."""
    held = state.held
    if held == thing:
        return [[]]
    ways: list[Deeds] = []
    for place in _places(state, thing):
        if held == NOTHING or is_free:
            ways.append([("take", thing, place)])
        else:
            ways += [[("put", held, spot), ("take", thing, place)] for spot in _spots(game, state, held, place)]
    return ways


def _spots(game: Game, state: State, held: int, place: int) -> list[int]:
    """Return where to put down ``held`` on the way to ``place``: here, there, or else anywhere."""
    kind = game.objects[held].kind
    fitting = [i for i, r in enumerate(game.receptacles) if kind in game.can_contain.get(r.kind, ())]
    near = {state.location, game.receptacles[place].location}
    handy = [i for i in fitting if game.receptacles[i].location in near]
    return handy + [i for i in fitting if not game.receptacles[i].openable][:1] or fitting[:1]


def _places(state: State, thing: int) -> list[int]:
    return [place for place, inside in enumerate(state.contents) if inside >> thing & 1]


def _targets(game: Game) -> list[int]:
    allowed = game.can_contain.get(game.goal.receptacle, frozenset())
    return _of_kind(game, game.goal.receptacle) if game.goal.object in allowed else []


def _of_kind(game: Game, kind: str) -> list[int]:
    return [index for index, receptacle in enumerate(game.receptacles) if receptacle.kind == kind]


def _commands(world: World, state: State, deeds: Deeds) -> list[str]:
    """Spell out the deeds, with the ways between them and the doors to open."""
    game, location, opened = world.game, state.location, state.opened
    commands = []
    for verb, thing, place in deeds:
        name, receptacle = game.objects[thing].name, game.receptacles[place]
        if receptacle.location != location:
            commands.append(f"go to {receptacle.name}")
            location = receptacle.location
        if verb in ("take", "put") and receptacle.openable and not opened >> place & 1:
            commands.append(f"open {receptacle.name}")
            opened |= 1 << place
        if verb == "take":
            commands.append(f"take {name} from {receptacle.name}")
        elif verb == "put":
            commands.append(world.dialect.put.format(o=name, r=receptacle.name))
        elif verb == "use":
            commands.append(f"use {name}")
        elif verb != "visit":
            commands.append(f"{verb} {name} with {receptacle.name}")
    return commands
