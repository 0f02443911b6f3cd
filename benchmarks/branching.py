"""Branching from the middle of an episode: forks that share keys and values, that copy them, or that feed all again.

    python benchmarks/branching.py
    python benchmarks/branching.py --section decode

Some roots play the first turns, then each is forked into branches, which play the other turns side by side with it.
All sides decode greedily from the same weights and must say the same tokens. Times are CPU seconds of one thread,
interleaved, the least of ``--repeats``. Memory is of the keys and values held just before the end. The last line is
JSON.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.seeding import generator
from benchmarks.engine import build

Ids = NDArray[np.int32]
NEVER = 10**9
SIDES = {"refeed": NEVER, "copy": NEVER, "share": 1}
"""Sides, and from how many positions on their forks share."""


@dataclass
class Measured:
    """What one side took and said.

    Attributes:
      whole_s: CPU seconds of all turns.
      branched_s: CPU seconds from the forks on.
      kv_bytes: held by all sessions at the end.
      said: the ids of each session.
    """

    whole_s: float
    branched_s: float
    kv_bytes: int
    said: list[list[int]]


async def play(engine: TransformersEngine, side: str, args: argparse.Namespace) -> Measured:
    """Roll out the forest; side ``refeed`` opens a new session for each branch and feeds it all that came before."""
    rng = generator(0, "branching")
    params = SamplingParams(max_tokens=args.generated, temperature=0.0)

    def observed(size: int, count: int) -> list[Ids]:
        return [rng.integers(0, args.vocab, size).astype(np.int32) for _ in range(count)]

    begin = time.process_time()
    sessions = [engine.open(seed) for seed in range(args.roots)]
    said: list[list[int]] = [[] for _ in sessions]

    async def turn(index: int, ids: Ids) -> None:
        completion = await engine.generate(sessions[index], ids, params)
        said[index] += [*map(int, ids), *completion.ids.tolist()]

    for number in range(args.trunk):
        fed = observed(args.observed if number else args.prompt, args.roots)
        await asyncio.gather(*(turn(index, ids) for index, ids in enumerate(fed)))
    forked = time.process_time()
    new: list[Ids] = [np.empty(0, np.int32) for _ in sessions]
    for root in range(args.roots):
        for _ in range(args.branches - 1):
            sessions.append(engine.open(0) if side == "refeed" else engine.fork(sessions[root], 0))
            new.append(np.array(said[root] if side == "refeed" else [], np.int32))
            said.append(said[root].copy() if side != "refeed" else [])
    for _ in range(args.turns - args.trunk):
        fed = observed(args.observed, len(sessions))
        ids = [np.concatenate(pair) for pair in zip(new, fed, strict=True)]
        await asyncio.gather(*(turn(index, row) for index, row in enumerate(ids)))
        new = [np.empty(0, np.int32) for _ in sessions]
    end = time.process_time()
    held = engine.kv_bytes
    for session in sessions:
        engine.release(session)
    return Measured(end - begin, end - forked, held, said)


def end_to_end(args: argparse.Namespace) -> dict[str, float]:
    """Time whole rollouts of all sides."""
    model = build(args.hidden, args.layers, args.vocab, args.kv_heads)
    context = args.prompt + args.turns * (args.observed + args.generated)
    num_sessions = args.roots * args.branches
    engines = {
        side: TransformersEngine(model, None, max_sessions=num_sessions, max_context=context, min_shared=min_shared)
        for side, min_shared in SIDES.items()
    }
    runs: dict[str, list[Measured]] = {side: [] for side in SIDES}
    for _ in range(args.repeats):
        for side, engine in engines.items():
            runs[side].append(asyncio.run(play(engine, side, args)))
    if any(run.said != runs["refeed"][0].said for side in SIDES for run in runs[side]):
        raise SystemExit("the sides said different tokens")
    figures: dict[str, float] = {}
    for side, measured in runs.items():
        figures[f"{side}_s"] = min(run.whole_s for run in measured)
        figures[f"{side}_branched_s"] = min(run.branched_s for run in measured)
        figures[f"{side}_kv_mb"] = measured[0].kv_bytes / 1e6
    for side in ("copy", "share"):
        figures[f"ratio_refeed_to_{side}"] = figures["refeed_s"] / figures[f"{side}_s"]
        figures[f"ratio_branched_refeed_to_{side}"] = figures["refeed_branched_s"] / figures[f"{side}_branched_s"]
    figures["ratio_kv"] = figures["copy_kv_mb"] / figures["share_kv_mb"]
    return figures


async def decode_all(
    engine: TransformersEngine, prefix: int, suffix: int, steps: int, args: argparse.Namespace
) -> tuple[float, int]:
    """Return CPU seconds of a decoding step around ``suffix`` positions behind a fork at ``prefix``, and KV bytes."""
    rng = generator(1, "branching")
    sessions = []
    for root in range(args.roots):
        ids = rng.integers(0, args.vocab, prefix + 1).astype(np.int32)
        parent = engine.open(root)
        await engine.generate(parent, ids, SamplingParams(max_tokens=1))
        sessions += [parent, *(engine.fork(parent, branch, length=prefix + 1) for branch in range(1, args.branches))]
    fed = [rng.integers(0, args.vocab, suffix - steps // 2).astype(np.int32) for _ in sessions]

    async def timed(ids: list[Ids], num_tokens: int) -> float:
        begin = time.process_time()
        params = SamplingParams(max_tokens=num_tokens)
        await asyncio.gather(*(engine.generate(s, row, params) for s, row in zip(sessions, ids, strict=True)))
        return time.process_time() - begin

    await timed(fed, 1)
    one = [row[:1] for row in fed]
    seconds = (await timed(one, steps)) / steps
    held = engine.kv_bytes
    for session in sessions:
        engine.release(session)
    return seconds, held


def decode(args: argparse.Namespace) -> dict[str, float]:
    """Time decoding steps, copied against shared."""
    model = build(args.hidden, args.layers, args.vocab, args.kv_heads)
    figures: dict[str, float] = {}
    for suffix in args.suffixes:
        best = {}
        for side in ("copy", "share"):
            best[side] = (float("inf"), 0)
        engines = {
            side: TransformersEngine(
                model,
                None,
                max_sessions=args.roots * args.branches,
                max_context=args.prefix + suffix + 64,
                min_shared=SIDES[side],
            )
            for side in best
        }
        for _ in range(args.repeats):
            for side, engine in engines.items():
                best[side] = min(best[side], asyncio.run(decode_all(engine, args.prefix, suffix, 24, args)))
        for side, (seconds, held) in best.items():
            figures[f"decode_{side}_ms_suffix{suffix}"] = 1e3 * seconds
            figures[f"decode_{side}_kv_mb_suffix{suffix}"] = held / 1e6
        figures[f"decode_ratio_suffix{suffix}"] = best["copy"][0] / best["share"][0]
        figures[f"decode_ratio_kv_suffix{suffix}"] = best["copy"][1] / best["share"][1]
    return figures


SECTIONS = {"decode": decode, "end_to_end": end_to_end}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("roots", 8), ("branches", 4), ("turns", 10), ("trunk", 6)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("prompt", 200), ("observed", 110), ("generated", 40), ("prefix", 1100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("hidden", 256), ("layers", 4), ("kv-heads", 2), ("vocab", 2048), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--suffixes", type=int, nargs="+", default=[300, 500, 700])
    parser.add_argument("--section", choices=SECTIONS, help="only this one")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        if args.section in (None, name):
            figures |= section(args)
    for name, value in figures.items():
        print(f"{name:40} {value:12.3f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
