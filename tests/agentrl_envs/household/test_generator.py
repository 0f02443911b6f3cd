"""Generated games: deterministic, solvable, in splits that cannot overlap; tables that agree with official games."""

import json
import lzma
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from agentrl.errors import ConfigError, TaskNotFoundError
from agentrl.seeding import generator
from agentrl_envs.household import tables
from agentrl_envs.household.game import Affordance, Game, TaskType
from agentrl_envs.household.generator import DIFFICULTIES, SPLITS, GeneratedGames, is_held_out
from agentrl_envs.household.layout import Layout, draw, draw_layout
from agentrl_envs.household.solver import solve
from agentrl_envs.household.world import World
from tests.shared_data import shared_data


@pytest.fixture(scope="module")
def games() -> GeneratedGames:
    return GeneratedGames()


def layout_of(game: Game) -> Layout:
    """Read the layout back from the game, without the generator's help."""
    spots: dict[int, list[str]] = {}
    for receptacle in game.receptacles:
        spots.setdefault(receptacle.location, []).append(receptacle.kind)
    kinds = {receptacle.kind for receptacle in game.receptacles}
    signs = {"fridge": "kitchen", "toilet": "bathroom", "bed": "bedroom", "sofa": "livingroom"}
    room = next(room for sign, room in signs.items() if sign in kinds)
    return Layout(room, tuple(sorted(tuple(spot) for spot in spots.values())))


def goal_content(game: Game) -> tuple[str, str, str, str]:
    return layout_of(game).digest, game.goal.task, game.goal.object, game.goal.receptacle


@pytest.mark.parametrize("difficulty", ["easy", "official"])
def test_splits_share_no_layout_and_no_goal(difficulty: str) -> None:
    games = GeneratedGames(difficulty=difficulty, seed=3)
    found = {split: [games.load(i) for i in games.ids(split)[:700]] for split in SPLITS}
    layouts = {split: {layout_of(game).digest for game in found[split]} for split in SPLITS}
    assert not layouts["valid_unseen"] & (layouts["train"] | layouts["valid_seen"])
    goals = {split: {goal_content(game) for game in found[split]} for split in SPLITS}
    assert not goals["train"] & goals["valid_seen"]
    assert all(len(layouts[split]) > 400 for split in SPLITS)


def test_splits_stay_apart_across_seeds_and_options() -> None:
    trained = GeneratedGames(seed=1, closed=1.0, objects=(5, 6))
    tested = GeneratedGames(seed=2)
    seen = [trained.load(i) for i in trained.ids("train")[:400]]
    assert not {layout_of(g).digest for g in seen} & {
        layout_of(tested.load(i)).digest for i in tested.ids("valid_unseen")[:400]
    }
    assert not {goal_content(g) for g in seen} & {goal_content(tested.load(i)) for i in tested.ids("valid_seen")[:400]}


def test_the_content_decides_the_split(games: GeneratedGames) -> None:
    for split in SPLITS:
        for game_id in games.ids(split)[:60]:
            game = games.load(game_id)
            layout = layout_of(game)
            assert layout.is_unseen == (split == "valid_unseen")
            if not layout.is_unseen:
                assert is_held_out(layout, game.goal) == (split == "valid_seen")


def test_equal_in_another_process_in_another_order(games: GeneratedGames) -> None:
    ids = [games.ids(split)[index] for split in SPLITS for index in (0, 7, 500)]
    code = (
        "from agentrl_envs.household.generator import GeneratedGames as G\n"
        f"g = G(); print(*[g.ref(i).digest for i in {ids[::-1]!r}])"
    )
    # String hashes differ between processes: nothing may depend on the order of a set.
    env = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.split()[::-1] == [games.ref(i).digest for i in ids]


def test_seeds_and_ids_give_different_games(games: GeneratedGames) -> None:
    ids = games.ids("train")[:300]
    assert len({games.ref(i).digest for i in ids}) == 300
    other = GeneratedGames(seed=1)
    assert not {games.ref(i).digest for i in ids} & {other.ref(i).digest for i in ids}


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("split", SPLITS)
def test_every_game_is_open_and_can_be_won(difficulty: str, split: str) -> None:
    games = GeneratedGames(difficulty=difficulty)
    for game_id in games.ids(split)[:48]:
        game = games.load(game_id)
        world = World(game)
        state = world.initial()
        assert not world.won(state)
        for command in solve(world, state):
            after = world.apply(state, command)
            assert after is not None, (game_id, command)
            state = after[0]
        assert world.won(state), game_id


def test_sizes_and_openness_follow_the_options() -> None:
    games = GeneratedGames(receptacles=(8, 9), objects=(5, 7), closed=1.0, shared=0.5, rooms=["kitchen", "bedroom"])
    hidden = Counter[bool]()
    shared = 0
    for game_id in games.ids("train")[:120]:
        game = games.load(game_id)
        assert 8 <= len(game.receptacles) <= 9
        assert 5 <= len(game.objects) <= 7
        assert layout_of(game).room in ("kitchen", "bedroom")
        shared += len({r.location for r in game.receptacles}) < len(game.receptacles)
        for thing in game.objects:
            if thing.kind == game.goal.object:
                hidden[game.receptacles[thing.receptacles[0]].openable] += 1
    assert hidden[True] > 2 * hidden[False]
    assert shared > 40


def test_objects_lie_where_they_may_and_not_where_they_shall(games: GeneratedGames) -> None:
    for game_id in games.ids("train")[:300]:
        game = games.load(game_id)
        assert game.start not in {receptacle.location for receptacle in game.receptacles}
        for thing in game.objects:
            place = game.receptacles[thing.receptacles[0]]
            assert thing.location == place.location
            if Affordance.PICKUPABLE in thing.affordances:
                assert thing.kind in game.can_contain[place.kind]
            if thing.kind == game.goal.object:
                assert place.kind != game.goal.receptacle


def test_names_are_listed_like_the_official_ones(games: GeneratedGames) -> None:
    for game_id in games.ids("train")[:100]:
        game = games.load(game_id)
        for things in (game.receptacles, game.objects):
            keys = [(thing.kind, -int(thing.name.split()[1])) for thing in things]
            assert keys == sorted(keys)
            for before, after in pairwise(keys):
                assert after[1] == before[1] + 1 if after[0] == before[0] else before[1] == -1


def test_tasks_take_turns_and_sentences_vary(games: GeneratedGames) -> None:
    ids = games.ids("train")[:600]
    assert Counter(i.split("/")[1] for i in ids) == dict.fromkeys(tables.TASKS, 100)
    sentences = Counter[int]()
    for game in map(games.load, ids):
        pair = [s.format(o=game.goal.object, r=game.goal.receptacle) for s in tables.SENTENCES[game.goal.task]]
        sentences[pair.index(game.goal.sentence)] += 1
    assert 230 < sentences[0] < 370


def test_pickling_keeps_the_options() -> None:
    games = GeneratedGames(difficulty="medium", objects=(8, 9), tasks=["look_at_obj_in_light"], num_train=5, seed=4)
    twin = pickle.loads(pickle.dumps(games))
    assert twin.splits.keys() == games.splits.keys()
    assert [twin.ref(i) for i in twin.ids("train")] == [games.ref(i) for i in games.ids("train")]
    game = games.load(games.ids("train")[0])
    assert pickle.loads(pickle.dumps(game)) == game


@pytest.mark.parametrize(
    ("task_id", "message"),
    [
        ("train/pick_two_obj_and_place/000002", "beyond the 10 games"),
        ("train/pick_too_obj_and_place/000000", "did you mean 'pick_two_obj_and_place'"),
        ("test/pick_two_obj_and_place/000000", "ids look like 'train/"),
        ("train/pick_two_obj_and_place/1", "ids look like 'train/"),
    ],
)
def test_unknown_ids_say_what_exists(task_id: str, message: str) -> None:
    with pytest.raises(TaskNotFoundError, match=message):
        GeneratedGames(num_train=10).ref(task_id)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"difficulty": "eazy"}, "did you mean 'easy'"),
        ({"rooms": ["kitchn"]}, "did you mean 'kitchen'"),
        ({"rooms": "kitchen"}, "a list of names"),
        ({"tasks": []}, "a list of names"),
        ({"rooms": ["bathroom"], "tasks": ["pick_heat_then_place_in_recep"]}, "needs one of the rooms"),
        ({"receptacles": (12, 9)}, "smallest, largest"),
        ({"objects": (0, 9)}, "within 4 and 80"),
        ({"closed": 1.5}, "between 0 and 1"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GeneratedGames(**options)  # type: ignore[arg-type]


def test_ids_are_a_lazy_sequence(games: GeneratedGames) -> None:
    ids = games.ids("train")
    assert len(ids) == 1_000_000
    assert ids[-1] == ids[999_999] == "train/pick_heat_then_place_in_recep/166666"
    assert games.ref(ids[-1]).split == "train"
    assert ids[6:8] == [ids[6], ids[7]]
    with pytest.raises(IndexError):
        ids[1_000_000]


def test_draw_follows_the_weights() -> None:
    rng = generator(0, "draw")
    drawn = Counter(draw(rng, {"a": 1.0, "b": 0.0, "c": 3.0}) for _ in range(4000))
    assert drawn["b"] == 0
    assert 2850 < drawn["c"] < 3150


def test_equal_layouts_have_equal_digests() -> None:
    rng = generator(0, "layout")
    layouts = [draw_layout(rng, "bathroom", (6, 7), 0.2) for _ in range(300)]
    for layout in layouts:
        twin = Layout(layout.room, tuple(sorted(layout.spots)))
        assert (twin == layout) and twin.digest == layout.digest
    assert len({layout.digest for layout in layouts}) == len(set(layouts)) < 300
    unseen = sum(layout.is_unseen for layout in set(layouts)) / len(set(layouts))
    assert 0.1 < unseen < 0.3


def test_tables_agree_with_the_official_games() -> None:
    """Read 1 line in 20 without the household's own reader."""
    path = shared_data("alfworld", "alfworld_games_all.jsonl.xz")
    holds: dict[str, set[str]] = {}
    with lzma.open(path, "rt") as lines:
        for number, line in enumerate(lines):
            if number % 20:
                continue
            record = json.loads(line)
            problem = record["pddl_problem"].split("(:goal")[0]
            facts = re.findall(r"\((\w+) (\S+) (\S+)\)", problem)
            for predicate, first, second in facts:
                if predicate == "canContain":
                    holds.setdefault(first[:-4].lower(), set()).add(second[:-4].lower())
            kinds = {first: second[:-4].lower() for predicate, first, second in facts if predicate == "objectType"}
            _check_affordances(problem, kinds)
            task, thing, _, place, _ = record["game"].split("/")[1].split("-")
            sentences = [s.format(o=thing.lower(), r=place.lower()) for s in tables.SENTENCES[task]]
            assert record["goal"] in sentences
            assert task == TaskType.LOOK or place.lower() in tables.TARGETS
    assert len(holds) > 20
    assert all(things <= tables.HOLDS[place] for place, things in holds.items())
    assert sum(map(len, holds.values())) > 0.95 * sum(len(tables.HOLDS[place]) for place in holds)


def _check_affordances(problem: str, kinds: dict[str, str]) -> None:
    named = {
        "cleanable": tables.CLEANABLE,
        "heatable": tables.HEATABLE,
        "coolable": tables.COOLABLE,
        "sliceable": tables.SLICEABLE,
        "toggleable": tables.LAMPS,
        "isReceptacleObject": tables.CONTAINERS,
    }
    for predicate, expected in named.items():
        having = set(re.findall(rf"\({predicate} (\S+)\)", problem))
        assert having == {thing for thing, kind in kinds.items() if kind in expected}, predicate
