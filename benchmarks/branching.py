"""Branching from the middle of an episode: forks that share keys and values, that copy them, or that feed all again.

    python benchmarks/branching.py                     # nine minutes
    python benchmarks/branching.py --section decode
    python benchmarks/branching.py --head-dim 64

Some roots play the first turns, then each is forked into branches and released; the branches play the other turns.
By default roots hold 1100 positions then, and the branches add 600 each.
All sides decode greedily from the same weights and must say the same tokens. Times are CPU seconds of one thread,
interleaved, the least of ``--repeats``. Memory is of the keys and values held just before the end. Section ``update``
is `tree_update.py`: the same forests trained padded, packed and merged. The last line is JSON.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from random_models import SHARP, random_model

from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.seeding import generator

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


def model_of(args: argparse.Namespace) -> Any:
    """Return a random model, by default in the proportions of Qwen3-0.6B at a quarter of its width, in 4 layers."""
    heads = {"heads": args.heads, "kv_heads": args.kv_heads, "head_dim": args.head_dim}
    return random_model(args.hidden, args.layers, args.vocab, **heads, deviation=SHARP)


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
    roots, trunks = sessions, said
    sessions, said = [], []
    for root, trunk in zip(roots, trunks, strict=True):
        for _ in range(args.branches):
            sessions.append(engine.open(0) if side == "refeed" else engine.fork(root, 0))
            said.append([] if side == "refeed" else trunk.copy())
        engine.release(root)
    untold = [trunk if side == "refeed" else [] for trunk in trunks for _ in range(args.branches)]
    for _ in range(args.turns - args.trunk):
        fed = observed(args.observed, len(sessions))
        turns = [np.array([*before, *ids], np.int32) for before, ids in zip(untold, fed, strict=True)]
        await asyncio.gather(*(turn(index, ids) for index, ids in enumerate(turns)))
        untold = [[] for _ in sessions]
    end = time.process_time()
    held = engine.kv_bytes
    for session in sessions:
        engine.release(session)
    return Measured(end - begin, end - forked, held, said)


def end_to_end(args: argparse.Namespace) -> dict[str, float]:
    """Time whole rollouts of all sides."""
    model = model_of(args)
    context = args.prompt + args.turns * (args.observed + args.generated)
    # A root is released only after it was forked.
    num_sessions = args.roots * args.branches + 1
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


async def decode_at(model: Any, suffix: int, args: argparse.Namespace) -> dict[str, float]:
    """Time decoding around ``suffix`` positions behind the forks: short turns of all sessions, the sides in turn."""
    num_sessions, context = args.roots * args.branches, args.prefix + 2 * suffix
    engines, sessions = {}, {}
    for side in ("copy", "share"):
        rng = generator(1, "branching")
        engine = engines[side] = TransformersEngine(
            model, None, max_sessions=num_sessions, max_context=context, min_shared=SIDES[side]
        )
        sessions[side] = []
        for root in range(args.roots):
            parent = engine.open(root)
            ids = rng.integers(0, args.vocab, args.prefix + 1).astype(np.int32)
            await engine.generate(parent, ids, SamplingParams(max_tokens=1))
            forks = [engine.fork(parent, 0, length=args.prefix + 1) for _ in range(args.branches - 1)]
            sessions[side] += [parent, *forks]

    async def passes(side: str, ids: list[Ids], num_tokens: int) -> float:
        """Return CPU seconds of a turn that feeds ``ids`` and then samples ``num_tokens``."""
        params = SamplingParams(max_tokens=num_tokens, temperature=0.0)
        begin = time.process_time()
        turns = (engines[side].generate(s, row, params) for s, row in zip(sessions[side], ids, strict=True))
        await asyncio.gather(*turns)
        return time.process_time() - begin

    # A turn that feeds one id runs the model once to feed it and once for each token.
    fed = generator(2, "branching").integers(0, args.vocab, (num_sessions, suffix)).astype(np.int32)
    seconds: dict[str, list[float]] = {side: [] for side in engines}
    for side in engines:
        await passes(side, list(fed[:, : suffix - args.repeats * (args.steps + 1) // 2]), 1)
    for _ in range(args.repeats):
        for side in engines:
            seconds[side].append(await passes(side, list(fed[:, :1]), args.steps) / (args.steps + 1))
    copy_s, share_s = min(seconds["copy"]), min(seconds["share"])
    copy_bytes, share_bytes = engines["copy"].kv_bytes, engines["share"].kv_bytes
    return {
        "copy_ms": 1e3 * copy_s,
        "share_ms": 1e3 * share_s,
        "ratio": copy_s / share_s,
        "copy_kv_mb": copy_bytes / 1e6,
        "share_kv_mb": share_bytes / 1e6,
        "ratio_kv": copy_bytes / share_bytes,
    }


def decode(args: argparse.Namespace) -> dict[str, float]:
    """Time decoding steps, copied against shared."""
    model = model_of(args)
    figures = {}
    for suffix in args.suffixes:
        for name, value in asyncio.run(decode_at(model, suffix, args)).items():
            figures[f"decode_suffix{suffix}_{name}"] = value
    return figures


def update(args: argparse.Namespace) -> dict[str, float]:
    """Time the update of 16 branches with 60 % shared, and of one prompt per turn, by the benchmark that is theirs."""
    script = Path(__file__).with_name("tree_update.py")
    figures = {}
    # The first pass of a side warms up; of the longest case that is little.
    for repeats, cases in (("2", ["branches_one_level", "branches_two_levels", "prompts_15"]), ("1", ["prompts_30"])):
        command = [sys.executable, str(script), "--repeats", repeats, "--cases", *cases]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found: dict[str, dict[str, float]] = json.loads(output.splitlines()[-1])
        figures |= {f"update_{case}_{name}": value for case, one in found.items() for name, value in one.items()}
    return figures


SECTIONS = {"decode": decode, "end_to_end": end_to_end, "update": update}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("roots", 8), ("branches", 4), ("turns", 10), ("trunk", 6)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("prompt", 310), ("observed", 110), ("generated", 40), ("prefix", 1100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("hidden", 256), ("layers", 4), ("heads", 4), ("kv-heads", 2), ("head-dim", 128)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("vocab", 2048), ("repeats", 3), ("steps", 12)):
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
        print(f"{name:50} {value:12.4g}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
