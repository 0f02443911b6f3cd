"""The update of a forest: sequences padded, packed, and merged where they begin alike.

    python benchmarks/tree_update.py

Branches: 16 sequences that share 60 % of their tokens on average, from one fork and from two levels of forks (4 × 4).
Prompts: one sequence per turn, each the whole conversation so far, as a trajectory of a ``window`` context without end.
Every side makes forward and backward pass of the PPO loss, with an advantage per sequence, through the same Hugging
Face model with the same vocabulary head; gradients are compared with those of the padded side (of the packed side for
prompts). "Padded" is the model's own attention with a padding mask. Times are CPU seconds of one thread, interleaved,
the minimum of the repeats; merging the ids is part of the time. "Token bound" is the ratio of packed to unique tokens.
The last line is JSON.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from random_models import random_model
from scored import LOSS, VOCAB_SIZE, Ids, padded_score, relative_error, samples_of
from timing import in_turns
from torch import Tensor

from agentrl.seeding import generator
from agentrl.update.batch import Sample, pack
from agentrl.update.objective import policy_term
from agentrl.update.passes import lean
from agentrl.update.update import score


def branches(mean: int, shared: float, levels: Sequence[int]) -> list[Sample]:
    """Return branches whose forks split the shared part evenly over the levels; suffixes are lognormal, sigma 0.6.

    Half the tokens are scored, in turns of 75 observed and 75 sampled ones.
    """
    rng = generator(0, "branches")
    prefixes: list[Ids] = [np.empty(0, np.int32)]
    for count in levels:
        size = round(mean * shared / len(levels))
        grown = [np.concatenate([p, rng.integers(0, VOCAB_SIZE, size, dtype=np.int32)]) for p in prefixes]
        prefixes = [p for p in grown for _ in range(count)]
    draws = rng.lognormal(0, 0.6, len(prefixes))
    sizes = np.maximum(1, np.round(draws / draws.mean() * mean * (1 - shared)).astype(int))
    sequences = [
        np.concatenate([p, rng.integers(0, VOCAB_SIZE, size, dtype=np.int32)])
        for p, size in zip(prefixes, sizes, strict=True)
    ]
    return samples_of(sequences, [np.arange(len(ids)) % 150 >= 75 for ids in sequences])


def prompts(turns: int, prompt: int = 300, observed: int = 110, sampled: int = 40) -> list[Sample]:
    """Return one sequence per turn, each the conversation up to that turn, its last message scored."""
    length = prompt + turns * (observed + sampled)
    whole = generator(0, "prompts").integers(0, VOCAB_SIZE, length, dtype=np.int32)
    ends = [prompt + (turn + 1) * (observed + sampled) for turn in range(turns)]
    return samples_of([whole[:end] for end in ends], [np.arange(end) >= end - sampled for end in ends])


def gradients(model: Any, samples: Sequence[Sample], side: str) -> list[Tensor]:
    """Make forward and backward pass; return the gradients."""
    batch = pack(samples, merge=side == "tree")
    logprobs_A = padded_score(model, samples) if side == "padded" else score(model, batch)[0]
    loss_A, _ = policy_term(LOSS, logprobs_A, batch)
    return list(torch.autograd.grad(loss_A.mean(), list(model.parameters())))


def compare(model: Any, samples: Sequence[Sample], sides: Sequence[str], repeats: int) -> dict[str, float]:
    """Time the sides, interleaved; check that they give the gradients of the first."""
    work = {side: lambda side=side: gradients(model, samples, side) for side in sides}
    seconds, results = in_turns(work, repeats)
    tokens = {side: pack(samples, merge=side == "tree").num_tokens for side in ("packed", "tree")}
    figures = {f"{side}_s": least for side, least in seconds.items()}
    figures |= {f"{side}_tokens": float(count) for side, count in tokens.items()}
    figures |= {f"{side}_error": relative_error(results[side], results[sides[0]]) for side in sides[1:]}
    figures |= {f"tree_vs_{side}": figures[f"{side}_s"] / figures["tree_s"] for side in sides if side != "tree"}
    figures["token_bound"] = tokens["packed"] / tokens["tree"]
    figures["share_of_bound"] = figures["tree_vs_packed"] / figures["token_bound"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("hidden", 256), ("layers", 4), ("kv-heads", 4), ("mean", 1200), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--cases", nargs="*", help="names of the cases to run; all without")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = random_model(args.hidden, args.layers, VOCAB_SIZE, kv_heads=args.kv_heads, family="Qwen2")
    branch_sides, prompt_sides = ("padded", "packed", "tree"), ("packed", "tree")
    cases = {
        "branches_one_level": (branches(args.mean, 0.6, (16,)), branch_sides),
        "branches_two_levels": (branches(args.mean, 0.6, (4, 4)), branch_sides),
        "nothing_shared": (branches(args.mean, 0.0, (16,)), branch_sides),
        "prompts_15": (prompts(15), prompt_sides),
        "prompts_30": (prompts(30), prompt_sides),
    }
    figures: dict[str, dict[str, float]] = {}
    for name, (samples, sides) in cases.items():
        if args.cases and name not in args.cases:
            continue
        with mock.patch.object(lean, "fits", lambda model: False):  # what merging alone brings
            figures[name] = compare(model, samples, sides, args.repeats)
        for key, value in figures[name].items():
            print(f"{name:22} {key:20} {value:12.4g}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
