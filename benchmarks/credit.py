"""Credit assignment against plain Python, on the same turns: time, and the largest difference of the results.

    python benchmarks/credit.py [--turns 100000] [--million]

Two references are kept here, both of dicts and lists. `scan` is organised as public training code is: it searches the
batch for the rows of each trajectory (public code does so again for each row) and of each group, names step groups by
UUID, and takes statistics of lists of 0-d tensors. `linear` is the best that plain Python can do, one pass over floats.
CPU seconds of this process, the best of several runs for ours. The last line is JSON.
"""

import argparse
import json
import statistics
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import networkx
import numpy as np
import torch
from timing import in_turns

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.seeding import generator

GROUP, LENGTH, STATES = 8, 30, 24


def turns(count: int) -> dict[str, Any]:
    """Groups of 8 trajectories of 30 turns; about ten turns of a group meet in a state; 280-byte observations."""
    rng = generator(0, "benchmark", count)
    trajectory = np.arange(count) // LENGTH
    turn, group = np.arange(count) % LENGTH, trajectory // GROUP
    state = group * STATES + rng.integers(0, STATES, count)
    reward = np.where(turn == LENGTH - 1, 10.0 * rng.integers(0, 2, count), 0.0)
    return {"group": group, "trajectory": trajectory, "turn": turn, "reward": reward, "anchor": state}


def with_texts(columns: dict[str, Any]) -> dict[str, Any]:
    """The same turns named by strings, as they come from an environment."""
    texts = {name: [f"{name}-{value}" for value in columns[name]] for name in ("group", "trajectory")}
    observation = [f"You are in the middle of room {value}. ".ljust(280, "x") for value in columns["anchor"]]
    return columns | texts | {"anchor": observation}


def scan_gigpo(group: Any, trajectory: Any, turn: Any, reward: Any, anchor: Any) -> np.ndarray[Any, Any]:
    """GiGPO by searching the batch for every trajectory and every group."""
    group, trajectory = np.array(group, dtype=object), np.array(trajectory, dtype=object)
    step, score = np.zeros(len(turn)), np.zeros(len(turn))
    for name in np.unique(trajectory):
        rows = np.where(trajectory == name)[0]
        running = 0.0
        for row in reversed(rows):
            running = step[row] = reward[row] + 0.95 * running
        score[rows] = sum(reward[row] for row in rows)
    step_group = np.empty(len(turn), dtype=object)
    for name in np.unique(group):
        clusters = defaultdict(list)
        for row in np.where(group == name)[0]:
            clusters[anchor[row]].append(row)
        for rows in clusters.values():
            step_group[rows] = str(uuid.uuid4())
    return tensor_z_scores(score, group, trajectory) + tensor_z_scores(step, step_group, range(len(turn)))


def tensor_z_scores(values: Any, keys: Any, once_per: Any) -> np.ndarray[Any, Any]:
    """(x - mean) / (std + 1e-6) among equal keys, with tensors for numbers."""
    scores, members, seen = torch.as_tensor(values), defaultdict(list), set()
    for row in range(len(scores)):
        if once_per[row] not in seen:
            members[keys[row]].append(scores[row])
            seen.add(once_per[row])
    mean, std = {}, {}
    for key, group in members.items():
        mean[key] = torch.mean(torch.stack(group))
        std[key] = torch.std(torch.stack(group)) if len(group) > 1 else torch.tensor(1.0)
    for row in range(len(scores)):
        scores[row] = (scores[row] - mean[keys[row]]) / (std[keys[row]] + 1e-6)
    return scores.numpy()


def linear_gigpo(group: Any, trajectory: Any, turn: Any, reward: Any, anchor: Any) -> np.ndarray[Any, Any]:
    """GiGPO in one pass over dicts and lists."""
    step, running, score = [0.0] * len(turn), defaultdict(float), defaultdict(float)
    for row in range(len(turn) - 1, -1, -1):
        name = trajectory[row]
        step[row] = running[name] = reward[row] + 0.95 * running[name]
        score[name] += reward[row]
    scores = [score[name] for name in trajectory]
    return grouped_z_scores(scores, group, trajectory) + grouped_z_scores(step, list(zip(group, anchor, strict=True)))


def grouped_z_scores(values: Any, keys: Any, once_per: Any = None) -> np.ndarray[Any, Any]:
    """(x - mean) / (std + 1e-6) among equal keys; with ``once_per``, each of its values enters the statistics once."""
    members: dict[Any, list[float]] = defaultdict(list)
    seen = set()
    for row, key in enumerate(keys):
        if once_per is not None:
            if once_per[row] in seen:
                continue
            seen.add(once_per[row])
        members[key].append(float(values[row]))
    mean = {key: sum(group) / len(group) for key, group in members.items()}
    std = {key: statistics.stdev(group) if len(group) > 1 else 0.0 for key, group in members.items()}
    return np.array([(values[row] - mean[key]) / (std[key] + 1e-6) for row, key in enumerate(keys)])


def networkx_salt(group: Any, trajectory: Any, turn: Any, action: Any, next_anchor: Any, base: Any) -> Any:
    """SALT with a graph library: states are nodes, transitions are keyed edges that collect the advantages."""
    graph = networkx.MultiDiGraph()
    history: dict[Any, tuple[Any, ...]] = {}
    edges = []
    for row in range(len(turn)):
        before = history.get(trajectory[row], ())
        after = history[trajectory[row]] = (*before, (action[row], next_anchor[row]))[-3:]
        source, target, key = (group[row], before), (group[row], after), action[row]
        if not graph.has_edge(source, target, key):
            graph.add_edge(source, target, key, advantages=[])
        graph.edges[source, target, key]["advantages"].append(base[row])
        edges.append((source, target, key))
    mean = {}
    for source, target, key, data in graph.edges(keys=True, data=True):
        mean[source, target, key] = sum(data["advantages"]) / len(data["advantages"])
    return np.array([mean[edge] for edge in edges])


def seconds(run: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Return the least CPU time of a number of runs, and the result."""
    least, results = in_turns({"": run}, repeats)
    return least[""], results[""]


def gigpo_rows(count: int) -> list[dict[str, Any]]:
    rows = []
    for keys, columns in (("ids", turns(count)), ("texts", with_texts(turns(count)))):
        ours_s, ours = seconds(lambda columns=columns: credit.gigpo(TurnTable.from_columns(**columns)), 7)
        for name, reference in (("scan", scan_gigpo), ("linear", linear_gigpo)):
            plain = {key: np.asarray(values).tolist() for key, values in columns.items()}
            reference_s, expected = seconds(lambda plain=plain, reference=reference: reference(**plain))
            difference = float(np.abs(ours - expected).max())
            rows.append(
                {"method": "gigpo", "keys": keys, "turns": count, "reference": name, "reference_s": reference_s,
                 "ours_s": ours_s, "ratio": reference_s / ours_s, "max_difference": difference}
            )  # fmt: skip
    return rows


def salt_row(count: int) -> dict[str, Any]:
    """Ours starts from ids, as the reference does; the reference is one run."""
    columns = turns(count)
    rng = generator(0, "actions", count)
    columns["action"] = rng.integers(0, 2, count)
    columns["next_anchor"] = columns["group"] * STATES + rng.integers(0, 4, count)
    base = credit.grpo(TurnTable.from_columns(**columns))
    ours_s, ours = seconds(lambda: credit.salt(TurnTable.from_columns(**columns), base=base), 7)
    names = ("group", "trajectory", "turn", "action", "next_anchor")
    plain = {name: columns[name].tolist() for name in names} | {"base": base.tolist()}
    reference_s, expected = seconds(lambda: networkx_salt(**plain))
    return {
        "method": "salt",
        "keys": "ids",
        "turns": count,
        "reference": "networkx",
        "reference_s": reference_s,
        "ours_s": ours_s,
        "ratio": reference_s / ours_s,
        "max_difference": float(np.abs(ours - expected).max()),
    }


def million_row() -> dict[str, Any]:
    columns = turns(1_000_000)
    ours_s, _ = seconds(lambda: credit.gigpo(TurnTable.from_columns(**columns)), 3)
    return {"method": "gigpo", "keys": "ids", "turns": 1_000_000, "ours_s": ours_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--million", action="store_true", help="also a million turns, ours alone")
    args = parser.parse_args()
    rows = [*gigpo_rows(args.turns), salt_row(args.turns)]
    if args.million:
        rows.append(million_row())
    for row in rows:
        print(
            "  ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )
    print(json.dumps({"benchmark": "credit", "rows": rows}))


if __name__ == "__main__":
    main()
