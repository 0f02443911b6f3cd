"""Does branching where entropy rises save environment steps? Six arms on the household, with seeds.

Every arm starts from the same warm start (that of `benchmarks/learning.py` for the seed, made here if it is not there)
and trains for the same number of iterations, so of trajectories: 32 groups of 8. GRPO, ARPO, AEPO and `chance` use
GRPO's advantages; GiGPO, and GiGPO on the forks of ARPO, those of anchor states beside them. ARPO's threshold lies
above alpha: with the paper's alpha = tau every rise of entropy forks, and the budget is gone after two turns. `chance`
forks a path at a quarter of its turns, whatever the entropy: what ARPO has beyond it is owed to the entropy, the rest
to the sharing.

Success is read off twice: after the same number of trajectories, and after the same number of environment steps (shared
turns count once), by linear interpolation between evaluations.

    python benchmarks/branching_study.py --seeds 0 1 2 --warm-starts runs/learning --directory runs/branching-study

Finished runs are not repeated. Writes `curves.png` into the directory; the last line of the output is JSON.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trials import ROOT, interval, results

SAMPLER = "initial: 4, tokens: 8, scale: mean"
ARMS = {
    "GRPO": ["algorithm={name: grpo}"],
    "ARPO": ["algorithm={name: arpo, base: grpo}", f"rollout.sampler={{name: arpo, tau: 0.55, {SAMPLER}}}"],
    "AEPO": ["algorithm={name: aepo}", "rollout.sampler={name: aepo, tokens: 8, scale: mean}"],
    "chance": [
        "algorithm={name: arpo, base: grpo}",
        f"rollout.sampler={{name: arpo, rule: chance, alpha: 0.25, beta: 0.0, {SAMPLER}}}",
    ],
    "GiGPO": ["algorithm={name: gigpo}"],
    "GiGPO, forked": [
        "algorithm={name: arpo, base: gigpo}",
        f"rollout.sampler={{name: arpo, tau: 0.55, {SAMPLER}}}",
    ],
}
COLORS = dict(zip(ARMS, ("#444444", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"), strict=True))


def curve(directory: Path, found: dict[str, Any]) -> NDArray[np.float64]:
    """Return (environment steps, success sampled) at each evaluation of a run, shape (E, 2), steps ascending."""
    steps = {0: 0.0}
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "environment_steps_total" in row:
            steps[row["index"]] = row["environment_steps_total"]
    names = {i: f"iteration {i}" for i in steps} | {0: "initial policy"}
    points = [(steps[i], found[name]["sampled"]["success"]) for i, name in names.items() if name in found]
    return np.array(sorted(points))


def report(curves: dict[str, list[NDArray[np.float64]]]) -> dict[str, dict[str, list[float]]]:
    """Print both comparisons and return each seed's numbers by arm."""
    budget = min(one[-1, 0] for arm in curves.values() for one in arm)
    numbers = {
        arm: {
            "steps": [float(one[-1, 0]) for one in ones],
            "equal_trajectories": [float(one[-1, 1]) for one in ones],
            "equal_steps": [float(np.interp(budget, one[:, 0], one[:, 1])) for one in ones],
        }
        for arm, ones in curves.items()
    }
    print(f"\n| arm | steps, thousands | success, equal trajectories | success after {budget / 1000:.0f}k steps |")
    print("|---|---|---|---|")
    for arm, found in numbers.items():
        thousands = float(np.mean(found["steps"])) / 1000
        print(
            f"| {arm} | {thousands:.0f} | {interval(found['equal_trajectories'])} | {interval(found['equal_steps'])} |"
        )
    for arm in list(numbers)[1:]:
        for key in ("equal_trajectories", "equal_steps"):
            gaps = np.subtract(numbers[arm][key], numbers["GRPO"][key])
            print(f"{arm} - GRPO, {key.replace('_', ' ')}: {interval([float(gap) for gap in gaps])} points")
    return numbers


def plot(curves: dict[str, list[NDArray[np.float64]]], path: Path) -> None:
    """Draw success against environment steps: seeds thin, their mean thick."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for arm, ones in curves.items():
        grid = np.linspace(0, min(one[-1, 0] for one in ones), 100)
        for one in ones:
            axes.plot(one[:, 0] / 1e3, 100 * one[:, 1], color=COLORS[arm], linewidth=0.8, alpha=0.35)
        mean = np.mean([np.interp(grid, one[:, 0], one[:, 1]) for one in ones], axis=0)
        axes.plot(grid / 1e3, 100 * mean, color=COLORS[arm], linewidth=2.2, label=arm)
    axes.set(xlabel="environment steps, thousands", ylabel="success on unseen rooms, sampled, %")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def run_arms(
    seeds: Sequence[int], warm_starts: Path, directory: Path, config: Path, iterations: int
) -> dict[str, list[NDArray[np.float64]]]:
    """Train what is missing and return the curves of every arm."""
    curves: dict[str, list[NDArray[np.float64]]] = {arm: [] for arm in ARMS}
    for seed in seeds:
        warm = (warm_starts / f"seed-{seed}" / "gigpo" / "warm_start_policy").resolve()
        if not warm.exists():
            results(config, warm.parent, [f"run.seed={seed}", "run.iterations=0"])
        for arm, overrides in ARMS.items():
            folder = (directory / f"seed-{seed}" / arm.lower().replace(", ", "-")).resolve()
            common = [f"run.seed={seed}", f"policy.path={warm}", "warm_start.steps=0", f"run.iterations={iterations}"]
            common += [f"eval.every={max(1, iterations // 5)}", "eval.greedy=false", "update.keep_groups=true"]
            curves[arm].append(curve(folder, results(config, folder, [*common, *overrides])))
    return curves


def main() -> None:
    """Run what is missing, print the tables, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at most eight")
    parser.add_argument("--warm-starts", type=Path, default=Path("runs/learning"))
    parser.add_argument("--directory", type=Path, default=Path("runs/branching-study"))
    parser.add_argument("--config", type=Path, default=ROOT / "examples" / "quickstart.yaml")
    parser.add_argument("--iterations", type=int, default=30)
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    curves = run_arms(
        arguments.seeds, arguments.warm_starts, arguments.directory, arguments.config, arguments.iterations
    )
    numbers = report(curves)
    plot(curves, arguments.directory / "curves.png")
    print(json.dumps(numbers))


if __name__ == "__main__":
    main()
