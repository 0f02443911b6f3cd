"""The household on official games: speed of play, and side by side with the real engine.

    python benchmarks/household.py ../shared/data/alfworld/alfworld_games_all.jsonl.xz
    python benchmarks/household.py GAMES --real FOLDER_OF_RAW_GAMES --num-real 6

The second form plays the same random commands in ALFWorld's own engine (`pip install "textworld[pddl]"` and
`pip install --no-deps alfworld`) and compares every text, command list, reward and ending. Play is uniform over the
admissible commands, which are listed at every step. Times are CPU seconds of one process. The last line is JSON.
"""

import argparse
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from agentrl.seeding import generator
from agentrl_envs.household.env import HouseholdEnv
from agentrl_envs.household.games import OfficialGames

Row = tuple[str, float, str]


class Stopwatch:
    """Sums CPU seconds over the blocks it is used in."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begin = 0.0

    def __enter__(self) -> "Stopwatch":
        self._begin = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._begin


def measure_play(games: OfficialGames, split: str, num_games: int, repeats: int) -> list[Row]:
    """Play ``num_games`` games ``repeats`` times each: nothing is cached in the first round."""
    env = HouseholdEnv(games, split=split)
    rng = generator(0, "benchmark")
    every = games.ids(split)
    ids = [every[i] for i in rng.permutation(len(every))[:num_games]]
    rows: list[Row] = []
    for name, rounds in (("first", 1), ("again", repeats)):
        resets, steps, num_steps = Stopwatch(), Stopwatch(), 0
        for task_id in ids * rounds:
            with resets:
                _, info = env.reset(options={"task": task_id})
            draws = rng.random(env.max_turns or 50)
            with steps:
                for draw in draws:
                    commands = info["admissible_actions"]
                    _, _, terminated, truncated, info = env.step(commands[int(draw * len(commands))])
                    num_steps += 1
                    if terminated or truncated:
                        break
        rows.append((f"steps per second, {name}", num_steps / steps.seconds, "1/s"))
        rows.append((f"reset, {name}", resets.seconds / len(ids) / rounds * 1e3, "ms"))
    return rows


def measure_branching(games: OfficialGames, split: str, repeats: int = 2000) -> list[Row]:
    """Time snapshot, restore and fork in the middle of an episode."""
    env = HouseholdEnv(games, split=split)
    _, info = env.reset(seed=0)
    for _ in range(10):
        env.step(info["admissible_actions"][0])
    snapshot = env.snapshot()
    rows = []
    for name, act in (("snapshot", env.snapshot), ("restore", lambda: env.restore(snapshot)), ("fork", env.fork)):
        with Stopwatch() as watch:
            for _ in range(repeats):
                act()
        rows.append((name, watch.seconds / repeats * 1e6, "us"))
    return rows


def load_real(path: Path) -> Any:
    """Return the real engine with a game loaded, named as ALFWorld names things."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs.pddl.pddl import PddlEnv

    env = AlfredDemangler(PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True)))
    env.load(str(path))
    return env


def compare(folder: Path, num_games: int, num_steps: int) -> tuple[list[Row], dict[str, int]]:
    """Play the same commands in both engines; count what differs."""
    paths = sorted(folder.rglob("*.tw-pddl"))[:num_games]
    ours_watch, real_watch, ours_reset, real_reset = Stopwatch(), Stopwatch(), Stopwatch(), Stopwatch()
    count = {"games": len(paths), "steps": 0, "differences": 0}
    for number, path in enumerate(paths):
        rng = generator(0, "compare", number)
        with ours_reset:
            ours = HouseholdEnv(path, max_turns=None)
            observation, info = ours.reset()
        with real_reset:
            real = load_real(path)
            state = real.reset()
        count["differences"] += (observation, info["admissible_actions"]) != (state.feedback, state.admissible_commands)
        for _ in range(num_steps):
            commands = info["admissible_actions"] + ["Look", ""]
            command = commands[int(rng.integers(len(commands)))]
            with ours_watch:
                observation, reward, terminated, _, info = ours.step(command)
            with real_watch:
                state, real_reward, done = real.step(command)
            count["steps"] += 1
            said = (observation, info["admissible_actions"], reward, terminated)
            count["differences"] += said != (state.feedback, state.admissible_commands, real_reward, done)
            if terminated or done:
                break
    rows = [
        ("steps per second beside it", count["steps"] / ours_watch.seconds, "1/s"),
        ("steps per second, real engine", count["steps"] / real_watch.seconds, "1/s"),
        ("load and reset beside it", ours_reset.seconds / len(paths) * 1e3, "ms"),
        ("load and reset, real engine", real_reset.seconds / len(paths) * 1e3, "ms"),
        ("times faster per step", real_watch.seconds / ours_watch.seconds, ""),
    ]
    return rows, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("games", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--num-games", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--real", type=Path, help="folder of raw game.tw-pddl files for the real engine")
    parser.add_argument("--num-real", type=int, default=3)
    parser.add_argument("--real-steps", type=int, default=30)
    args = parser.parse_args()
    with Stopwatch() as loading:
        games = OfficialGames(args.games)
    num_games = sum(map(len, games.splits.values()))
    rows: list[Row] = [(f"load {num_games} games", loading.seconds, "s")]
    rows += measure_play(games, args.split, args.num_games, args.repeats)
    rows += measure_branching(games, args.split)
    result: dict[str, Any] = {"benchmark": "household", "games": num_games, "split": args.split}
    if args.real is not None:
        missing = [name for name in ("textworld", "alfworld") if importlib.util.find_spec(name) is None]
        if missing:
            parser.error(f"--real needs {' and '.join(missing)}, which cannot be imported: see the top of this file")
        more, result["compared"] = compare(args.real, args.num_real, args.real_steps)
        rows += more
    for name, value, unit in rows:
        print(f"{name:32} {value:12,.2f} {unit}")
    if args.real is None:
        print("not compared with the real engine: give --real")
    else:
        print(
            "compared with the real engine: {games} games, {steps} steps, {differences} differences".format(
                **result["compared"]
            )
        )
    print(json.dumps(result | {f"{name} [{unit}]": round(value, 3) for name, value, unit in rows}))


if __name__ == "__main__":
    main()
