"""How many tokens must a fork of merged sequences save? Forward and backward pass of a minibatch for several answers.

    python benchmarks/forks.py --policy runs/quickstart/policy

The policy plays one iteration of the quick start; its first minibatch of whole groups is computed unmerged (0) and
merged with each value of ``--least`` in place of `agentrl.update.batch.LEAST_SAVED`. CPU seconds of one thread,
interleaved, the minimum of the repeats. The last line is JSON.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from scored import LOSS
from timing import in_turns

from agentrl.seeding import generator
from agentrl.trainer.config import load_config
from agentrl.trainer.run import Run
from agentrl.update import batch
from agentrl.update.batch import Batch, Sample
from agentrl.update.dealing import mini_batches
from agentrl.update.update import policy_term, score

QUICKSTART = Path(__file__).resolve().parent.parent / "examples" / "quickstart.yaml"


def played(policy: Path, tasks: int, directory: str) -> tuple[Any, list[Sample]]:
    """Return the model and the samples of one iteration that it played."""
    settings = {
        "policy.path": policy.resolve(),
        "warm_start.steps": 0,
        "warm_start.control_steps": 0,
        "rollout.tasks_per_iteration": tasks,
        "eval.tasks": 1,
        "eval.greedy": "false",
        "run.processes": 1,
        "run.directory": directory,
    }
    with Run(load_config(QUICKSTART, [f"{key}={value}" for key, value in settings.items()])) as run:
        run.warm_start()
        rollout = run.collect()
        samples = run.assign_credit(rollout.trajectories).samples(rollout.trajectories)
        return run.learner.model, samples


def passes(model: Any, samples: list[Sample], least: int) -> Batch:
    """Pack, make the forward and the backward pass, and return the batch."""
    with mock.patch.object(batch, "LEAST_SAVED", least):
        packed = batch.pack(samples, merge=least > 0)
    loss_A, _ = policy_term(LOSS, score(model, packed)[0], packed)
    torch.autograd.grad(loss_A.mean(), list(model.parameters()))
    return packed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True, help="folder of a trained policy of the quick start")
    parser.add_argument("--least", type=int, nargs="+", default=[1, 8, 16, 32, 64])
    parser.add_argument("--tasks", type=int, default=32, help="in groups of eight")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--whole-groups", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        model, samples = played(args.policy, args.tasks, directory)
    first = mini_batches(samples, 4, generator(0, "forks"), keep_groups=args.whole_groups)[0]
    sides: dict[int, Callable[[], Batch]] = {least: partial(passes, model, first, least) for least in (0, *args.least)}
    seconds, batches = in_turns({str(least): work for least, work in sides.items()}, args.repeats)
    print("| forks must save | forks | tokens computed | CPU seconds |\n|---|---|---|---|")
    figures = {}
    for least, took in seconds.items():
        forks = len(batches[least].packing.parts)
        figures[least] = {"forks": forks, "tokens": batches[least].num_tokens, "seconds": took}
        print(f"| {least} | {forks} | {batches[least].num_tokens:,} | {took:.3f} |")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
