"""Trajectories on disk, without loss: the ids, masks and float32 numbers come back bit for bit.

A file is a zip archive: ``records.jsonl`` (one line per trajectory: everything but the arrays) and one ``.npy`` per
column of the token sequences, concatenated over the file. ``unzip`` and any JSON reader open it; the archive's
checksums tell a damaged file from a good one. Equal trajectories give equal bytes.
"""

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.env import Outcome
from agentrl.errors import DataError
from agentrl.types import BranchPoint, StopReason, TokenSequence, Trajectory, Turn

FORMAT = "agentrl-trajectories-1"
COLUMNS: dict[str, type[np.generic]] = {
    "ids_L": np.int32,
    "action_mask_L": np.bool_,
    "behavior_logprobs_L": np.float32,
    "entropies_L": np.float32,
    "turns_L": np.int32,
}
# The earliest time that a zip archive can hold: the bytes depend on the content alone.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def save_trajectories(path: Path | str, trajectories: Sequence[Trajectory]) -> None:
    """Write trajectories to one file; it appears whole or not at all.

    Raises:
      DataError: an array has another type or length than its column, or ``extra`` is not JSON-serialisable.
    """
    path = Path(path)
    sequences = [sequence for trajectory in trajectories for sequence in trajectory.sequences]
    for trajectory in trajectories:
        for sequence in trajectory.sequences:
            _check(trajectory.id, sequence)
    records = "".join(_line(trajectory) for trajectory in trajectories)
    partial = path.with_name(path.name + ".partial")
    with zipfile.ZipFile(partial, "w") as archive:
        _add(archive, "format.txt", FORMAT.encode())
        _add(archive, "records.jsonl", records.encode("ascii"))
        for name, dtype in COLUMNS.items():
            column = np.concatenate([np.empty(0, dtype), *(getattr(sequence, name) for sequence in sequences)])
            buffer = BytesIO()
            np.save(buffer, column, allow_pickle=False)
            _add(archive, f"{name}.npy", buffer.getbuffer())
    os.replace(partial, path)


def load_trajectories(path: Path | str) -> list[Trajectory]:
    """Read what :func:`save_trajectories` wrote.

    Raises:
      DataError: the file is missing, damaged, or of another format; the message names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.read("format.txt").decode()
            if found != FORMAT:
                raise DataError(f"{path}: format {found!r}, this version reads {FORMAT!r}")
            columns = {name: np.load(BytesIO(archive.read(f"{name}.npy"))) for name in COLUMNS}
            records = archive.read("records.jsonl").decode("ascii").splitlines()
        return _assemble([json.loads(line) for line in records], columns)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"no trajectory file {path}") from None
    except Exception as error:  # damage can look like anything from inside
        raise DataError(f"{path} is damaged or not a trajectory file: {type(error).__name__}: {error}") from error


class TrajectoryStore:
    """The trajectories of a run: a folder with one file per iteration.

    Args:
      folder: made when the first file is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, iteration: int) -> Path:
        """Return the file of an iteration, whether it exists or not."""
        return self.folder / f"{iteration:06d}.zip"

    def iterations(self) -> list[int]:
        """Return the iterations that have a file, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob("*.zip") if path.stem.isdigit())

    def write(self, iteration: int, trajectories: Sequence[Trajectory]) -> Path:
        """Write an iteration's trajectories, in place of what a run that was interrupted may have left there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_trajectories(self.path(iteration), trajectories)
        return self.path(iteration)

    def read(self, iteration: int) -> list[Trajectory]:
        """Return an iteration's trajectories.

        Raises:
          DataError: there are none, or the file is damaged.
        """
        return load_trajectories(self.path(iteration))

    def __iter__(self) -> Iterator[tuple[int, list[Trajectory]]]:
        for iteration in self.iterations():
            yield iteration, self.read(iteration)


def _add(archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    # Level 1: ids and masks shrink to a quarter at once, and better levels cost more time than they save.
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED, compresslevel=1)


def _check(trajectory: str, sequence: TokenSequence) -> None:
    for name, dtype in COLUMNS.items():
        column = getattr(sequence, name)
        if column.dtype != dtype or column.shape != (len(sequence),):
            raise DataError(
                f"trajectory {trajectory}: {name} is {column.dtype}{list(column.shape)}, "
                f"expected {np.dtype(dtype)}[{len(sequence)}]"
            )


def _line(trajectory: Trajectory) -> str:
    record = _shallow(trajectory)
    record["turns"] = [_shallow(turn) for turn in trajectory.turns]
    record["sequences"] = [len(sequence) for sequence in trajectory.sequences]
    record["parent"] = None if trajectory.parent is None else asdict(trajectory.parent)
    try:
        return json.dumps(record) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(f"trajectory {trajectory.id} holds something that JSON cannot: {error}") from error


def _shallow(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _assemble(records: list[dict[str, Any]], columns: dict[str, NDArray[Any]]) -> list[Trajectory]:
    bounds = np.cumsum([0, *(length for record in records for length in record["sequences"])])
    for name, column in columns.items():
        if column.dtype != COLUMNS[name] or column.shape != (bounds[-1],):
            raise ValueError(f"{name} is {column.dtype}{list(column.shape)}, expected {bounds[-1]} tokens")
    pieces = pairwise(bounds)
    trajectories = []
    for record in records:
        turns = [Turn(**turn | {"stop_reason": StopReason(turn["stop_reason"])}) for turn in record["turns"]]
        spans = [next(pieces) for _ in record["sequences"]]
        sequences = [TokenSequence(**{name: columns[name][a:b].copy() for name in COLUMNS}) for a, b in spans]
        parent = record["parent"] and BranchPoint(**record["parent"])
        whole = {"turns": turns, "sequences": sequences, "parent": parent, "outcome": Outcome(record["outcome"])}
        trajectories.append(Trajectory(**record | whole))
    return trajectories
