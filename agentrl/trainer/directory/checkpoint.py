"""Checkpoints: a folder with the policy (Hugging Face format), the optimiser and the place in the run.

Every file has a checksum, which is checked before any of them is believed.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import torch
from pydantic import BaseModel, ConfigDict, Field

from agentrl.errors import CheckpointError, DataError, DivergedError
from agentrl.policy import save_policy
from agentrl.storage.files import remove, replacing
from agentrl.storage.manifest import check_manifest, write_manifest
from agentrl.trainer.directory.metrics import Metrics

Stage = Literal["warm_start", "reinforce", "control", "done"]
KINDS: dict[Stage, str] = {"warm_start": "warm", "reinforce": "iteration", "control": "control", "done": "done"}
"""Stages in the order of a run, and what their checkpoints are called."""

_NAME = re.compile(rf"({'|'.join(KINDS.values())})-(\d{{6,}})")
_Count = Annotated[int, Field(ge=0)]
_FORMAT: Literal[2] = 2


@dataclass(slots=True)
class Progress:
    """The place in a run. Everything random is derived from the seed and these numbers.

    Attributes:
      stage: what comes next.
      step: updates of the supervised stage made: the warm start, or the control.
      iteration: iterations of reinforcement learning made.
      policy_version: updates of the policy by reinforcement learning.
      environment_steps: turns played for training.
      episodes: episodes played for training.
      elapsed_s: seconds of training and evaluation so far, over all sessions.
      results: evaluations by name, for the report.
      due: name of the evaluation that comes next, None if there is none.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    stage: Stage = "warm_start"
    step: _Count = 0
    iteration: _Count = 0
    policy_version: _Count = 0
    environment_steps: _Count = 0
    episodes: _Count = 0
    elapsed_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    due: str | None = None


class State(BaseModel):
    """What ``state.json`` holds.

    Attributes:
      format: of the checkpoint.
      progress: the place in the run.
      config: the resolved configuration that the run had.
      processes: how many processes it had.
      algorithm: what the algorithm remembers.
      curriculum: what the curriculum remembers.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[2] = _FORMAT
    progress: Progress
    config: dict[str, Any]
    processes: Annotated[int, Field(gt=0)]
    algorithm: dict[str, Any] = {}
    curriculum: dict[str, Any] = {}


def save_checkpoint(
    directory: Path,
    state: State,
    model: Any,
    tokenizer: Any,
    tensors: Mapping[str, Any],
    metrics: Metrics,
    keep: int,
) -> Path:
    """Write a checkpoint; it appears under its name only when whole. Older ones beyond ``keep`` are removed.

    Args:
      directory: of all checkpoints.
      state: the place in the run.
      model: the policy.
      tokenizer: the policy's.
      tensors: by the name of the file, what has a ``state_dict`` of tensors: optimizer, critic.
      metrics: a copy of the records is kept.
      keep: how many checkpoints are kept; during the control, the last of reinforcement too.

    Raises:
      DivergedError: a weight or a moment is not finite.
    """
    progress = state.progress
    number = progress.step if progress.stage in ("warm_start", "control") else progress.iteration
    folder = directory / f"{KINDS[progress.stage]}-{number:06d}"
    directory.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as partial:
        save_policy(partial, model, tokenizer)
        for name, owner in tensors.items():
            content = owner.state_dict()
            if (path := not_finite(content)) is not None:
                raise DivergedError(f"{name} {path} is not finite: not saved in {folder}")
            torch.save(content, partial / f"{name}.pt")
        (partial / "state.json").write_text(state.model_dump_json(indent=1))
        metrics.copy_to(partial)
        write_manifest(partial)
    known = checkpoints(directory)
    needed = known[-keep:]
    if progress.stage == "control":  # at its end the run takes its own policy up again
        needed += [path for path in known if path.name.startswith(KINDS["reinforce"])][-1:]
    for old in known:
        if old not in needed:
            remove(old)
    return folder


def checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints of a run, sound or not, oldest first."""
    if not os.path.isdir(directory):
        return []
    order = list(KINDS.values())
    found = [(match, path) for path in directory.glob("*-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda one: (order.index(one[0][1]), int(one[0][2])))]


def latest_checkpoint(directory: Path) -> Path | None:
    """Return the newest checkpoint of a run, sound or not; None if there is none."""
    return next(reversed(checkpoints(directory)), None)


def choose_checkpoint(directory: Path, name: str | None = None) -> Path:
    """Return the checkpoint to go on from: the newest, or the one of that name.

    Raises:
      CheckpointError: there is none of that name, or it is damaged; names the newest sound one.
    """
    known = checkpoints(directory)
    if not known:
        raise CheckpointError(f"nothing to resume: {directory} holds no checkpoint; start without --resume, or --fresh")
    if name and directory / name not in known:
        raise CheckpointError(
            f"no checkpoint {name!r} in {directory}: there are {', '.join(one.name for one in known)}"
        )
    chosen = directory / name if name else known[-1]
    try:
        check_checkpoint(chosen)
    except CheckpointError as error:
        older = next((path for path in reversed(known[: known.index(chosen)]) if is_sound(path)), None)
        way = "there is no older sound one: start anew with --fresh, which keeps this run beside"
        if older is not None:
            way = f"--resume-from {older.name} goes on from the newest sound one before it"
        raise CheckpointError(f"{error}; {way}") from error
    return chosen


def check_checkpoint(folder: Path) -> State:
    """Check every file of a checkpoint, and return its state.

    Raises:
      CheckpointError: it is incomplete or damaged; says what is.
    """
    try:
        check_manifest(folder, required=True)
        missing = [name for name in ("state.json", "optimizer.pt", "config.json") if not (folder / name).exists()]
        if missing:
            raise CheckpointError(f"checkpoint {folder} is incomplete: {', '.join(missing)} missing")
        content = json.loads((folder / "state.json").read_text())
        if isinstance(content, dict) and content.get("format") != _FORMAT:
            found = content.get("format", "an early one")
            raise CheckpointError(f"checkpoint {folder} has format {found}, this version of agentrl reads {_FORMAT}")
        return State.model_validate_json((folder / "state.json").read_text())
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"checkpoint {folder} is damaged: state.json: {key}: {first['msg']}") from error
    except (DataError, OSError, ValueError) as error:
        # How to silence a checksum is no advice for a checkpoint.
        reason = str(error).partition("; restore it")[0]
        raise CheckpointError(f"checkpoint {folder} is damaged: {reason}") from error


def is_sound(folder: Path) -> bool:
    """Return whether every file of a checkpoint is as it was written."""
    try:
        check_checkpoint(folder)
    except CheckpointError:
        return False
    return True


def load_state(folder: Path, of: str, into: Any) -> None:
    """Restore the state of the optimiser, or of the critic, in place; on the device that it is on.

    Raises:
      CheckpointError: it does not fit, or is not finite.
    """
    try:
        content = torch.load(folder / f"{of}.pt", weights_only=True, map_location="cpu")
        if (path := not_finite(content)) is not None:
            raise ValueError(f"{path} is not finite")
        into.load_state_dict(content)
    except Exception as error:  # damage can look like anything from inside
        reason = " ".join(str(error).split())
        raise CheckpointError(f"checkpoint {folder}: {of} cannot be read: {type(error).__name__}: {reason}") from error


def set_aside(checkpoint: Path, say: Callable[[str], None]) -> None:
    """Rename the checkpoints that are newer than the one to go on from, so that they are in nobody's way."""
    known = checkpoints(checkpoint.parent)
    for newer in known[known.index(checkpoint) + 1 :]:
        number = 1
        while (aside := newer.with_name(f"aside-{number}.{newer.name}")).exists():
            number += 1
        os.replace(newer, aside)
        say(f"checkpoint {newer.name} is set aside as {aside}")


def not_finite(content: Any, path: str = "") -> str | None:
    """Return the path of a tensor with NaN or infinity in nested dictionaries and lists; None where all are finite."""
    if isinstance(content, torch.Tensor):
        return None if not content.is_floating_point() or bool(torch.isfinite(content).all()) else path.lstrip(".")
    inside: Any = content.items() if isinstance(content, Mapping) else ()
    if isinstance(content, list | tuple):
        inside = enumerate(content)
    return next((found for key, value in inside if (found := not_finite(value, f"{path}.{key}"))), None)
