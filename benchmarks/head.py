"""The vocabulary head in an update: time and memory of a policy loss and its gradients, against keeping the logits.

    python benchmarks/head.py

*naive* computes all logits with the model's head, log-softmax, log-probs and entropies, the PPO loss, and lets autograd
keep what it wants. *ours* is `agentrl.update.head_loss`, as the update calls it, token by token and (*two passes*) as a
loss over sequences does. Times are CPU seconds of one thread, interleaved, the minimum of the repeats; memory is the
peak of a process of its own above what inputs, weight and their gradients take. Gradients agree to 1e-5 of the largest.
The last line is JSON.
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scored import samples_of
from timing import in_turns
from torch import Tensor

from agentrl.losses import Head, policy_loss
from agentrl.seeding import generator
from agentrl.update import head_loss
from agentrl.update.batch import Batch, pack

HIDDEN = 256
SIDES = ("naive", "ours", "two passes")


@dataclass(frozen=True)
class Case:
    """One size.

    Attributes:
      vocabulary: entries.
      tokens: scored ones of a micro-batch.
    """

    vocabulary: int
    tokens: int


def batch_of(tokens: int, vocabulary: int) -> Batch:
    """Return a batch with ``tokens`` scored tokens of random ids."""
    ids_L = generator(1, "head").integers(vocabulary, size=3 + tokens, dtype=np.int32)
    return pack(samples_of([ids_L], [np.arange(3 + tokens) >= 3]))


def work(case: Case, side: str) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return what one side does: forward and backward, giving the gradients of hidden states and weight."""
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(case.tokens, HIDDEN, generator=rng).requires_grad_()
    weight = (torch.randn(case.vocabulary, HIDDEN, generator=rng) * 0.1).requires_grad_()
    old = -5.0 * torch.rand(case.tokens, generator=rng)
    advantages = torch.randn(case.tokens, generator=rng)
    batch = batch_of(case.tokens, case.vocabulary)

    def loss(logprobs: Tensor, entropies: Tensor, at: Any) -> Tensor:
        losses: Tensor = policy_loss(logprobs, old[at], advantages[at]).loss_L - 0.01 * entropies
        return losses / case.tokens

    def run() -> tuple[Tensor, Tensor]:
        hidden.grad = weight.grad = None
        if side == "naive":
            logp = torch.log_softmax(hidden @ weight.T, dim=-1)
            logprobs = logp.gather(1, batch.targets_Q[:, None])[:, 0]
            total = loss(logprobs, -(logp.exp() * logp).sum(-1), slice(None)).sum()
        else:
            is_per_token = side == "ours"
            total, *_ = head_loss.head_loss(
                hidden, Head(weight), batch, loss, temperature=1.0, is_per_token=is_per_token
            )
        total.backward()  # type: ignore[no-untyped-call]
        assert hidden.grad is not None and weight.grad is not None
        return hidden.grad, weight.grad

    return run


def peak(case: Case, side: str, queue: Any) -> None:
    """Put the MiB that one run adds to this process's peak, its results aside, into ``queue``."""
    torch.set_num_threads(1)
    run = work(case, side)
    work(Case(300, 16), side)()  # what is loaded at first use
    before = high_water()
    gradients = run()
    queue.put(high_water() - before - sum(gradient.nbytes for gradient in gradients) / 2**20)


def high_water() -> float:
    """Return the most memory that this process has had resident, MiB (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def memory(case: Case, side: str) -> float:
    """Return the peak of a process of its own, MiB."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=peak, args=(case, side, queue))
    process.start()
    found: float = queue.get()
    process.join()
    return found


def seconds(case: Case, repeats: int) -> dict[str, float]:
    """Return the CPU seconds of each side, and check that gradients agree."""
    runs = {side: work(case, side) for side in SIDES}
    naive = [gradient.clone() for gradient in runs["naive"]()]
    for side in SIDES[1:]:
        for one, other in zip(runs[side](), naive, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))
    return in_turns(runs, repeats)[0]


def main() -> None:
    """Measure all sizes, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[151_936, 2_048])
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 4_096])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"hidden size {HIDDEN}\n")
    print("| vocabulary | tokens | naive, s | ours | two passes | naive, MiB | ours | two passes |")
    print("|---|---|---|---|---|---|---|---|")
    for vocabulary in arguments.vocabularies:
        for tokens in arguments.tokens:
            case = Case(vocabulary, tokens)
            took = seconds(case, arguments.repeats)
            held = {side: memory(case, side) for side in SIDES}
            print(
                f"| {vocabulary:,} | {tokens:,} | {took['naive']:.2f} | "
                f"{took['ours'] / took['naive']:.2f} × | {took['two passes'] / took['naive']:.2f} × | "
                f"{held['naive']:.0f} | {held['ours']:.0f} | {held['two passes']:.0f} |",
                flush=True,
            )
            rows.append({"vocabulary": vocabulary, "tokens": tokens, "seconds": took, "mib": held})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
