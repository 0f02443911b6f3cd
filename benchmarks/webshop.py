"""The web shop: speed of play, of search and of snapshots, and what catalogues of growing size cost.

    python benchmarks/webshop.py --data ../shared/data/webshop
    python benchmarks/webshop.py --sizes 1000 10000 100000 1000000
    python benchmarks/webshop.py --sizes --experts 200 --difficulty hard

Play is uniform over the admissible actions, which are listed at every step beside the original's available actions; a
search is for four words of a title. With ``--data`` it goes on the original's products, otherwise on a thousand
generated ones. Searches are for four words of a title and for whole instructions, none of them remembered. Times are
CPU seconds of one process; each size is built in a process of its own, whose peak of memory is stated. The last line
is JSON.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agentrl import make
from agentrl.seeding import generator
from agentrl_envs.webshop.catalogue.goals import GeneratedCatalogue
from agentrl_envs.webshop.env import SEARCH_ACTION, WebShopEnv
from agentrl_envs.webshop.stocks import index_of


def words_of(title: str, draw: random.Random) -> str:
    """Return four words of a title, as they follow each other."""
    words = title.lower().replace("[", " ").replace("]", " ").split()
    first = draw.randrange(max(1, len(words) - 3))
    return " ".join(words[first : first + 4])


def measure_play(env: WebShopEnv, steps: int, repeats: int) -> dict[str, float]:
    """Return steps per second, the best of some rounds, of the step itself."""
    titles = [product.title for product in env.shop.stock]
    best = 0.0
    for seed in range(repeats):
        draw, played, spent = random.Random(seed), 0, 0.0
        while played < steps:
            _, info = env.reset(seed=seed if not played else None)
            ended = False
            while not ended and played < steps:
                action = draw.choice(info["admissible_actions"])
                if action == SEARCH_ACTION:
                    action = f"search[{words_of(draw.choice(titles), draw)}]"
                begin = time.process_time()
                *_, terminated, truncated, info = env.step(action)
                spent += time.process_time() - begin
                played, ended = played + 1, terminated or truncated
        best = max(best, played / spent)
    return {"steps_per_s": best}


def measure_branching(env: WebShopEnv, repeats: int = 2000) -> dict[str, float]:
    """Return microseconds of snapshot, restore and fork on a product's page."""
    env.reset(seed=0)
    for action in env.solution()[:-1]:
        env.step(action)
    snapshot = env.snapshot()
    result = {}
    for name, act in (("snapshot", env.snapshot), ("restore", lambda: env.restore(snapshot)), ("fork", env.fork)):
        begin = time.process_time()
        for _ in range(repeats):
            act()
        result[f"{name}_us"] = (time.process_time() - begin) / repeats * 1e6
    return result


def measure_size(number: int, searches: int) -> dict[str, Any]:
    """Return what a generated catalogue of this size costs, built from nothing."""
    catalogue = GeneratedCatalogue(products=number)
    stock, draw = catalogue.stock, random.Random(0)
    begin = time.process_time()
    index = index_of(stock)
    built = time.process_time() - begin
    titles = [stock.product(draw.randrange(number)).title for _ in range(searches)]
    queries = {
        "title": [words_of(title, draw) for title in titles],
        "instruction": [catalogue.load(f"train/{at}").instruction for at in range(searches)],
    }
    result: dict[str, Any] = {"products": number, "build_s": built}
    for name, asked in queries.items():
        index.scored(asked[0])
        begin = time.process_time()
        for query in asked:
            index.scored(query)
        result[f"search_{name}_ms"] = (time.process_time() - begin) / searches * 1e3
    folder = Path(os.environ["AGENTRL_CACHE"])
    result["disk_mib"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    result["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def measure_apart(number: int, searches: int) -> dict[str, Any]:
    """Return `measure_size` of a fresh process with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, "--size", str(number), "--searches", str(searches)]
        done = subprocess.run(
            command, env=os.environ | {"AGENTRL_CACHE": cache}, stdout=subprocess.PIPE, text=True, check=True
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_experts(options: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Return score, success and turns of the experts on goals evenly spaced over each split."""
    rows = []
    for who in ("solution", "informed", "novice"):
        env = make("agentrl/WebShop-v0", **options, **({} if who == "solution" else {"expert": who}))
        for split, ids in env.tasks.splits.items():
            scores, turns = [], []
            for seed, task in enumerate(ids[:: max(1, len(ids) // number)][:number]):
                observation, info = env.reset(options={"task": task})
                plan = env.solution() if who == "solution" else []
                act, ended = env.expert(generator(seed, "expert")), False
                while not ended:
                    action = plan.pop(0) if who == "solution" else act(observation, info)
                    observation, _, terminated, truncated, info = env.step(action)
                    ended = terminated or truncated
                scores.append(info["score"])
                turns.append(env.turn)
            success = sum(score == 1.0 for score in scores) / len(scores)
            row = {"score": statistics.fmean(scores), "success": success, "turns": statistics.fmean(turns)}
            rows.append({"expert": who, "split": split, **row})
    return rows


def count_shared(draws: int) -> int:
    """Return how many digests of drawn tasks occur in more than one split."""
    env = make("agentrl/WebShop-v0")
    rng = generator(0, "benchmark")
    digests = {
        split: {env.tasks.sample(split, rng).digest for _ in range(draws // len(env.tasks.splits))}
        for split in env.tasks.splits
    }
    return sum(map(len, digests.values())) - len(set.union(*digests.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with WebShop's files")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--draws", type=int, default=0, help="tasks to draw and look for in two splits")
    parser.add_argument("--experts", type=int, default=0, help="goals of each split on which the experts are tried")
    parser.add_argument("--difficulty", default="medium", help="of the generated catalogue that they are tried on")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.size:
        print(json.dumps(measure_size(arguments.size, arguments.searches)))
        return
    options: dict[str, Any] = {"catalogue": {"difficulty": arguments.difficulty}}
    if arguments.data:
        options = {"data": arguments.data}
    env = make("agentrl/WebShop-v0", **options)
    assert isinstance(env, WebShopEnv)
    result: dict[str, Any] = measure_play(env, arguments.steps, repeats=3) | measure_branching(env)
    for name, value in result.items():
        print(f"{name:20} {value:10.1f}")
    result["sizes"] = [measure_apart(number, arguments.searches) for number in arguments.sizes]
    for row in result["sizes"]:
        print("  ".join(f"{name} {value:,.3f}" for name, value in row.items()))
    if arguments.draws:
        result["tasks_in_two_splits"] = count_shared(arguments.draws)
    if arguments.experts:
        result["experts"] = measure_experts(options, arguments.experts)
        for row in result["experts"]:
            print("  ".join(str(round(value, 3) if isinstance(value, float) else value) for value in row.values()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
