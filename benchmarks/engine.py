"""Rollouts of many turns: our engine, which keeps keys and values, against ``generate``, which feeds all again.

    python benchmarks/engine.py --turns 10 --batch 32
    python benchmarks/engine.py --turns 20 --batch 4 --generated 20

Both sides decode greedily from the same weights and must say the same tokens. A third side is our engine fed again:
every turn is a new session with the whole conversation. Times are CPU seconds of one thread.

``generate`` grows its cache by a copy for each token, and where malloc gives large blocks back to the system at once,
nearly half of its time are page faults. So the process starts itself again with ``MALLOC_MMAP_THRESHOLD_`` and
``MALLOC_TRIM_THRESHOLD_`` raised, which serves that side best; ``--untuned`` leaves them as they are.

Also printed: decoding speed of a 0.2 M model, the size that learns within minutes; what groups that are given the same
prompt of 1,000 tokens save by computing it once; and how far the throughput of the small model with 128 sessions falls
(wall time) where environments take 50 ms. The last line is JSON.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from random_models import SHARP, random_model
from timing import KEEPS_BLOCKS, in_turns, timed

from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.seeding import generator

Ids = NDArray[np.int32]


def observations(args: argparse.Namespace, vocab_size: int) -> list[list[Ids]]:
    """Return what each session is fed in each turn."""
    rng = generator(0, "benchmark")
    sizes = [args.prompt] + [args.observed] * (args.turns - 1)
    return [[rng.integers(0, vocab_size, size).astype(np.int32) for size in sizes] for _ in range(args.batch)]


def with_generate(model: Any, fed: list[list[Ids]], num_tokens: int) -> list[list[Ids]]:
    """Roll out in lock step, feeding the whole conversation in every turn."""
    said: list[list[Ids]] = [[] for _ in fed]
    context = np.empty((len(fed), 0), np.int64)
    for turn in range(len(fed[0])):
        context = np.concatenate([context, np.stack([session[turn] for session in fed])], axis=1)
        ids = torch.from_numpy(context)
        context = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=num_tokens, do_sample=False
        ).numpy()
        for session, row in zip(said, context, strict=True):
            session.append(row[-num_tokens:])
    return said


def with_engine(engine: TransformersEngine, fed: list[list[Ids]], params: SamplingParams) -> list[list[Ids]]:
    """Roll out all sessions at once, each at its own pace."""

    async def session(index: int) -> list[Ids]:
        handle = engine.open(index)
        said = [(await engine.generate(handle, ids, params)).ids for ids in fed[index]]
        engine.release(handle)
        return said

    async def run() -> list[list[Ids]]:
        return list(await asyncio.gather(*(session(index) for index in range(len(fed)))))

    return asyncio.run(run())


def with_engine_fed_again(engine: TransformersEngine, fed: list[list[Ids]], params: SamplingParams) -> list[list[Ids]]:
    """Roll out all sessions at once, each turn in a session of its own."""

    async def session(index: int) -> list[Ids]:
        context, said = np.empty(0, np.int32), []
        for ids in fed[index]:
            context = np.concatenate([context, ids])
            handle = engine.open(index)
            said.append((await engine.generate(handle, context, params)).ids)
            engine.release(handle)
            context = np.concatenate([context, said[-1]])
        return said

    async def run() -> list[list[Ids]]:
        return list(await asyncio.gather(*(session(index) for index in range(len(fed)))))

    return asyncio.run(run())


def compare(args: argparse.Namespace) -> dict[str, float]:
    """Time both sides, interleaved; take the minimum of each."""
    model = random_model(args.hidden, args.layers, 2048, deviation=SHARP)
    fed = observations(args, 2048)
    params = SamplingParams(max_tokens=args.generated, temperature=0.0)
    context = args.prompt + args.turns * (args.observed + args.generated)
    engine = TransformersEngine(model, None, max_sessions=args.batch, max_context=context)
    sides: dict[str, Callable[[], list[list[Ids]]]] = {"engine": lambda: with_engine(engine, fed, params)}
    if not args.engine_only:
        again = TransformersEngine(model, None, max_sessions=args.batch, max_context=context, share_prompts=False)
        sides["engine_fed_again"] = lambda: with_engine_fed_again(again, fed, params)
        sides["generate"] = lambda: with_generate(model, fed, args.generated)
    seconds, conversations = in_turns(sides, args.repeats)
    said = {side: [[ids.tolist() for ids in session] for session in each] for side, each in conversations.items()}
    if any(words != said["engine"] for words in said.values()):
        raise SystemExit("the sides said different tokens")
    tokens = args.batch * args.turns * args.generated
    figures = {f"{side}_s": took for side, took in seconds.items()}
    figures["engine_tokens_per_s"] = tokens / seconds["engine"]
    if not args.engine_only:
        figures["ratio"] = seconds["generate"] / seconds["engine"]
        figures["ratio_fed_again"] = seconds["engine_fed_again"] / seconds["engine"]
    return figures


def sharing(repeats: int) -> dict[str, float]:
    """Return what 4 groups of 8 that are given the same 1,000 tokens save by computing them once, over 4 turns."""
    model = random_model(256, 4, 2048, deviation=SHARP)
    rng = generator(2, "benchmark")
    prompts = [rng.integers(0, 2048, 1000).astype(np.int32) for _ in range(4)]
    rest = [[rng.integers(0, 2048, 40).astype(np.int32) for _ in range(3)] for _ in range(32)]
    fed = [[prompts[index // 8], *rest[index]] for index in range(32)]
    seconds, held, said = {}, {}, {}
    for _, shares in itertools.product(range(repeats), (True, False)):
        engine = TransformersEngine(model, None, max_sessions=32, max_context=1200, share_prompts=shares)
        took, (words, most) = timed(lambda engine=engine: at_a_pace(engine, fed, [20] * 4, 0.0))  # type: ignore[misc]
        seconds[shares] = min(took, seconds.get(shares, took))
        held[shares], said[shares] = most, words
    if said[True] != said[False]:
        raise SystemExit("groups that share said different tokens")
    return {"group_prompt_ratio": seconds[False] / seconds[True], "group_prompt_kv_ratio": held[False] / held[True]}


def at_a_pace(
    engine: TransformersEngine, fed: list[list[Ids]], sizes: Sequence[int], pause: float
) -> tuple[list[list[list[int]]], int]:
    """Roll out all sessions, with a pause after each turn; return what they said and the most bytes ever held."""
    most = 0

    async def session(index: int) -> list[list[int]]:
        nonlocal most
        handle, said = engine.open(index), []
        for turn, ids in enumerate(fed[index]):
            params = SamplingParams(max_tokens=sizes[(index + turn) % len(sizes)])
            said.append((await engine.generate(handle, ids, params)).ids.tolist())
            await asyncio.sleep(pause)
        most = max(most, engine.kv_bytes)
        engine.release(handle)
        return said

    async def run() -> list[list[list[int]]]:
        return list(await asyncio.gather(*(session(index) for index in range(len(fed)))))

    return asyncio.run(run()), most


def slow_environments(repeats: int) -> dict[str, float]:
    """Return the throughput with environments of 50 ms as a part of that with none: 128 sessions, 12 turns."""
    model = random_model(64, 3, 1536, kv_heads=1, deviation=SHARP)
    rng = generator(3, "benchmark")
    sizes = [(110, *rng.integers(15, 46, 11)) for _ in range(128)]
    fed = [[rng.integers(0, 1536, size).astype(np.int32) for size in row] for row in sizes]
    engine = TransformersEngine(model, None, max_sessions=128, max_context=768)
    wall = {}
    for _, pause in itertools.product(range(repeats), (0.0, 0.05)):
        start = time.perf_counter()
        at_a_pace(engine, fed, [3, 4, 5, 6, 8, 10], pause)
        took = time.perf_counter() - start
        wall[pause] = min(took, wall.get(pause, took))
    return {"turns_per_s": 128 * 12 / wall[0.0], "throughput_with_50_ms": wall[0.0] / wall[0.05]}


def decoding_speed(batch: int, context: int, num_kv_heads: int, repeats: int) -> float:
    """Return sampled tokens per CPU second of a 0.2 M model, from 60 to ``context`` positions."""
    model = random_model(64, 3, 1200, kv_heads=num_kv_heads, deviation=SHARP)
    engine = TransformersEngine(model, None, max_sessions=batch, max_context=context)
    fed = [[row] for row in generator(1, "benchmark").integers(0, 1200, (batch, 60)).astype(np.int32)]
    num_tokens = context - 60
    first = timed(lambda: with_engine(engine, fed, SamplingParams(max_tokens=1)))[0]
    whole = min(
        timed(lambda: with_engine(engine, fed, SamplingParams(max_tokens=num_tokens)))[0] for _ in range(repeats)
    )
    return batch * (num_tokens - 1) / (whole - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("turns", 10), ("batch", 32), ("prompt", 200), ("observed", 110), ("generated", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("hidden", 256), ("layers", 4), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--engine-only", action="store_true", help="do not run the other side")
    parser.add_argument("--untuned", action="store_true", help="leave malloc's thresholds as they are")
    args = parser.parse_args()
    if not args.untuned and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEPS_BLOCKS})
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"turns": args.turns, "batch": args.batch, **compare(args)}
    for batch, context, num_kv_heads in itertools.product((64, 128), (160, 400), (4, 1)):
        name = f"decode_tokens_per_s_batch{batch}_context{context}_kv_heads{num_kv_heads}"
        figures[name] = decoding_speed(batch, context, num_kv_heads, args.repeats)
    figures |= {**sharing(args.repeats), **slow_environments(args.repeats)}
    for name, value in figures.items():
        print(f"{name:56} {value:12.2f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
