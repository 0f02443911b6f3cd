"""A whole training iteration (rollout, credit, update) beside TRL's ``GRPOTrainer`` with ``environment_factory``.

    make .venv-trl/installed
    python benchmarks/iteration.py [--policy runs/quickstart/policy]

Both sides play the same tasks of the household with the same policy, GRPO's credit and the same number of optimizer
steps on one CPU thread, each in a process of its own with the same settings of the allocator. Three policies: 0.23 M,
trained (``--policy``, or a short warm start made here once); 0.23 M with random weights, which plays all its turns;
4 M, after a short warm start. Figures are CPU seconds of an iteration, the first left out; the least of ``--repeats``.
In the first iteration, played by the same weights, success must agree. Without TRL its side is skipped, with the
reason. The last line is JSON.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timing import KEEPS_BLOCKS

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "examples" / "quickstart.yaml"
TRL_SIDE = ROOT / "benchmarks" / "iteration_trl.py"
MINIBATCHES, LEARNING_RATE = 4, 4e-4


@dataclass(frozen=True)
class Case:
    """A policy to iterate with.

    Attributes:
      build: how it differs from the quick start's.
      warm_steps: of imitation; 0 leaves the weights random.
      demonstrations: to imitate.
    """

    build: dict[str, int]
    warm_steps: int
    demonstrations: int = 3000


CASES = {
    "trained 0.23 M": Case({}, 800),
    "random 0.23 M": Case({}, 0),
    "trained 4 M": Case({"hidden_size": 256, "num_layers": 4, "num_heads": 4, "num_kv_heads": 4}, 200),
}

ENVIRON = {
    "OMP_NUM_THREADS": "1",
    **KEEPS_BLOCKS,
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "HF_HUB_OFFLINE": "1",
}


def main() -> None:
    """Run the cases, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, help="folder of a trained policy, for the first case")
    parser.add_argument("--trl", type=Path, default=ROOT / ".venv-trl" / "bin" / "python", help="Python that has TRL")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--iterations", type=int, default=3, help="in each process; the first is not counted")
    parser.add_argument("--repeats", type=int, default=2, help="processes of each side, taking turns")
    parser.add_argument("--tasks", type=int, default=32, help="of an iteration, in groups of eight")
    parser.add_argument("--algorithm", default="grpo")
    parser.add_argument("--rows", type=int, default=64, help="TRL's sequences per pass, at most a minibatch")
    parser.add_argument("--directory", type=Path, default=ROOT / "runs" / "iteration", help="policies are kept here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of our configuration")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        print(json.dumps(iterate(json.loads(arguments.ours.read_text()))))
        return
    missing = why_not(arguments.trl)
    if missing:
        print(f"TRL's side is skipped: {missing}")
    figures = {name: compare(name, arguments, with_trl=not missing) for name in arguments.cases}
    for name, row in figures.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in row.items()))
    print(json.dumps(figures | {"skipped": missing}))


def why_not(python: Path) -> str | None:
    """Return why TRL cannot be run; None if it can."""
    if not python.exists():
        return f"there is no {python}; `make .venv-trl/installed` makes it"
    found = subprocess.run(
        [python, "-c", "import trl; print(trl.__version__)"], capture_output=True, text=True, check=False
    )
    return None if found.returncode == 0 else f"{python} cannot import trl: {found.stderr.strip().splitlines()[-1]}"


def compare(name: str, arguments: argparse.Namespace, *, with_trl: bool) -> dict[str, float]:
    """Run one case on both sides in turn; return CPU seconds an iteration, success, and ratios."""
    folder = arguments.directory / name.replace(" ", "-")
    policy = arguments.policy if arguments.policy and name.startswith("trained 0.23") else made_policy(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    job = folder / "job.json"
    settings = {"policy": str(policy.resolve()), "directory": str(folder / "run"), "overrides": arguments.set}
    job.write_text(
        json.dumps(settings | {key: getattr(arguments, key) for key in ("iterations", "tasks", "algorithm")})
    )
    ours, theirs = [], []
    for _ in range(arguments.repeats):
        ours.append(child(sys.executable, __file__, "--ours", job))
        if with_trl:
            job_trl = folder / "job-trl.json"
            job_trl.write_text(json.dumps(ours[-1]["job"] | {"rows": arguments.rows}))
            theirs.append(child(arguments.trl, TRL_SIDE, job_trl))
            check_success(ours[-1]["iterations"][0], theirs[-1]["iterations"][0])
    row = summary("ours", ours)
    if theirs:
        row |= summary("trl", theirs)
        row |= {part: row[f"trl_{part}_s"] / row[f"ours_{part}_s"] for part in ("whole", "rollout", "update")}
    return row


def made_policy(name: str, folder: Path) -> Path:
    """Return the folder of a case's policy; made at the first call, kept for the next."""
    case, policy = CASES[name], folder / "policy"
    if not (policy / "config.json").exists():
        build = [f"policy.build.{key}={value}" for key, value in case.build.items()]
        made = folder / "making"
        settings = [
            *(f"warm_start.{key}={value}" for key, value in (("steps", case.warm_steps), ("control_steps", 0))),
            f"warm_start.demonstrations={case.demonstrations}",
            *(f"eval.{key}={value}" for key, value in (("tasks", 1), ("greedy", "false"))),
            *("run.iterations=0", f"run.directory={made}"),
        ]
        command = [sys.executable, "-m", "agentrl.cli", "train", str(QUICKSTART), "--fresh"]
        for setting in build + settings:
            command += ["--set", setting]
        subprocess.run(command, check=True, cwd=ROOT)
        (made / "policy").rename(policy)
    return policy


def child(*command: str | Path) -> dict[str, Any]:
    """Run one side in a process of its own; return what it printed last."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("", "envs", "tools"))
    environ = {**os.environ, **ENVIRON, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environ)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def iterate(job: dict[str, Any]) -> dict[str, Any]:
    """Train for some iterations, our side: the stages of ``agentrl.trainer.loop.train``, each with its CPU time."""
    import torch

    from agentrl.seeding import derive
    from agentrl.trainer.config import load_config
    from agentrl.trainer.run import Run

    torch.set_num_threads(1)
    settings = {
        "policy.path": job["policy"],
        "warm_start.steps": 0,
        "warm_start.control_steps": 0,
        "algorithm": f"{{name: {job['algorithm']}}}",
        "rollout.tasks_per_iteration": job["tasks"],
        "update.minibatches": MINIBATCHES,
        "update.lr": LEARNING_RATE,
        "update.warmup_iterations": 0,
        "update.final_lr_share": 1.0,
        "eval.tasks": 1,
        "eval.greedy": "false",
        "run.iterations": job["iterations"],
        "run.processes": 1,
        "run.directory": job["directory"],
    }
    shutil.rmtree(job["directory"], ignore_errors=True)
    config = load_config(QUICKSTART, [f"{key}={value}" for key, value in settings.items()] + job["overrides"])
    rows, tasks = [], []
    with Run(config) as run:
        run.warm_start()
        for _ in range(config.run.iterations):
            start = time.process_time()
            rollout = run.collect()
            played = time.process_time()
            credit = run.assign_credit(rollout.trajectories)
            begun = time.process_time()
            metrics = run.update(rollout.trajectories, credit)
            updated = time.process_time()
            run.record(rollout, credit, metrics)
            rows.append(
                {
                    "rollout_s": played - start,
                    "update_s": updated - begun,
                    "whole_s": time.process_time() - start,
                    **described(rollout.trajectories),
                }
            )
            for index, (_, task) in enumerate(sorted({(t.group, t.task_id) for t in rollout.trajectories})):
                tasks.append((task, derive(config.run.seed, "env", len(rows) - 1, index)))
    trl = {
        "policy": job["policy"],
        "env_id": config.env.id,
        "env_kwargs": config.env.kwargs,
        "tasks": tasks,
        "iterations": job["iterations"],
        "group_size": config.rollout.group_size,
        "minibatches": config.update.minibatches,
        "lr": config.update.lr,
        "betas": config.update.betas,
        "max_grad_norm": config.update.max_grad_norm,
        "turn_tokens": config.context.max_turn_tokens,
        "context": config.context.max_context,
    }
    return {"iterations": rows, "job": trl}


def described(trajectories: list[Any]) -> dict[str, float]:
    """Return what was played: success, turns and tokens (prompts included) are means over the episodes."""
    count = len(trajectories)
    return {
        "success": sum(trajectory.success for trajectory in trajectories) / count,
        "turns": sum(len(trajectory.turns) for trajectory in trajectories) / count,
        "tokens": sum(len(sequence) for trajectory in trajectories for sequence in trajectory.sequences) / count,
        "episodes": count,
    }


def check_success(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """Check that the same weights had the same success on the same tasks, to within five standard errors.

    Raises:
      SystemExit: they had not: the sides do not do the same.
    """
    count = ours["episodes"]
    share = (ours["success"] + theirs["success"]) / 2
    error = math.sqrt(max(share * (1 - share), 1 / count) * 2 / count)
    if abs(ours["success"] - theirs["success"]) > 5 * error:
        raise SystemExit(f"success of the same weights differs: ours {ours['success']}, TRL's {theirs['success']}")


def summary(side: str, runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the CPU seconds of an iteration after the first, least of the runs, and what was played."""
    row = {}
    for part in ("whole", "rollout", "update"):
        means = [sum(one[f"{part}_s"] for one in run["iterations"][1:]) / (len(run["iterations"]) - 1) for run in runs]
        row[f"{side}_{part}_s"] = min(means)
    first = runs[0]["iterations"][0]
    return row | {f"{side}_{key}": first[key] for key in ("success", "turns", "tokens")}


if __name__ == "__main__":
    main()
