"""The planner wins from any state it can win from; the searcher wins knowing only what it was shown."""

from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.env import Info
from agentrl.errors import DataError
from agentrl.seeding import generator
from agentrl_envs.household import tables
from agentrl_envs.household.dialect import DIALECTS
from agentrl_envs.household.expert import Memory, SearchExpert, read_goal
from agentrl_envs.household.game import Affordance, Game, Goal, Object, Receptacle, TaskType
from agentrl_envs.household.games import OfficialGames
from agentrl_envs.household.generator import SPLITS, GeneratedGames
from agentrl_envs.household.solver import solve
from agentrl_envs.household.world import State, World
from tests.shared_data import shared_data

GAMES = GeneratedGames(difficulty="medium", shared=0.3)


def follow(world: World, state: State, commands: list[str]) -> State:
    for command in commands:
        result = world.apply(state, command)
        assert result is not None, f"{command} is not possible"
        state = result[0]
    return state


def search(
    world: World, seed: int, max_turns: int = 50, noise: float = 0.0, is_informed: bool = True
) -> list[str] | None:
    """Let the searcher play, with a share of random commands; return its commands if it wins."""
    rng = generator(seed, "noise")
    expert = SearchExpert(generator(seed, "expert"), is_informed=is_informed)
    state = world.initial()
    observation, commands = world.introduction(state), []
    for _ in range(max_turns):
        possible = list(world.commands(state))
        command = expert(observation, Info(admissible_actions=possible))
        if rng.random() < noise:
            command = [*possible, "dance"][int(rng.integers(len(possible) + 1))]
        commands.append(command)
        result = world.apply(state, command)
        if result is None:
            observation = "Nothing happens."
        else:
            state, observation = result
        if world.won(state):
            return commands
    return None


def small_game(goal: Goal, *objects: Object) -> Game:
    """A countertop, a closed drawer, a fridge and a microwave, each at its own spot."""
    kinds = ("countertop", "drawer", "fridge", "microwave")
    receptacles = tuple(
        Receptacle(f"{kind} 1", kind, location, openable=kind != "countertop") for location, kind in enumerate(kinds, 1)
    )
    return Game("small", receptacles, objects, ("l0", "l1", "l2", "l3", "l4"), 0, tables.HOLDS, goal)


def thing(name: str, *places: int, location: int | None = None) -> Object:
    kind = name.split()[0]
    treatable = {Affordance.HEATABLE: tables.HEATABLE, Affordance.COOLABLE: tables.COOLABLE}
    allowed = {Affordance.PICKUPABLE} | {affordance for affordance, kinds in treatable.items() if kind in kinds}
    return Object(name, kind, places, places[0] + 1 if location is None else location, frozenset(allowed))


HOT_MUG = Goal(TaskType.HEAT, "mug", "countertop", "put a hot mug in countertop.")


def test_plan_by_hand() -> None:
    world = World(small_game(HOT_MUG, thing("mug 1", 2)))
    assert solve(world, world.initial()) == [
        "go to fridge 1",
        "open fridge 1",
        "take mug 1 from fridge 1",
        "go to microwave 1",
        "heat mug 1 with microwave 1",
        "go to countertop 1",
        "move mug 1 to countertop 1",
    ]


def test_plan_puts_down_what_is_in_the_way_where_it_costs_least() -> None:
    world = World(small_game(HOT_MUG, thing("apple 1", 0), thing("mug 1", 2)), DIALECTS["classic"])
    state = follow(world, world.initial(), ["go to countertop 1", "take apple 1 from countertop 1"])
    state = follow(world, state, ["go to fridge 1", "open fridge 1"])
    assert solve(world, state)[:2] == ["put apple 1 in/on fridge 1", "take mug 1 from fridge 1"]


def test_plan_treats_again_what_was_cooled_since() -> None:
    world = World(small_game(HOT_MUG, thing("mug 1", 0)))
    spoilt = ["go to countertop 1", "take mug 1 from countertop 1", "go to microwave 1", "heat mug 1 with microwave 1"]
    state = follow(world, world.initial(), [*spoilt, "go to fridge 1", "cool mug 1 with fridge 1"])
    assert solve(world, state)[:2] == ["go to microwave 1", "heat mug 1 with microwave 1"]
    assert world.won(follow(world, state, solve(world, state)))


def test_plan_of_two_counts_what_is_there() -> None:
    goal = Goal(TaskType.TWO, "mug", "fridge", "put two mug in fridge.")
    world = World(small_game(goal, thing("mug 2", 2), thing("mug 1", 0)))
    plan = solve(world, world.initial())
    assert len(plan) == 5
    assert world.won(follow(world, world.initial(), plan))


def test_plan_uses_an_object_that_lies_in_two_places() -> None:
    world = World(small_game(HOT_MUG, thing("mug 1", 2, 0)))
    plan = solve(world, world.initial())
    assert plan[-1] == "heat mug 1 with microwave 1"
    assert world.won(follow(world, world.initial(), plan))


def test_no_plan_from_a_dead_end() -> None:
    """Nothing may hold a roll of paper towels, so the hands stay full."""
    world = World(small_game(HOT_MUG, thing("mug 1", 2), thing("papertowelroll 1", 0)))
    state = follow(world, world.initial(), ["go to countertop 1", "take papertowelroll 1 from countertop 1"])
    assert solve(world, state) == []


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, 400),
    choices=st.lists(st.floats(0, 1, exclude_max=True), max_size=40),
    dialect=st.sampled_from(sorted(DIALECTS)),
)
def test_plan_wins_after_any_junk(number: int, choices: list[float], dialect: str) -> None:
    world = World(GAMES.load(GAMES.ids("train")[number]), DIALECTS[dialect])
    state = world.initial()
    for choice in choices:
        # Deeds before walks: two thirds of a random walk are walks.
        commands = sorted(world.commands(state), key=lambda command: command.startswith("go to "))
        after = follow(world, state, [commands[int(choice * len(commands))]])
        if world.won(after):
            break
        state = after
    plan = solve(world, state)
    assert len(plan) <= 20
    assert world.won(follow(world, state, plan))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("split", SPLITS)
def test_searcher_wins_every_easy_game(split: str, dialect: str) -> None:
    games = GeneratedGames()
    turns = []
    for seed, game_id in enumerate(games.ids(split)[:120]):
        commands = search(World(games.load(game_id), DIALECTS[dialect]), seed, max_turns=25)
        assert commands is not None, game_id
        turns.append(len(commands))
    assert fmean(turns) < 9


def test_novice_wins_too_but_searches_longer() -> None:
    turns: dict[bool, list[int]] = {True: [], False: []}
    for is_informed, taken in turns.items():
        for seed, game_id in enumerate(GAMES.ids("train")[:100]):
            commands = search(World(GAMES.load(game_id)), seed, 80, is_informed=is_informed)
            assert commands is not None, game_id
            taken.append(len(commands))
    assert fmean(turns[False]) > fmean(turns[True]) + 2


def test_searcher_recovers_from_random_commands() -> None:
    wins = [search(World(GAMES.load(i)), seed, 80, noise=0.3) for seed, i in enumerate(GAMES.ids("train")[:100])]
    assert sum(commands is not None for commands in wins) >= 98


def test_searcher_sees_only_what_it_is_shown() -> None:
    """Where the object is makes no difference until it has been seen."""
    goal = Goal(TaskType.PLACE, "mug", "microwave", "put a mug in microwave.")
    for seed in range(10):
        there, elsewhere = (search(World(small_game(goal, thing("mug 1", place))), seed) for place in (1, 2))
        assert there is not None and elsewhere is not None
        differ = next(i for i, (a, b) in enumerate(zip(there, elsewhere, strict=False)) if a != b)
        seen = [there[differ], elsewhere[differ]]
        assert any(command.startswith("take mug 1") for command in seen)


def test_searcher_breaks_ties_by_its_generator() -> None:
    varied = 0
    for game_id in GAMES.ids("train")[:30]:
        world = World(GAMES.load(game_id))
        assert search(world, 0) == search(world, 0)
        varied += len({tuple(search(world, seed) or ()) for seed in range(5)}) > 1
    assert varied > 10


def test_memory_reads_both_dialects() -> None:
    introduction = (
        "-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. Looking quickly around you, you see a "
        "fridge 1, and a shelf 10.\n\nYour task is to: cool some mug and put it in shelf."
    )
    memory = Memory(introduction)
    assert memory.receptacles == ["fridge 1", "shelf 10"]
    assert (memory.goal.task, memory.goal.object, memory.goal.receptacle) == (TaskType.COOL, "mug", "shelf")
    memory.read("You arrive at loc 7. On the shelf 10, you see a mug 2, and a mug 1.")
    memory.read("You take the mug 2 from the shelf 10.")
    assert (memory.held, memory.contents) == ("mug 2", {"shelf 10": ["mug 1"]})
    memory.read("You cool the mug 2 using the fridge 1.")
    memory.read("You put the mug 2 in/on the shelf 10.")
    assert (memory.held, memory.find("mug")) == (None, [("mug 1", "shelf 10"), ("mug 2", "shelf 10")])
    assert memory.treatments == {"mug 2": {"cool"}}
    memory.read("You heat the mug 2 using the microwave 1.")
    assert memory.treatments == {"mug 2": {"heat"}}


def test_every_sentence_is_understood() -> None:
    for task, pair in tables.SENTENCES.items():
        for sentence in pair:
            goal = read_goal(sentence.format(o="mug", r="desk"))
            assert (goal.task, goal.object, goal.receptacle) == (task, "mug", "desk")
    with pytest.raises(DataError, match="not a known goal sentence: 'juggle'"):
        read_goal("juggle")


def test_searcher_needs_the_introduction_and_the_commands() -> None:
    with pytest.raises(DataError, match="first observation"):
        SearchExpert(generator(0))("You arrive at desk 1.", Info(admissible_actions=[]))
    world = World(GAMES.load(GAMES.ids("train")[0]))
    with pytest.raises(DataError, match="admissible_actions"):
        SearchExpert(generator(0))(world.introduction(world.initial()), Info())


def official(every: int) -> list[Game]:
    games = OfficialGames(shared_data("alfworld", "alfworld_games_all.jsonl.xz"))
    return [games.load(i) for split in games.splits for i in games.ids(split)[::every]]


def check_official(games: list[Game]) -> None:
    searched = 0
    for seed, game in enumerate(games):
        world = World(game)
        plan = solve(world, world.initial())
        assert len(plan) <= len(game.walkthrough), game.id
        assert world.won(follow(world, world.initial(), plan)), game.id
        searched += search(world, seed) is not None
    assert searched >= 0.99 * len(games)


@pytest.mark.slow
def test_experts_win_official_games() -> None:
    check_official(official(1))


def test_experts_win_a_sample_of_official_games() -> None:
    check_official(official(40))
