"""Trainings over seeds: run where they are missing, and what so many of them tell."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STUDENT_T = {1: math.nan, 2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""97.5 % quantile of Student's t for the mean of so many values."""


def results(config: Path, directory: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Run a training, unless it is done, and return its evaluations by name."""
    final = sorted((directory / "checkpoints").glob("*/state.json"))
    done = [state for path in final if (state := json.loads(path.read_text())["progress"])["stage"] == "done"]
    if not done:
        command = [sys.executable, "-m", "agentrl.cli", "train", str(config), "--fresh"]
        for override in (f"run.directory={directory}", *overrides):
            command += ["--set", override]
        subprocess.run(command, check=True, cwd=ROOT)
        return results(config, directory, overrides)
    found: dict[str, Any] = done[-1]["results"]
    return found


def interval(values: Sequence[float]) -> str:
    """Return the mean over seeds in per cent with the 95 % interval of Student's t."""
    if len(values) < 2:
        return f"{100 * values[0]:.1f}"
    half = STUDENT_T[len(values)] * stdev(values) / math.sqrt(len(values))
    return f"{100 * mean(values):.1f} ± {100 * half:.1f}"


def resolution(gaps: Sequence[float]) -> str:
    """Say what difference so many seeds can see (95 % level, 80 % power), and how many the one found would take."""
    if len(gaps) < 2:
        return "one seed says nothing about the spread between seeds"
    visible = (1.96 + 0.84) * stdev(gaps)
    found = abs(mean(gaps))
    needed = f"{max(2, math.ceil((visible / found) ** 2))} seeds" if found else "no number of seeds"
    return f"visible from {100 * visible / math.sqrt(len(gaps)):.1f} points on; the one found would take {needed}"
