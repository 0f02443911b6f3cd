"""The update's forward and backward pass: the model's own modules, padded and packed, against the written-out pass.

    python benchmarks/update.py                                    # 0.25 M parameters, as the quick start has them
    python benchmarks/update.py --hidden 256 --layers 4 --heads 4 --kv-heads 2 --vocabulary 2048      # 3.7 M

One minibatch of the household's shape: groups of 8 that share a prompt of about 40 tokens, conversations of 90 to 210
tokens, of which a quarter are sampled, one advantage each. Every side makes forward and backward pass of the PPO loss
with the same vocabulary head. "padded" is the model's own attention with a padding mask, "modules" the packed pass
through its modules, "lean" the one written out (`agentrl/update/passes/lean.py`), "lean_merged" that with prompts
computed once. Gradients are compared with those of the padded side. "floor" is the time of the matrix products alone
that the layers and the head need without merging (forward, and twice that backward, nothing computed again), at the
rate of products of 512 rows with a layer's weights, measured in the same run. Times are CPU seconds of one thread,
interleaved, the minimum of the repeats. The last line is JSON.
"""

import argparse
import itertools
import json
import time
from typing import Any
from unittest import mock

import numpy as np
import torch
from random_models import random_model
from scored import LOSS, Ids, padded_score, relative_error, samples_of
from timing import timed
from torch import Tensor

from agentrl.seeding import generator
from agentrl.update.batch import Sample, pack
from agentrl.update.objective import policy_term
from agentrl.update.passes import lean
from agentrl.update.update import score

SIDES = ("padded", "modules", "lean", "lean_merged")


def conversations(groups: int, vocabulary: int) -> list[Sample]:
    """Return 8 samples per group: a prompt of its own, then turns of 9 sampled and observed tokens by turns."""
    rng = generator(0, "conversations")
    sequences: list[Ids] = []
    for _ in range(groups):
        prompt = rng.integers(vocabulary, size=rng.integers(35, 46), dtype=np.int32)
        for _ in range(8):
            rest = rng.integers(vocabulary, size=rng.integers(50, 170), dtype=np.int32)
            sequences.append(np.concatenate([prompt, rest]))
    scored = [(np.arange(len(ids)) >= 45) & (np.arange(len(ids)) % 9 < 3) for ids in sequences]
    return samples_of(sequences, scored)


def gradients(model: Any, samples: list[Sample], side: str) -> list[Tensor]:
    """Make forward and backward pass; return the gradients."""
    batch = pack(samples, merge=side == "lean_merged")
    with mock.patch.object(lean, "fits", lambda model: side.startswith("lean")):
        logprobs_A = padded_score(model, samples) if side == "padded" else score(model, batch)[0]
    loss_A, _ = policy_term(LOSS, logprobs_A, batch)
    return list(torch.autograd.grad(loss_A.mean(), list(model.parameters())))


def rate(width: int, inner: int) -> float:
    """Return floating-point operations per second of a layer's three products: forward, slope, gradient."""
    x, slope, weight = torch.randn(512, width), torch.randn(512, inner), torch.randn(inner, width)
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        for one, other in ((x, weight.T), (slope, weight), (slope.T, x)):
            torch.mm(one, other)
        seconds.append(time.perf_counter() - start)
    return 6 * x.numel() * inner / min(seconds)


def products(model: Any, samples: list[Sample]) -> float:
    """Return the floating-point operations that are needed: of the last layer, only those for scored tokens."""
    batch, config = pack(samples), model.config
    layer = model.model.layers[-1]
    whole = sum(p.numel() for p in layer.parameters() if p.dim() > 1)
    early = layer.self_attn.k_proj.weight.numel() + layer.self_attn.v_proj.weight.numel()
    tokens, scored = batch.num_tokens, len(batch.before_Q)
    layers = (config.num_hidden_layers - 1) * whole * tokens + early * tokens + (whole - early) * scored
    return 6.0 * (layers + config.vocab_size * config.hidden_size * scored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"hidden": 64, "layers": 3, "heads": 2, "kv-heads": 1, "vocabulary": 1536, "groups": 8, "repeats": 10}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = random_model(args.hidden, args.layers, args.vocabulary, heads=args.heads, kv_heads=args.kv_heads)
    samples = conversations(args.groups, args.vocabulary)
    assert lean.fits(model)
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    results: dict[str, list[Tensor]] = {}
    rates = []
    for _, side in itertools.product(range(args.repeats), SIDES):
        spent, results[side] = timed(lambda side=side: gradients(model, samples, side))  # type: ignore[misc]
        seconds[side].append(spent)
        rates.append(rate(args.hidden, 3 * args.hidden))
    best = {side: min(values) for side, values in seconds.items()}
    floor = products(model, samples) / max(rates)
    figures: dict[str, float] = {f"{side}_s": value for side, value in best.items()}
    figures |= {f"{side}_error": relative_error(results[side], results["padded"]) for side in SIDES[1:]}
    figures |= {f"{side}_vs_lean": best[side] / best["lean"] for side in SIDES if side != "lean"}
    figures |= {"tokens": float(sum(map(len, samples))), "scored": float(sum(s.num_scored for s in samples))}
    figures |= {"gflops": max(rates) / 1e9, "floor_s": floor, "lean_vs_floor": best["lean"] / floor}
    for key, value in figures.items():
        print(f"{key:22} {value:12.4g}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
