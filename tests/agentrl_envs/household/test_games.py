"""Where games come from: packed files, raw games, folders; and what is said about bad ones."""

import json
import lzma
import pickle
from pathlib import Path
from typing import Any

import pytest

from agentrl.errors import DataError, TaskNotFoundError
from agentrl_envs.household.game import Affordance, Quality, TaskType
from agentrl_envs.household.games import OfficialGames
from agentrl_envs.household.pddl import name_entities, read_game
from tests.shared_data import shared_data

PROBLEM = """
(define (problem plan_1) (:domain alfred)
(:objects agent1 - agent Egg - object EggType - otype FridgeType - rtype)
(:init
(receptacleType Fridge_bar_1 FridgeType) (receptacleType Sink_bar_1_bar_SinkBasin SinkBasinType)
(receptacleType Cabinet_bar_1 CabinetType) (receptacleType Cabinet_bar_2 CabinetType)
(objectType Egg_bar_1 EggType) (objectType Egg_bar_2 EggType) (objectType Pan_bar_1 PanType)
(objectType Window_bar_1 WindowType)
(canContain FridgeType EggType) (canContain FridgeType EggType) (canContain SinkBasinType PanType)
(openable Fridge_bar_1) (openable Cabinet_bar_1) (opened Cabinet_bar_1)
(pickupable Egg_bar_1) (pickupable Pan_bar_1) (coolable Egg_bar_1) (isCool Egg_bar_1)
(isReceptacleObject Pan_bar_1) (inReceptacleObject Egg_bar_2 Pan_bar_1) (inReceptacleObject Pan_bar_1 Pan_bar_1)
(sliceable Egg_bar_2)
(atLocation agent1 loc_bar_0)
(receptacleAtLocation Fridge_bar_1 loc_bar_2) (receptacleAtLocation Cabinet_bar_1 loc_bar_2)
(receptacleAtLocation Cabinet_bar_2 loc_bar_3) (receptacleAtLocation Sink_bar_1_bar_SinkBasin loc_bar_1)
(inReceptacle Egg_bar_1 Fridge_bar_1) (inReceptacle Pan_bar_1 Fridge_bar_1) (inReceptacle Pan_bar_1 Cabinet_bar_2)
(objectAtLocation Egg_bar_1 loc_bar_2) (objectAtLocation Egg_bar_2 loc_bar_3) (objectAtLocation Window_bar_1 loc_bar_9)
)
(:goal (and (exists (?r - receptacle) (exists (?o - object) (and
  (coolable ?o) (objectType ?o EggType) (receptacleType ?r CabinetType) (isCool ?o) (inReceptacle ?o ?r)
))))))
"""


def record(game_id: str = "train/a/trial_1", **changes: Any) -> dict[str, Any]:
    goal = "put a cool egg in cabinet."
    return {"game": game_id, "goal": goal, "walkthrough": ["look"], "pddl_problem": PROBLEM} | changes


def packed(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, records)) + "\n")
    return path


def raw(path: Path, solvable: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grammar = 'grammar :: """ {"task": [{"rhs": "Your task is to: put a cool egg in cabinet."}]} """'
    content = {"grammar": grammar, "pddl_problem": PROBLEM, "solvable": solvable, "walkthrough": ["look"]}
    path.write_text(json.dumps(content))
    return path


def test_reading_a_problem() -> None:
    game = read_game("train/a/b", PROBLEM, "put a cool egg in cabinet.", ("look",))
    assert [(r.name, r.kind, r.location) for r in game.receptacles] == [
        ("cabinet 2", "cabinet", 2),
        ("cabinet 1", "cabinet", 3),
        ("fridge 1", "fridge", 2),
        ("sinkbasin 1", "sinkbasin", 1),
    ]
    assert [(r.openable, r.opened) for r in game.receptacles] == [
        (True, True),
        (False, False),
        (True, False),
        (False,) * 2,
    ]
    egg, loose, pan = game.objects
    assert (egg.name, egg.kind, egg.receptacles, egg.location) == ("egg 2", "egg", (2,), 2)
    assert egg.affordances == {Affordance.PICKUPABLE, Affordance.COOLABLE}
    assert egg.qualities == {Quality.COOL}
    assert (loose.name, loose.receptacles, loose.location) == ("egg 1", (), 3)
    assert (pan.name, pan.receptacles, pan.location, pan.contents) == ("pan 1", (1, 2), None, ("egg 1",))
    assert game.locations == ("loc 5", "loc 4", "loc 3", "loc 2")
    assert (game.start, game.walkthrough) == (0, ("look",))
    assert game.can_contain == {"fridge": {"egg"}, "sinkbasin": {"pan"}}
    assert (game.goal.task, game.goal.object, game.goal.receptacle) == (TaskType.COOL, "egg", "cabinet")


def test_numbers_run_against_the_order_of_the_ids() -> None:
    ids = {
        "pen_bar_plus",
        "pencil_bar_minus",
        "pen_bar_minus",
        "bathtub_bar_1",
        "bathtub_bar_1_bar_bathtubbasin",
        "pentype",
    }
    assert name_entities(ids) == {
        "bathtub_bar_1": "bathtub 1",
        "bathtub_bar_1_bar_bathtubbasin": "bathtubbasin 1",
        "pen_bar_minus": "pen 2",
        "pen_bar_plus": "pen 1",
        "pencil_bar_minus": "pencil 1",
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(:init", "(:begin", "needs \\(:init"),
        ("(isCool ?o)", "(isSliced ?o)", "none of the six"),
        ("(atLocation agent1 loc_bar_0)", "", "inconsistent"),
        ("(receptacleType Fridge_bar_1 FridgeType)", "", "fridge_bar_1"),
    ],
)
def test_bad_problems_are_named(old: str, new: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read_game("train/a/b", PROBLEM.replace(old, new), "", ())
    assert "train/a/b" in str(caught.value)


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.xz"])
def test_packed_files(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / "games.jsonl", record("valid_seen/b/2"), record("train/a/1"), record("train/a/0"))
    if suffix == "jsonl.xz":
        path = tmp_path / "games.jsonl.xz"
        path.write_bytes(lzma.compress((tmp_path / "games.jsonl").read_bytes()))
    games = OfficialGames(path)
    assert games.splits == {"train": ["train/a/0", "train/a/1"], "valid_seen": ["valid_seen/b/2"]}
    assert games.load("train/a/1").goal.sentence == "put a cool egg in cabinet."
    assert games.ref("valid_seen/b/2").split == "valid_seen"


def test_a_raw_game_and_its_packed_line_are_the_same_task(tmp_path: Path) -> None:
    path = raw(tmp_path / "json_2.1.1" / "valid_unseen" / "task" / "trial" / "game.tw-pddl")
    one = OfficialGames(path)
    spaced = record("valid_unseen/task/trial", pddl_problem=" ".join(PROBLEM.split()))
    other = OfficialGames(packed(tmp_path / "games.jsonl", spaced))
    assert one.splits == other.splits == {"valid_unseen": ["valid_unseen/task/trial"]}
    assert one.ref("valid_unseen/task/trial") == other.ref("valid_unseen/task/trial")
    assert one.load("valid_unseen/task/trial") == other.load("valid_unseen/task/trial")


def test_folders_of_raw_games(tmp_path: Path) -> None:
    for where in ("train/t/1", "train/t/2", "valid_seen/t/3", "train/t-Sliced/4", "train/movable/5"):
        raw(tmp_path / where / "game.tw-pddl")
    raw(tmp_path / "train" / "t" / "6" / "game.tw-pddl", solvable=False)
    packed(tmp_path / "other.jsonl", record())
    expected = {"train": ["train/t/1", "train/t/2"], "valid_seen": ["valid_seen/t/3"]}
    assert OfficialGames(tmp_path).splits == expected
    assert OfficialGames(tmp_path / "valid_seen" / "t").splits == {"valid_seen": expected["valid_seen"]}


def test_folders_without_raw_games_and_without_splits(tmp_path: Path) -> None:
    packed(tmp_path / "deep.jsonl", record())
    assert list(OfficialGames(tmp_path).splits) == ["train"]
    path = raw(tmp_path / "mine" / "task" / "trial" / "game.tw-pddl")
    assert OfficialGames(path).splits == {"train": ["train/task/trial"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "line 2: not a game, the JSON is malformed"),
        ("[]", "line 2: not a game, game and goal and pddl_problem should be a string"),
        (json.dumps(record(goal=3)), "line 2: not a game, goal should be a string"),
        (json.dumps(record("somewhere/a/b")), "line 2: 'somewhere/a/b' names no split"),
        (json.dumps(record()), "is there twice"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "games.jsonl"
    path.write_text(json.dumps(record()) + "\n" + content + "\n")
    with pytest.raises(DataError, match=said):
        OfficialGames(path)


def test_missing_paths_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        OfficialGames(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="below"):
        OfficialGames(tmp_path)
    path = packed(tmp_path / "games.jsonl", record())
    damaged = tmp_path / "games.jsonl.xz"
    damaged.write_bytes(lzma.compress(path.read_bytes())[:-20])
    with pytest.raises(DataError, match="damaged"):
        OfficialGames(damaged)
    game = raw(tmp_path / "train" / "t" / "1" / "game.tw-pddl")
    game.write_text('{"pddl_problem": "x"}')
    games = OfficialGames(game)
    with pytest.raises(DataError, match="grammar should be a string"):
        games.load("train/t/1")


def test_unknown_games_and_splits(tmp_path: Path) -> None:
    games = OfficialGames(packed(tmp_path / "games.jsonl", record("train/a/trial_1")))
    with pytest.raises(TaskNotFoundError, match="did you mean 'train/a/trial_1'"):
        games.ref("train/a/trial_2")
    with pytest.raises(TaskNotFoundError, match="no split 'trian'; did you mean 'train'"):
        games.ids("trian")


def test_official_splits_are_whole_and_disjoint(official: OfficialGames) -> None:
    counts = {split: len(ids) for split, ids in official.splits.items()}
    assert counts == {"train": 3553, "valid_seen": 140, "valid_unseen": 134, "valid_train": 200}
    every = [game_id.split("/", 1)[1] for ids in official.splits.values() for game_id in ids]
    assert len(set(every)) == 4027


def test_raw_official_games_equal_their_packed_lines(official: OfficialGames) -> None:
    raw_games = OfficialGames(shared_data("alfworld", "json_2.1.1"))
    ids = [game_id for found in raw_games.splits.values() for game_id in found]
    assert len(ids) == 12
    for game_id in ids:
        assert raw_games.ref(game_id) == official.ref(game_id)
        assert raw_games.load(game_id) == official.load(game_id)


def test_games_are_picklable(official: OfficialGames) -> None:
    game = official.load(official.ids("train")[0])
    assert pickle.loads(pickle.dumps(game)) == game
