"""What a run tells: metrics to JSON lines and TensorBoard, progress to the terminal; from process 0 only."""

import json
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from agentrl.trainer.config import Config
from agentrl.update import distributed


class RunLog:
    """The record of a run in its directory; silent in other processes than 0.

    Args:
      directory: of the run.
      console: where progress is printed.
    """

    def __init__(self, directory: Path, console: Console | None = None) -> None:
        self.directory = directory
        self.is_active = distributed.rank() == 0
        self.console = console or Console(quiet=not self.is_active, highlight=False, markup=False)
        self._tensorboard: Any = None
        self._last_line = 0.0
        self.num_records = 0

    @property
    def metrics_path(self) -> Path:
        """The JSON lines, one record per iteration or warm-start report."""
        return self.directory / "metrics.jsonl"

    def begin(self, config: Config, num_records: int = 0) -> None:
        """Write the resolved configuration and the versions; keep the first ``num_records`` of an interrupted run."""
        if not self.is_active:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        (self.directory / "versions.json").write_text(json.dumps(describe_machine(), indent=1))
        kept = read_metrics(self.directory)[:num_records]
        self.metrics_path.write_text("".join(json.dumps(record) + "\n" for record in kept))
        self.num_records = len(kept)
        from torch.utils.tensorboard import SummaryWriter

        self._tensorboard = SummaryWriter(str(self.directory / "tensorboard"))

    def record(self, stage: str, index: int, metrics: dict[str, float]) -> None:
        """Append one record: ``stage`` ("warm_start", "reinforce" or "eval") at step or iteration ``index``."""
        if not self.is_active:
            return
        with self.metrics_path.open("a") as file:
            file.write(json.dumps({"stage": stage, "index": index, **metrics}) + "\n")
        self.num_records += 1
        for key, value in metrics.items():
            self._tensorboard.add_scalar(f"{stage}/{key}", value, index)

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, soft_wrap=True)

    def progress(self, text: str, *, every_s: float = 5.0, force: bool = False) -> None:
        """Print a line of progress, at most one in ``every_s`` seconds."""
        now = time.monotonic()
        if force or now - self._last_line >= every_s:
            self._last_line = now
            self.console.print(text, soft_wrap=True)

    def close(self) -> None:
        """Flush and close files."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Return the records of a run; a half-written last line is dropped."""
    path = directory / "metrics.jsonl"
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def describe_machine() -> dict[str, Any]:
    """Return versions of Python and of the packages that decide the numbers, and the git state of the code."""

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    def git(*arguments: str) -> str:
        result = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, check=False
        )
        return result.stdout.strip()

    packages = ("agentrl", "torch", "transformers", "tokenizers", "numpy", "gymnasium")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {package: installed(package) for package in packages},
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain")),
    }
