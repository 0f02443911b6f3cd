"""What reinforcement learning adds to imitation, and GiGPO to GRPO: several seeds, one table with intervals.

For each seed: the quick start (demonstrator, warm start, GiGPO, supervised control of about the same time), then
GRPO from the same warm start with the same budget of episodes. Takes about twelve minutes a seed on two cores.

    python benchmarks/learning.py --seeds 0 1 2 --directory runs/learning

Finished runs are not repeated. The last line of the output is JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from trials import ROOT, interval, resolution, results

ROWS = (
    ("demonstrator", "gigpo", "demonstrator", "demonstrator"),
    ("warm start, sampled", "gigpo", "warm start", "sampled"),
    ("warm start, greedy", "gigpo", "warm start", "greedy"),
    ("supervised control, sampled", "gigpo", "supervised control", "sampled"),
    ("supervised control, greedy", "gigpo", "supervised control", "greedy"),
    ("GiGPO, sampled", "gigpo", "result", "sampled"),
    ("GiGPO, greedy", "gigpo", "result", "greedy"),
    ("GRPO, sampled", "grpo", "result", "sampled"),
    ("GRPO, greedy", "grpo", "result", "greedy"),
)
DIFFERENCES = (
    ("GiGPO - warm start, sampled", 5, 1),
    ("GiGPO - control, sampled", 5, 3),
    ("GiGPO - control, greedy", 6, 4),
    ("GiGPO - GRPO, sampled", 5, 7),
    ("GiGPO - GRPO, greedy", 6, 8),
)


def main() -> None:
    """Run what is missing, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at most eight")
    parser.add_argument("--directory", type=Path, default=Path("runs/learning"))
    parser.add_argument("--config", type=Path, default=ROOT / "examples" / "quickstart.yaml")
    parser.add_argument(
        "--control-steps", type=int, default=2400, help="updates of the control: about as long as reinforcement takes"
    )
    arguments = parser.parse_args()
    runs: list[dict[str, dict[str, Any]]] = []
    for seed in arguments.seeds:
        folder = (arguments.directory / f"seed-{seed}").resolve()
        control = f"warm_start.control_steps={arguments.control_steps}"
        gigpo = results(arguments.config, folder / "gigpo", [f"run.seed={seed}", control])
        from_warm_start = [f"policy.path={folder / 'gigpo' / 'warm_start_policy'}", "warm_start.steps=0"]
        grpo = results(
            arguments.config, folder / "grpo", [f"run.seed={seed}", "algorithm={name: grpo}", *from_warm_start]
        )
        runs.append({"gigpo": gigpo, "grpo": grpo})
    table = [[run[algorithm][name][mode]["success"] for run in runs] for _, algorithm, name, mode in ROWS]
    print(f"\n| success on valid_unseen, % | mean of {len(runs)} seeds, 95 % interval | each seed |\n|---|---|---|")
    for (label, *_), values in zip(ROWS, table, strict=True):
        print(f"| {label} | {interval(values)} | {', '.join(f'{100 * value:.1f}' for value in values)} |")
    for label, one, other in DIFFERENCES:
        gaps = [a - b for a, b in zip(table[one], table[other], strict=True)]
        print(f"| *{label}* | {interval(gaps)} | {', '.join(f'{100 * gap:+.1f}' for gap in gaps)} |")
    for label, one, other in DIFFERENCES:
        print(f"{label}: {resolution([a - b for a, b in zip(table[one], table[other], strict=True)])}")
    print(json.dumps({label: values for (label, *_), values in zip(ROWS, table, strict=True)}))


if __name__ == "__main__":
    main()
