"""What a run tells: metrics to JSON lines and TensorBoard, progress to the terminal; from process 0 only."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from agentrl.storage.files import replacing, write_file
from agentrl.trainer.config import Config
from agentrl.trainer.directory.metrics import Metrics
from agentrl.update import distributed


class RunLog:
    """The record of a run in its directory; silent in other processes than 0.

    Args:
      directory: of the run.
      console: where progress is printed.

    Attributes:
      is_active: this is process 0.
      metrics: one record per iteration, report of supervised training, or evaluation.
    """

    def __init__(self, directory: Path, console: Console | None = None) -> None:
        self.directory = directory
        self.is_active = distributed.rank() == 0
        self.console = console or Console(quiet=not self.is_active, highlight=False, markup=False)
        self._tensorboard: Any = None
        self._last_line = 0.0
        self.metrics = Metrics(directory, self.say)

    def begin(self, config: Config, lines: Sequence[str] = (), known_by: str = "") -> None:
        """Write the resolved configuration and the versions, and go on after the records that a checkpoint has."""
        if not self.is_active:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        write_file(self.directory / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        _write_versions(self.directory / "versions.json")
        self.metrics.begin(list(lines), known_by)
        self._tensorboard = _begin_tensorboard(self.directory / "tensorboard", self.metrics.lines)

    def record(self, stage: str, index: int, metrics: dict[str, float]) -> None:
        """Append one record: ``stage`` ("warm_start", "reinforce" or "eval") at step or iteration ``index``."""
        if not self.is_active:
            return
        self.metrics.add({"stage": stage, "index": index, **metrics})
        _add_scalars(self._tensorboard, stage, index, metrics)

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


def _begin_tensorboard(folder: Path, lines: Sequence[str]) -> Any:
    """Return a writer whose curves begin with the records in ``lines``.

    They are drawn anew: TensorBoard's files lack what a process that was killed had not written yet, and hold what is
    played again. Points are as far apart in time as they were, without the pauses.
    """
    from torch.utils.tensorboard import SummaryWriter

    with replacing(folder) as partial:
        partial.mkdir()
        with SummaryWriter(str(partial)) as writer:
            records = [json.loads(line) for line in lines]
            elapsed_s = max((record.get("elapsed_s", 0.0) for record in records), default=0.0)
            for record in records:
                stage, index = record.pop("stage"), record.pop("index")
                walltime = time.time() - elapsed_s + record.get("elapsed_s", elapsed_s)
                _add_scalars(writer, stage, index, record, walltime)
    # A file of its own, beside the one that was closed.
    return SummaryWriter(str(folder))


def _add_scalars(
    writer: Any, stage: str, index: int, metrics: Mapping[str, float], walltime: float | None = None
) -> None:
    for key, value in metrics.items():
        writer.add_scalar(f"{stage}/{key}", value, index, walltime)


def _write_versions(path: Path) -> None:
    """Write what this machine runs. Where a run goes on with others, its earlier ones stay under ``earlier``."""
    now, earlier = describe_machine(), []
    try:
        before = json.loads(path.read_text())
        earlier = before.pop("earlier", [])
        earlier += [before] if before != now else []
    except (OSError, ValueError, AttributeError):
        pass  # a run that begins, or a file that says nothing any more
    write_file(path, json.dumps(now | ({"earlier": earlier} if earlier else {}), indent=1))


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
