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
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from agentrl.algorithms.base import LossSettings
from agentrl.losses import token_logprobs
from agentrl.seeding import generator
from agentrl.types import TokenSequence
from agentrl.update.batch import Sample, pack
from agentrl.update.passes import lean
from agentrl.update.update import policy_term, score

VOCAB_SIZE = 2048
LOSS = LossSettings()
Ids = NDArray[np.int32]


def build(hidden_size: int, num_layers: int, num_kv_heads: int) -> Any:
    """Return a random model."""
    config = Qwen2Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=num_kv_heads,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Qwen2ForCausalLM(config)


def samples_of(sequences: Sequence[Ids], scored: Sequence[NDArray[np.bool_]]) -> list[Sample]:
    """Return samples with an advantage of each sequence's own."""
    rng = generator(0, "advantages")
    samples = []
    for number, (ids_L, scored_L) in enumerate(zip(sequences, scored, strict=True)):
        old_L = np.where(scored_L, -np.log(VOCAB_SIZE), 0).astype(np.float32)
        turns_L = np.where(scored_L, 0, -1).astype(np.int32)
        sequence = TokenSequence(ids_L, scored_L, old_L, np.zeros(len(ids_L), np.float32), turns_L)
        advantages_L = np.where(scored_L, rng.standard_normal(), np.nan)
        samples.append(Sample(sequence, advantages_L, np.where(scored_L, number, -1).astype(np.int64), old_L))
    return samples


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


def padded_score(model: Any, samples: Sequence[Sample]) -> Tensor:
    """Return log-probs of the scored tokens from a right-padded batch, in the order of `pack`."""
    lengths = torch.tensor([len(sample) for sample in samples])
    ids_SL = torch.zeros(len(samples), int(lengths.max()), dtype=torch.int64)
    scored_SL = torch.zeros_like(ids_SL, dtype=torch.bool)
    for row, sample in enumerate(samples):
        ids_SL[row, : len(sample)] = torch.from_numpy(sample.sequence.ids_L)
        scored_SL[row, : len(sample)] = torch.from_numpy(np.isfinite(sample.advantages_L))
    mask_SL = (torch.arange(ids_SL.shape[1]) < lengths[:, None]).long()
    hidden_SLH = model.base_model(input_ids=ids_SL, attention_mask=mask_SL, use_cache=False).last_hidden_state
    hidden_AH = hidden_SLH[:, :-1][scored_SL[:, 1:]]
    weight_VH = model.get_output_embeddings().weight
    return token_logprobs(hidden_AH, weight_VH, ids_SL[:, 1:][scored_SL[:, 1:]], chunk=1024)[0]


def gradients(model: Any, samples: Sequence[Sample], side: str) -> list[Tensor]:
    """Make forward and backward pass; return the gradients."""
    batch = pack(samples, merge=side == "tree")
    logprobs_A = padded_score(model, samples) if side == "padded" else score(model, batch)[0]
    loss_A, _ = policy_term(LOSS, logprobs_A, batch)
    return list(torch.autograd.grad(loss_A.mean(), list(model.parameters())))


def relative_error(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the largest error of a parameter's gradient, relative to that gradient's norm."""
    return max(float((one - other).norm() / other.norm()) for one, other in zip(ones, others, strict=True))


def timed(work: Callable[[], list[Tensor]]) -> tuple[float, list[Tensor]]:
    """Return CPU seconds and result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def compare(model: Any, samples: Sequence[Sample], sides: Sequence[str], repeats: int) -> dict[str, float]:
    """Time the sides, interleaved; check that they give the gradients of the first."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    results: dict[str, list[Tensor]] = {}
    for _, side in itertools.product(range(repeats), sides):
        spent, results[side] = timed(lambda side=side: gradients(model, samples, side))  # type: ignore[misc]
        seconds[side].append(spent)
    tokens = {side: pack(samples, merge=side == "tree").num_tokens for side in ("packed", "tree")}
    figures = {f"{side}_s": min(values) for side, values in seconds.items()}
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
    model = build(args.hidden, args.layers, args.kv_heads)
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
