"""The rules, by hand on a small kitchen. That they are ALFWorld's is shown by test_replay."""

from dataclasses import replace

import pytest

from agentrl_envs.household.dialect import CLASSIC
from agentrl_envs.household.game import Affordance, Game, Goal, Object, Quality, Receptacle, TaskType
from agentrl_envs.household.world import NOTHING, State, World, flagged, listing, members


def play(world: World, *commands: str) -> tuple[State, list[str]]:
    state, texts = world.initial(), []
    for command in commands:
        result = world.apply(state, command)
        assert result is not None, f"{command!r} is not among {list(world.commands(state))}"
        state, text = result
        texts.append(text)
    return state, texts


def possible(world: World, *commands: str) -> set[str]:
    """The possible commands after ``commands``, but for those that always are."""
    found = set(world.commands(play(world, *commands)[0]))
    assert {"help", "inventory", "look"} <= found
    return {command for command in found - {"help", "inventory", "look"} if not command.startswith("go to")}


def test_sets_and_lists() -> None:
    assert list(members(flagged([True, False, True]))) == [0, 2]
    assert listing([]) == "nothing"
    assert listing(["a cup 1"]) == "a cup 1"
    assert listing(["a cup 2", "a cup 1"]) == "a cup 2, and a cup 1"
    assert listing("abc") == "a, b, and c"


def test_introduction_lists_receptacles_and_task(kitchen: Game) -> None:
    world = World(kitchen)
    assert world.introduction(world.initial()) == (
        "-= Welcome to TextWorld, ALFRED! =-\n\n"
        "You are in the middle of a room. Looking quickly around you, you see a countertop 1, a fridge 1, "
        "a microwave 1, a sinkbasin 1, a stoveburner 2, and a stoveburner 1.\n\n"
        "Your task is to: put a hot apple in countertop."
    )
    assert play(world, "look")[1] == ["You are in the middle of a room. Looking quickly around you, you see nothing."]


def test_a_game_that_starts_at_a_receptacle_faces_it(kitchen: Game) -> None:
    world = World(replace(kitchen, start=1))
    assert "You are facing the countertop 1. Next to it, you see nothing." in world.introduction(world.initial())


def test_closed_receptacles_hide_and_keep(kitchen: Game) -> None:
    world = World(kitchen)
    assert possible(world, "go to fridge 1") == {"examine fridge 1", "open fridge 1"}
    state, texts = play(world, "go to fridge 1", "open fridge 1", "take apple 1 from fridge 1", "close fridge 1")
    assert texts == [
        "You arrive at fridge 1. The fridge 1 is closed.",
        "You open the fridge 1. The fridge 1 is open. In it, you see a apple 1.",
        "You pick up the apple 1 from the fridge 1.",
        "You close the fridge 1.",
    ]
    assert set(world.commands(state)) >= {"cool apple 1 with fridge 1", "open fridge 1", "examine apple 1"}
    assert "move apple 1 to fridge 1" not in world.commands(state)


def test_commands_are_sorted_and_exact(kitchen: Game) -> None:
    world = World(kitchen)
    state = world.initial()
    assert list(world.commands(state)) == sorted(world.commands(state))
    assert world.apply(state, "  look\t") is not None
    for command in ("", "Look", "look around", "go to  fridge 1", "open fridge 1", "take apple 1 from fridge 1"):
        assert world.apply(state, command) is None


def test_only_the_object_in_hand_can_be_examined(kitchen: Game) -> None:
    world = World(kitchen)
    assert "examine knife 1" not in possible(world, "go to countertop 1")
    assert "examine knife 1" in possible(world, "go to countertop 1", "take knife 1 from countertop 1")


def test_hands_hold_one_object_and_fixtures_stay(kitchen: Game) -> None:
    world = World(kitchen)
    assert possible(world, "go to countertop 1") == {
        "examine countertop 1",
        "take egg 1 from countertop 1",
        "take knife 1 from countertop 1",
    }
    held = possible(world, "go to countertop 1", "take knife 1 from countertop 1")
    assert held == {
        "examine countertop 1",
        "examine knife 1",
        "move knife 1 to countertop 1",
        "slice egg 1 with knife 1",
    }
    assert possible(world, "go to countertop 1", "take knife 1 from countertop 1", "go to stoveburner 1") == {
        "examine knife 1",
        "examine stoveburner 1",
        "examine stoveburner 2",
    }


def test_treatments_and_what_examining_tells(kitchen: Game) -> None:
    world = World(kitchen)
    fetch = ("go to fridge 1", "open fridge 1", "take apple 1 from fridge 1")
    heat, clean = (
        ("go to microwave 1", "heat apple 1 with microwave 1"),
        ("go to sinkbasin 1", "clean apple 1 with sinkbasin 1"),
    )
    cool = ("go to fridge 1", "cool apple 1 with fridge 1")

    def told(*commands: str) -> str:
        return play(world, *fetch, *commands, "examine apple 1")[1][-1]

    assert told() == "There's nothing special about apple 1."
    assert told(cool[1]) == "This is a cold apple 1."
    assert told(*heat) == "This is a hot apple 1."
    assert told(*heat, *cool) == "This is a cold apple 1."
    assert told(*clean) == "This is a clean apple 1."
    assert told(*clean, *heat) == "This is a hot and clean apple 1."
    assert told(*clean, *heat, *cool) == "This is a cool and clean apple 1."
    assert play(world, *fetch, *heat)[1][-1] == "You heat the apple 1 using the microwave 1."


@pytest.mark.parametrize(
    ("qualities", "text"),
    [
        ({Quality.SLICED}, "This is a sliced apple 1."),
        ({Quality.SLICED, Quality.HOT}, "This is a hot sliced apple 1."),
        ({Quality.SLICED, Quality.COOL}, "This is a cool sliced apple 1."),
        ({Quality.SLICED, Quality.CLEAN}, "This is a clean sliced apple 1."),
        ({Quality.SLICED, Quality.CLEAN, Quality.COOL}, "This is a cool and clean sliced apple 1."),
    ],
)
def test_slices(kitchen: Game, qualities: set[Quality], text: str) -> None:
    apple = replace(kitchen.objects[0], qualities=frozenset(qualities))
    world = World(replace(kitchen, objects=(apple, *kitchen.objects[1:])))
    fetch = ("go to fridge 1", "open fridge 1", "take apple 1 from fridge 1", "examine apple 1")
    assert play(world, *fetch)[1][-1] == text


def test_containers_show_their_first_contents_for_ever(kitchen: Game) -> None:
    world = World(kitchen)
    take = ("go to stoveburner 2", "take pan 1 from stoveburner 2", "examine pan 1")
    assert play(world, *take)[1][-1] == "This is a normal pan 1. In it, you see a fork 1, and a spoon 1."


def test_slicing_reaches_what_is_at_the_location_even_behind_a_door(kitchen: Game) -> None:
    world = World(kitchen)
    armed = ("go to countertop 1", "take knife 1 from countertop 1")
    assert "slice apple 1 with knife 1" in possible(world, *armed, "go to fridge 1")
    # The egg is in the microwave too, but what counts is the location it is recorded at.
    assert "slice egg 1 with knife 1" not in possible(world, *armed, "go to microwave 1")
    state, texts = play(world, *armed, "slice egg 1 with knife 1")
    assert texts[-1] == "You sliced the egg 1 with the knife 1."
    assert state.sliced == 0b10


def test_an_object_in_two_receptacles_stays_in_the_other(kitchen: Game) -> None:
    world = World(kitchen)
    taken = ("go to countertop 1", "take egg 1 from countertop 1", "go to microwave 1", "open microwave 1")
    assert play(world, *taken)[1][-1] == "You open the microwave 1. The microwave 1 is open. In it, you see a egg 1."
    moved = (*taken, "go to fridge 1", "open fridge 1", "move egg 1 to fridge 1", "go to microwave 1")
    assert "take egg 1 from microwave 1" in possible(world, *moved)


def test_what_moves_to_a_neighbour_lies_next_to_the_first(kitchen: Game) -> None:
    world = World(kitchen)
    away = ("go to stoveburner 1", "take pan 1 from stoveburner 2")
    assert play(world, "go to stoveburner 1", "look")[1][-1] == (
        "You are facing the stoveburner 2, and stoveburner 1. Next to it, you see nothing."
    )
    beside = "You are facing the stoveburner 2, and stoveburner 1. Next to it, you see a pan 1."
    assert play(world, *away, "move pan 1 to stoveburner 1", "look")[1][-1] == beside
    back = (*away, "move pan 1 to stoveburner 1", "take pan 1 from stoveburner 1", "move pan 1 to stoveburner 2")
    assert play(world, *back, "look")[1][-1] == beside
    assert play(world, *away, "move pan 1 to stoveburner 2")[0] == play(world, "go to stoveburner 1")[0]


def test_neighbours_are_not_gone_to(kitchen: Game) -> None:
    state, _ = play(World(kitchen), "go to stoveburner 1")
    going = {command for command in World(kitchen).commands(state) if command.startswith("go to")}
    assert going == {"go to countertop 1", "go to fridge 1", "go to microwave 1", "go to sinkbasin 1"}


def test_the_state_is_the_same_iff_nothing_differs(kitchen: Game) -> None:
    world = World(kitchen)
    at_fridge = play(world, "go to fridge 1")[0]
    assert play(world, "look", "help", "inventory", "go to fridge 1", "examine fridge 1")[0] == at_fridge
    assert play(world, "go to sinkbasin 1", "go to fridge 1")[0] == at_fridge
    assert play(world, "go to fridge 1", "open fridge 1", "close fridge 1")[0] == at_fridge
    opened = ("go to fridge 1", "open fridge 1")
    there_and_back = (*opened, "take apple 1 from fridge 1", "move apple 1 to fridge 1")
    assert play(world, *there_and_back)[0] == play(world, *opened)[0] != at_fridge
    cooled = ("take apple 1 from fridge 1", "cool apple 1 with fridge 1", "move apple 1 to fridge 1")
    assert play(world, *opened, *cooled)[0] != play(world, *opened)[0]


def test_classic_dialect(kitchen: Game) -> None:
    world = World(kitchen, CLASSIC)
    state, texts = play(world, "go to countertop 1", "take knife 1 from countertop 1")
    assert texts == [
        "You arrive at loc 5. On the countertop 1, you see a egg 1, a knife 1, and a statue 1.",
        "You take the knife 1 from the countertop 1.",
    ]
    assert "put knife 1 in/on countertop 1" in world.commands(state)
    assert play(world, "go to countertop 1", "take knife 1 from countertop 1", "put knife 1 in/on countertop 1")[1][
        -1
    ] == ("You put the knife 1 in/on the countertop 1.")
    assert "put (object) in/on (receptacle):" in play(world, "help")[1][0]


def with_goal(kitchen: Game, task: TaskType, thing: str, place: str) -> World:
    return World(replace(kitchen, goal=Goal(task, thing, place, "…")))


def wins(world: World, *commands: str) -> list[bool]:
    return [world.won(play(world, *commands[:k])[0]) for k in range(len(commands) + 1)]


def test_goal_place(kitchen: Game) -> None:
    commands = (
        "go to countertop 1",
        "take knife 1 from countertop 1",
        "go to sinkbasin 1",
        "move knife 1 to sinkbasin 1",
    )
    assert wins(with_goal(kitchen, TaskType.PLACE, "knife", "sinkbasin"), *commands) == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("task", "station"), [(TaskType.HEAT, "microwave 1"), (TaskType.COOL, "fridge 1"), (TaskType.CLEAN, "sinkbasin 1")]
)
def test_goal_treat_then_place(kitchen: Game, task: TaskType, station: str) -> None:
    world = with_goal(kitchen, task, "apple", "countertop")
    verb = task.name.lower()
    fetch = ("go to fridge 1", "open fridge 1", "take apple 1 from fridge 1")
    untreated = (*fetch, "go to countertop 1", "move apple 1 to countertop 1")
    assert not any(wins(world, *untreated))
    treated = (*fetch, "go to stoveburner 1", f"go to {station}", f"{verb} apple 1 with {station}", *untreated[3:])
    assert wins(world, *treated) == [False] * 8 + [True]


def test_goal_two_in_one_receptacle(kitchen: Game) -> None:
    egg = replace(kitchen.objects[1], name="egg 2", receptacles=(3,), location=4)
    kitchen = replace(kitchen, objects=(*kitchen.objects[:1], egg, *kitchen.objects[1:]))
    world = with_goal(kitchen, TaskType.TWO, "egg", "countertop")
    fetch = ("go to sinkbasin 1", "take egg 2 from sinkbasin 1", "go to countertop 1", "move egg 2 to countertop 1")
    assert wins(world, *fetch) == [False] * 4 + [True]
    # One in each of two receptacles of the type is not enough.
    countertop = Receptacle("countertop 2", "countertop", 4)
    apart = replace(kitchen, receptacles=(*kitchen.receptacles, countertop))
    world = with_goal(apart, TaskType.TWO, "egg", "countertop")
    aside = ("go to sinkbasin 1", "take egg 2 from sinkbasin 1", "move egg 2 to countertop 2")
    assert not any(wins(world, *aside))


def test_goal_look_needs_lamp_and_object_together(kitchen: Game) -> None:
    lamp = Object("desklamp 1", "desklamp", (0,), 1, frozenset({Affordance.TOGGLEABLE}))
    game = replace(kitchen, objects=(*kitchen.objects, lamp))
    world = with_goal(game, TaskType.LOOK, "pan", "desklamp")
    fetch = ("go to stoveburner 1", "take pan 1 from stoveburner 2")
    lamp_last = (*fetch, "go to countertop 1", "use desklamp 1")
    assert wins(world, *lamp_last) == [False] * 4 + [True]
    lamp_first = ("go to countertop 1", "use desklamp 1", *fetch, "go to countertop 1")
    assert wins(world, *lamp_first) == [False] * 5 + [True]
    twice = (*lamp_last[:3], "use desklamp 1", "use desklamp 1")
    assert play(world, *twice)[1][-1] == "You turn on the desklamp 1."
    assert wins(world, *twice)[-1]
    assert play(world, *lamp_last)[0].held != NOTHING
