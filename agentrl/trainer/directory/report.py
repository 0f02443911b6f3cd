"""The report at the end of a run: a table of results, a learning curve, and where everything is."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from rich.table import Table

from agentrl.storage.files import replacing, write_file
from agentrl.trainer.config import Config
from agentrl.trainer.directory.checkpoint import Progress
from agentrl.trainer.directory.log import RunLog
from agentrl.trainer.directory.metrics import read_metrics
from agentrl.trainer.statistics import Interval, smallest_detectable_difference

matplotlib.use("Agg")
from matplotlib import pyplot

MODES = ("demonstrator", "sampled", "greedy")
OWN = ("return", "score")


def write_report(directory: Path, config: Config, progress: Progress, log: RunLog) -> None:
    """Write ``report.md`` and ``learning_curve.png`` into the run's directory and print the table."""
    log.console.print(results_table(progress))
    curve = plot_learning_curve(directory, progress.results, log.say)
    write_file(directory / "report.md", _markdown(config, progress, _rows(progress)))
    log.say(
        f"{progress.episodes} episodes, {progress.environment_steps} environment steps, {progress.elapsed_s:.0f} s\n"
        f"learning curve: {curve}\nreport: {directory / 'report.md'}\npolicy: {directory / 'policy'}\n"
        f"metrics: {log.metrics.path}, tensorboard --logdir {directory / 'tensorboard'}"
    )


def write_evaluation(
    path: Path, config: Config, policy: str, result: dict[str, Any], usage: dict[str, float] | None = None
) -> None:
    """Write an evaluation as JSON: the policy, the environment, the section ``eval``, numbers, use of a server."""
    content = {
        "policy": policy,
        "env": config.env.model_dump(mode="json"),
        "eval": config.eval.model_dump(mode="json"),
        "modes": {mode: numbers for mode, numbers in result.items() if mode in MODES},
        **({"usage": usage} if usage else {}),
    }
    write_file(path, json.dumps(content, indent=1) + "\n")


def results_table(progress: Progress) -> Table:
    """Return the evaluations as a table for the terminal."""
    rows = _rows(progress)
    passes = list(dict.fromkeys(key for _, _, numbers in rows for key in numbers if key.startswith("pass@")))
    table = Table("policy", "how", "success (95 %)", "turns", "episodes", *passes, title="Results", min_width=70)
    for name, mode, numbers in rows:
        rates = [f"{100 * numbers[key]:.1f} %" if key in numbers else "" for key in passes]
        table.add_row(name, mode, _interval(numbers), f"{numbers['mean_turns']:.1f}", str(numbers["episodes"]), *rates)
    return table


def _rows(progress: Progress) -> list[tuple[str, str, dict[str, Any]]]:
    results = progress.results
    return [(name, mode, result[mode]) for name, result in results.items() for mode in MODES if mode in result]


def plot_learning_curve(directory: Path, results: dict[str, Any], say: Callable[[str], None]) -> Path:
    """Plot training success over time with the evaluations, and what was optimised; return the PNG's path."""
    records = read_metrics(directory, say)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    training = [record for record in records if record["stage"] == "reinforce"]
    warm = [record for record in records if record["stage"] == "warm_start"]
    if training:
        times = [record["elapsed_s"] for record in training]
        success = [record["success"] for record in training]
        left.plot(times, success, color="#9ec5e8", linewidth=0.8, label="training episodes")
        left.plot(times, _smooth(success), color="#1f6fb4", linewidth=2, label="smoothed")
        entropy = [record.get("entropy", math.nan) for record in training]
        right.plot(times, entropy, color="#b4531f", label="entropy (nats)")
    if warm:
        times = [record["elapsed_s"] for record in warm]
        right.plot(times, [record["loss"] for record in warm], color="#777777", label="imitation loss (nats)")
    _plot_evaluations(left, results)
    left.set(xlabel="seconds", ylabel="success", ylim=(0, 1), title="Success")
    right.set(xlabel="seconds", ylim=(0, 2.5), title="Imitation loss, then policy entropy")
    for axis in (left, right):
        axis.grid(alpha=0.25)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False, fontsize=8)
    path = directory / "learning_curve.png"
    with replacing(path) as partial:
        figure.savefig(partial, dpi=130, format="png")
    pyplot.close(figure)
    return path


def _plot_evaluations(axis: Any, results: dict[str, Any]) -> None:
    """Plot held-out success with intervals; the control stands, hollow, at the time of the result it is to match."""
    learned = {name: result for name, result in results.items() if name != "supervised control"}
    control = results.get("supervised control", {})
    for mode, marker, colour in (("sampled", "o", "#1f6fb4"), ("greedy", "^", "#2a8f4f")):
        points = [(result["elapsed_s"], result[mode]) for result in learned.values() if mode in result]
        if points:
            _error_bars(axis, points, fmt=marker, color=colour, label=f"held out, {mode}")
        if mode in control and "result" in results:
            at_result = [(results["result"]["elapsed_s"], control[mode])]
            _error_bars(axis, at_result, fmt=marker, color=colour, mfc="white", label=f"supervised control, {mode}")
    teacher = results.get("demonstrator", {}).get("demonstrator")
    if teacher:
        axis.axhline(teacher["success"], color="#888888", linestyle="--", linewidth=1, label="demonstrator")


def _error_bars(axis: Any, points: list[tuple[float, dict[str, Any]]], **style: Any) -> None:
    success = [numbers["success"] for _, numbers in points]
    below = [numbers["success"] - numbers["low"] for _, numbers in points]
    above = [numbers["high"] - numbers["success"] for _, numbers in points]
    axis.errorbar([time for time, _ in points], success, yerr=[below, above], capsize=3, **style)


def _smooth(values: list[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average, corrected for its start."""
    smoothed, average = [], 0.0
    for index, value in enumerate(values, 1):
        average = weight * average + (1 - weight) * value
        smoothed.append(average / (1 - weight**index))
    return smoothed


def _interval(numbers: dict[str, Any]) -> str:
    return Interval(numbers["success"], numbers["low"], numbers["high"]).percent()


def _markdown(config: Config, progress: Progress, rows: list[tuple[str, str, dict[str, Any]]]) -> str:
    lines = [
        f"# {config.algorithm['name']} on {config.env.id}",
        "",
        f"Seed {config.run.seed}; {progress.episodes} training episodes, {progress.environment_steps} environment "
        f"steps, {progress.elapsed_s:.0f} s. Success on `{config.eval.split}`, 95 % intervals.",
        "",
        "| policy | how | success | return, score and the environment's numbers | mean turns | tasks | pass@k |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, mode, numbers in rows:
        passes = ", ".join(f"{key}: {100 * numbers[key]:.1f} %" for key in numbers if key.startswith("pass@"))
        own = ", ".join(f"{key}: {numbers[key]:.3g}" for key in numbers if key in OWN or key.startswith("env/"))
        lines.append(
            f"| {name} | {mode} | {_interval(numbers)} | {own} | {numbers['mean_turns']:.1f} | {numbers['tasks']} | "
            f"{passes} |"
        )
    if rows:
        trials = rows[-1][2]["episodes"]
        smallest = smallest_detectable_difference(rows[-1][2]["success"], trials)
        lines += ["", f"With {trials} episodes each, a difference under {100 * smallest:.1f} points is likely missed."]
    return "\n".join([*lines, "", "![learning curve](learning_curve.png)", ""])
