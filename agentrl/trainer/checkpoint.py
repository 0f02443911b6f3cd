"""Checkpoints: a folder with the policy (Hugging Face format), the optimiser and the place in the run."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from agentrl.errors import CheckpointError
from agentrl.policy import save_policy

Stage = Literal["warm_start", "reinforce", "control", "done"]


@dataclass(slots=True)
class Progress:
    """The place in a run. Everything random is derived from the seed and these numbers.

    Attributes:
      stage: what comes next.
      step: warm-start updates made.
      iteration: iterations of reinforcement learning made.
      policy_version: updates of the policy by reinforcement learning.
      environment_steps: turns played for training.
      episodes: episodes played for training.
      elapsed_s: seconds of training and evaluation so far, over all sessions.
      records: lines of metrics written; resumption drops the later ones.
      results: evaluations by name, for the report.
      due: name of the evaluation that comes next, None if there is none.
    """

    stage: Stage = "warm_start"
    step: int = 0
    iteration: int = 0
    policy_version: int = 0
    environment_steps: int = 0
    episodes: int = 0
    elapsed_s: float = 0.0
    records: int = 0
    results: dict[str, Any] | None = None
    due: str | None = None


def save_checkpoint(
    directory: Path,
    progress: Progress,
    model: Any,
    tokenizer: Any,
    optimizer: Any,
    config_digest: str,
    keep: int,
    algorithm: dict[str, Any] | None = None,
    curriculum: dict[str, Any] | None = None,
    critic: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint; it appears under its name only when whole. Older ones beyond ``keep`` are removed.

    ``algorithm`` and ``curriculum`` are what they remember, JSON-serialisable; ``critic`` is its weights and moments.
    """
    directory.mkdir(parents=True, exist_ok=True)
    number = progress.step if progress.stage == "warm_start" else progress.iteration
    folder = directory / f"{'warm' if progress.stage == 'warm_start' else 'iteration'}-{number:06d}"
    partial, stale = directory / f".{folder.name}.partial", directory / f".{folder.name}.stale"
    for leftover in (partial, stale):
        shutil.rmtree(leftover, ignore_errors=True)
    save_policy(partial, model, tokenizer)
    torch.save(optimizer.state_dict(), partial / "optimizer.pt")
    if critic is not None:
        torch.save(critic, partial / "critic.pt")
    state = {"progress": asdict(progress), "config_digest": config_digest}
    state |= {"algorithm": algorithm or {}, "curriculum": curriculum or {}}
    (partial / "state.json").write_text(json.dumps(state, indent=1))
    if folder.exists():
        os.replace(folder, stale)
    os.replace(partial, folder)
    for old in (stale, *checkpoints(directory)[:-keep]):
        shutil.rmtree(old, ignore_errors=True)
    return folder


def checkpoints(directory: Path) -> list[Path]:
    """Return the whole checkpoints of a run, oldest first."""
    return [path.parent for stage in ("warm", "iteration") for path in sorted(directory.glob(f"{stage}-*/state.json"))]


def latest_checkpoint(directory: Path) -> Path | None:
    """Return the newest checkpoint of a run, None if there is none."""
    whole = checkpoints(directory)
    return whole[-1] if whole else None


def load_progress(folder: Path, config_digest: str) -> Progress:
    """Read the place in the run.

    Raises:
      CheckpointError: the checkpoint is damaged or belongs to another configuration.
    """
    try:
        state = json.loads((folder / "state.json").read_text())
        progress, made_with = Progress(**state["progress"]), state["config_digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error
    if made_with != config_digest:
        raise CheckpointError(
            f"checkpoint {folder} was made with another configuration or number of processes: resume with the "
            "config.yaml of its run, or choose another run.directory"
        )
    return progress


def load_memory(folder: Path, of: Literal["algorithm", "curriculum"]) -> dict[str, Any]:
    """Read what the algorithm, or the curriculum, remembered.

    Raises:
      CheckpointError: the checkpoint is damaged.
    """
    try:
        remembered: dict[str, Any] = json.loads((folder / "state.json").read_text()).get(of, {})
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    return remembered


def load_state(folder: Path, of: Literal["optimizer", "critic"], into: Any) -> None:
    """Restore the state of the optimiser, or of the critic, in place.

    Raises:
      CheckpointError: the checkpoint is damaged.
    """
    try:
        into.load_state_dict(torch.load(folder / f"{of}.pt", map_location="cpu", weights_only=True))
    except Exception as error:  # damage can look like anything from inside
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {folder} is damaged ({type(error).__name__}: {error}): remove it to resume from the one before"
    )
