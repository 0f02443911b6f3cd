import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl import make
from agentrl.errors import DataError
from agentrl.tasks import DrawnTasks
from agentrl_envs import maze
from agentrl_envs.maze import HELD, LYING, USED, Maze, MazeEnv, draw

OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}

# Three rooms in a row and one below the first: the key lies in room 0, and closes the way from room 1 to room 2.
#   0 - 1 = 2
ROW = Maze(
    ways=[{"east": (1, None)}, {"west": (0, None), "east": (2, 0)}, {"west": (1, 0)}],
    doors=("red",),
    keys=[0],
    start=1,
    exit=2,
)


def mazes(size: int, doors: tuple[str, ...], count: int) -> list[Maze]:
    rng = np.random.default_rng(0)
    drawn = (draw(rng, size, doors) for _ in iter(int, 1))
    found = (maze for maze in drawn if maze is not None)
    return [next(found) for _ in range(count)]


def test_moves_by_hand() -> None:
    assert ROW.moves((1, (LYING,))) == {"go west": (0, (LYING,))}
    assert ROW.moves((0, (LYING,))) == {"take red key": (0, (HELD,)), "go east": (1, (LYING,))}
    assert ROW.moves((1, (HELD,))) == {"go west": (0, (HELD,)), "unlock red door": (1, (USED,))}
    assert ROW.moves((1, (USED,))) == {"go west": (0, (USED,)), "go east": (2, (USED,))}


def test_solution_by_hand() -> None:
    assert ROW.solve((1, (LYING,))) == ["go west", "take red key", "go east", "unlock red door", "go east"]
    assert ROW._replace(keys=[2]).solve((1, (LYING,))) is None


def test_an_episode_is_told_room_by_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DrawnTasks, "load", lambda tasks, task_id: ROW)
    env = MazeEnv()
    story = [env.reset(seed=0)[0], *(env.step(action)[0] for action in ["go east", *env.solution()])]
    assert story == [
        "You are in room 1. Ways: west, east (red door).",
        "You cannot do that. You are in room 1. Ways: west, east (red door).",
        "You are in room 0. Ways: east. A red key lies here.",
        "You are in room 0. Ways: east. You hold a red key.",
        "You are in room 1. Ways: west, east (red door). You hold a red key.",
        "You are in room 1. Ways: west, east.",
        "You step out into the open.",
    ]


@pytest.mark.parametrize(("size", "doors"), [(2, ()), (3, ("red",)), (4, ("red", "blue"))])
def test_a_maze_is_a_tree_of_rooms_with_two_sided_ways(size: int, doors: tuple[str, ...]) -> None:
    for drawn in mazes(size, doors, 20):
        assert len(drawn.ways) == size**2
        assert sum(map(len, drawn.ways)) == 2 * (size**2 - 1)
        for room, ways in enumerate(drawn.ways):
            for way, (there, door) in ways.items():
                step = {"north": -size, "south": size, "east": 1, "west": -1}[way]
                assert there == room + step
                assert way in ("north", "south") or there // size == room // size
                assert drawn.ways[there][OPPOSITE[way]] == (room, door)


def test_every_key_is_needed() -> None:
    for drawn in mazes(3, ("red", "blue"), 20):
        start = (drawn.start, (LYING, LYING))
        for door in ("red", "blue"):
            out_of_reach = {door: 99}
            keys = [out_of_reach.get(name, at) for name, at in zip(drawn.doors, drawn.keys, strict=True)]
            without = drawn._replace(keys=keys)
            assert without.solve(start) is None


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_any_walk_can_still_be_solved_and_undone_by_snapshot(data: st.DataObject) -> None:
    env = make("agentrl/Maze-v0", max_turns=None)
    _, info = env.reset(seed=data.draw(st.integers(0, 50)))
    before = env.snapshot()
    for _ in range(data.draw(st.integers(0, 10))):
        if "outcome" in info:
            break
        info = env.step(data.draw(st.sampled_from(info["admissible_actions"])))[4]
    for action in env.solution():
        info = env.step(action)[4]
    assert info["success"]
    env.restore(before)
    assert not env.snapshot().ended


def test_a_random_player_rarely_gets_out_in_time() -> None:
    env, rng, wins = make("agentrl/Maze-v0"), np.random.default_rng(0), 0
    for seed in range(200):
        _, info = env.reset(seed=seed)
        while "outcome" not in info:
            info = env.step(str(rng.choice(info["admissible_actions"])))[4]
        wins += info["success"]
    assert 20 <= wins <= 80


def test_a_maze_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DrawnTasks, "MAX_DRAWS", 50)
    with pytest.raises(DataError, match="ease what is asked of tasks"):
        make("agentrl/Maze-v0", size=1).reset(seed=0)


def test_the_example_stays_short() -> None:
    assert len(inspect.getsource(maze).splitlines()) < 100
