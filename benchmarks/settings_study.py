"""Does a setting change what is learned? The quick start with each of its values, several seeds.

    python benchmarks/settings_study.py policy.dtype float32 bfloat16 --figure docs/figures/precision.png
    python benchmarks/settings_study.py update.keep_groups true false --figure docs/figures/keep_groups.png

All arms of a seed begin from one warm start, made with the first value (with ``--from-nothing`` each from its own).
Success in training is compared, iteration by iteration, and success on unseen tasks at the end, with 95 % intervals
over seeds. Finished runs are not repeated. The last line of the output is JSON.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trials import ROOT, interval, resolution, results

from agentrl.trainer.directory.metrics import read_metrics

SMOOTHED_OVER = 10
MODES = ("sampled", "greedy")


def arms(arguments: argparse.Namespace, seed: int) -> dict[str, Path]:
    """Run what is missing of a seed and return the directory of each value's run."""
    directory = arguments.directory or Path("runs") / f"settings-{arguments.setting}"
    folder = (directory / f"seed-{seed}").resolve()
    common = [f"run.seed={seed}", *arguments.set]
    begin: list[str] = []
    if not arguments.from_nothing:
        first = f"{arguments.setting}={arguments.values[0]}"
        results(arguments.config, folder / "warm-start", [*common, first, "run.iterations=0"])
        begin = [f"policy.path={folder / 'warm-start' / 'policy'}", "warm_start.steps=0"]
    found = {}
    for value in arguments.values:
        results(arguments.config, folder / value, [*common, *begin, f"{arguments.setting}={value}"])
        found[value] = folder / value
    return found


def curve(directory: Path) -> NDArray[np.float64]:
    """Return the smoothed success of the training episodes, iteration by iteration."""
    success = [record["success"] for record in read_metrics(directory) if record["stage"] == "reinforce"]
    window = min(SMOOTHED_OVER, len(success))
    return np.convolve(success, np.ones(window) / window, mode="valid")


def final(config: Path, directory: Path) -> dict[str, float]:
    """Return success on unseen tasks by mode, the area under the curve of training, and the seconds it took."""
    found = results(config, directory, [])["result"]
    training = [record for record in read_metrics(directory) if record["stage"] == "reinforce"]
    mean = float(np.mean([record["success"] for record in training]))
    seconds = training[-1]["elapsed_s"] - training[0]["elapsed_s"]
    return {mode: found[mode]["success"] for mode in MODES} | {"mean over training": mean, "seconds": seconds}


def draw(runs: Sequence[dict[str, Path]], setting: str, path: Path) -> None:
    """Plot the curve of every run, one colour a value."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for number, value in enumerate(runs[0]):
        for seed, run in enumerate(runs):
            heights = 100 * curve(run[value])
            label = f"{setting}={value}" if seed == 0 else None
            axes.plot(np.arange(len(heights)) + SMOOTHED_OVER, heights, color=f"C{number}", linewidth=1.2, label=label)
    axes.set(xlabel="iteration", ylabel=f"success in training, %, mean of {SMOOTHED_OVER}")
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


def main() -> None:
    """Run what is missing, draw the curves, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", help="key of the configuration, section.key")
    parser.add_argument("values", nargs="+", help="the first is what the others are compared with")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at most eight")
    parser.add_argument("--config", type=Path, default=ROOT / "examples" / "quickstart.yaml")
    parser.add_argument("--directory", type=Path, help="of the runs; runs/settings-SETTING by default")
    parser.add_argument("--figure", type=Path, default=Path("runs/settings.png"))
    parser.add_argument("--set", action="append", default=[], help="section.key=value for all runs")
    parser.add_argument("--from-nothing", action="store_true", help="a warm start for each value")
    arguments = parser.parse_args()
    runs = [arms(arguments, seed) for seed in arguments.seeds]
    draw(runs, arguments.setting, arguments.figure)
    numbers: dict[str, list[dict[str, float]]] = {
        value: [final(arguments.config, run[value]) for run in runs] for value in arguments.values
    }
    base, *others = arguments.values
    notes = []
    print(f"\n| {arguments.setting} | success, % | mean of {len(runs)} seeds, 95 % interval | each seed |")
    print("|---|---|---|---|")
    for key in (*MODES, "mean over training"):
        columns: dict[str, list[float]] = {value: [one[key] for one in numbers[value]] for value in arguments.values}
        for value, column in columns.items():
            print(f"| {value} | {key} | {interval(column)} | {', '.join(f'{100 * x:.1f}' for x in column)} |")
        for value in others:
            gaps = [x - y for x, y in zip(columns[value], columns[base], strict=True)]
            each = ", ".join(f"{100 * gap:+.1f}" for gap in gaps)
            print(f"| *{value} - {base}* | {key} | {interval(gaps)} | {each} |")
            notes.append(f"{value} - {base}, {key}: {resolution(gaps)}")
    print("\n".join(notes))
    summary: dict[str, Any] = {value: columns for value, columns in numbers.items()}
    print(json.dumps({"setting": arguments.setting, "values": summary}))


if __name__ == "__main__":
    main()
