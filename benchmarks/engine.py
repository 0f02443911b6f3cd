"""Rollouts of many turns: our engine, which keeps keys and values, against ``generate``, which feeds all again.

    python benchmarks/engine.py --turns 10 --batch 32
    python benchmarks/engine.py --turns 20 --batch 4 --generated 20

Both sides decode greedily from the same weights and must say the same tokens. Times are CPU seconds of one thread.
Also printed: decoding speed of a 0.2 M model, the size that learns within minutes. The last line is JSON.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.seeding import generator

Ids = NDArray[np.int32]


def build(hidden_size: int, num_layers: int, vocab_size: int, num_kv_heads: int = 4) -> Any:
    """Return a random model whose scores are sharp enough that rounding does not decide greedy tokens."""
    config = Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=num_kv_heads,
        head_dim=hidden_size // 4,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Qwen3ForCausalLM(config).eval()


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


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return CPU seconds and result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def compare(args: argparse.Namespace) -> dict[str, float]:
    """Time both sides, interleaved; take the minimum of each."""
    model = build(args.hidden, args.layers, 2048)
    fed = observations(args, 2048)
    params = SamplingParams(max_tokens=args.generated, temperature=0.0)
    context = args.prompt + args.turns * (args.observed + args.generated)
    engine = TransformersEngine(model, None, max_sessions=args.batch, max_context=context)
    ours, theirs = [], []
    for _ in range(args.repeats):
        seconds, said = timed(lambda: with_engine(engine, fed, params))
        ours.append(seconds)
        if args.engine_only:
            continue
        seconds, expected = timed(lambda: with_generate(model, fed, args.generated))
        theirs.append(seconds)
        if [[ids.tolist() for ids in s] for s in said] != [[ids.tolist() for ids in s] for s in expected]:
            raise SystemExit("the two sides said different tokens")
    tokens = args.batch * args.turns * args.generated
    figures = {"engine_s": min(ours), "engine_tokens_per_s": tokens / min(ours)}
    if theirs:
        figures |= {"generate_s": min(theirs), "ratio": min(theirs) / min(ours)}
    return figures


def decoding_speed(batch: int, context: int, num_kv_heads: int, repeats: int) -> float:
    """Return sampled tokens per CPU second of a 0.2 M model, from 60 to ``context`` positions."""
    model = build(64, 3, 1200, num_kv_heads)
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
    for name, default in (("hidden", 256), ("layers", 4), ("repeats", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--engine-only", action="store_true", help="do not run the other side")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"turns": args.turns, "batch": args.batch, **compare(args)}
    for batch, context, num_kv_heads in itertools.product((64, 128), (160, 400), (4, 1)):
        name = f"decode_tokens_per_s_batch{batch}_context{context}_kv_heads{num_kv_heads}"
        figures[name] = decoding_speed(batch, context, num_kv_heads, args.repeats)
    for name, value in figures.items():
        print(f"{name:56} {value:12.2f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
