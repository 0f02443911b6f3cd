"""Trajectories on disk, without loss: the ids, masks and float32 numbers come back bit for bit.

A file is a zip archive: ``records.jsonl`` (one line per trajectory: everything but the arrays) and one ``.npy`` per
column of the token sequences, concatenated over the file. ``unzip`` and any JSON reader open it; the archive's
checksums tell a damaged file from a good one. Equal trajectories give equal bytes.

What a branch shares with its parent is written once. A branch's record comes after its parent's and says:

- ``place``: where in the list the trajectory was.
- ``source``: number of the record that it shares with: its parent's or, where that is not in the file, the first one
  with the same parent; or null.
- ``shared_turns``: how many leading turns are the source's; ``turns`` holds the others.
- ``sequences``: for each, how many leading tokens are those of the source's sequence in the same place, and how many
  of its own follow in the columns.

Shared is what is equal bit for bit, whatever the branch point says; so nothing depends on a sampler being right.
"""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from io import BytesIO
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.env import Outcome
from agentrl.errors import DataError
from agentrl.storage.files import replacing
from agentrl.storage.record_check import check_record
from agentrl.types import BranchPoint, StopReason, TokenSequence, Trajectory, Turn

FORMAT = "agentrl-trajectories-2"
OLD_FORMAT = "agentrl-trajectories-1"
"""Every record whole and in its place, ``sequences`` a list of lengths. It is still read."""
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
    for trajectory in trajectories:
        for sequence in trajectory.sequences:
            _check(trajectory.id, sequence)
    records = _records(trajectories)
    lines = "".join(map(_line, records))
    with replacing(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        _add(archive, "format.txt", FORMAT.encode())
        _add(archive, "records.jsonl", lines.encode("ascii"))
        for name, dtype in COLUMNS.items():
            own = (getattr(tail, name)[start:] for record in records for tail, start in record.tails)
            column = np.concatenate([np.empty(0, dtype), *own])
            buffer = BytesIO()
            np.save(buffer, column, allow_pickle=False)
            _add(archive, f"{name}.npy", buffer.getbuffer())


def load_trajectories(path: Path | str) -> list[Trajectory]:
    """Read what :func:`save_trajectories` wrote.

    Raises:
      DataError: the file is missing, damaged, or of another format; the message names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.read("format.txt").decode()
            if found not in (FORMAT, OLD_FORMAT):
                raise DataError(f"{path}: format {found!r}, this version reads {FORMAT!r} and {OLD_FORMAT!r}")
            columns = {name: np.load(BytesIO(archive.read(f"{name}.npy"))) for name in COLUMNS}
            lines = archive.read("records.jsonl").decode("ascii").splitlines()
        records = [_parsed(line, number) for number, line in enumerate(lines, start=1)]
        if found == OLD_FORMAT:
            records = [_upgrade(record, place) for place, record in enumerate(records)]
        return _assemble(records, columns)
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except FileNotFoundError:
        raise DataError(f"no trajectory file {path}") from None
    except Exception as error:  # damage can look like anything from inside
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged or not a trajectory file: {type(error).__name__}: {reason}") from error


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
        return sorted(int(path.stem) for path in self.folder.glob("*.zip") if re.fullmatch("[0-9]{6,9}", path.stem))

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


@dataclass(frozen=True, slots=True)
class _Record:
    """A trajectory in its file.

    Attributes:
      trajectory: the trajectory.
      place: where in the list it was.
      source: number of the earlier record that it shares with; None for none.
      shared_turns: how many leading turns are the source's.
      tails: each sequence with the number of its leading tokens that are the source's.
    """

    trajectory: Trajectory
    place: int
    source: int | None
    shared_turns: int
    tails: list[tuple[TokenSequence, int]]


def _records(trajectories: Sequence[Trajectory]) -> list[_Record]:
    """Return the records in the order of the file: parents before their branches."""
    by_id = {trajectory.id: trajectory for trajectory in trajectories}
    generations = [_generation(trajectory, by_id) for trajectory in trajectories]
    number_of: dict[str, int] = {}
    records: list[_Record] = []
    for number, place in enumerate(sorted(range(len(trajectories)), key=generations.__getitem__)):
        trajectory = trajectories[place]
        # An absent parent is stood for by the first of its branches.
        source = number if trajectory.parent is None else number_of.setdefault(trajectory.parent.parent, number)
        number_of.setdefault(trajectory.id, number)
        if source == number:
            records.append(_Record(trajectory, place, None, 0, [(whole, 0) for whole in trajectory.sequences]))
        else:
            turns, tails = _common(trajectory, records[source].trajectory)
            records.append(_Record(trajectory, place, source, turns, tails))
    return records


def _common(trajectory: Trajectory, source: Trajectory) -> tuple[int, list[tuple[TokenSequence, int]]]:
    """Return how many leading turns are the source's; each sequence, and how many of its leading tokens are."""
    pairs = zip(trajectory.turns, source.turns, strict=False)
    turns = sum(1 for _ in takewhile(lambda pair: repr(pair[0]) == repr(pair[1]), pairs))  # by ==, -0.0 is 0.0
    tokens = [one.common_prefix(other) for one, other in zip(trajectory.sequences, source.sequences, strict=False)]
    tokens += [0] * (len(trajectory.sequences) - len(tokens))
    return turns, list(zip(trajectory.sequences, tokens, strict=True))


def _generation(trajectory: Trajectory, by_id: dict[str, Trajectory]) -> int:
    """Return how many ancestors are in the file; parents that form a circle are counted once."""
    seen: set[str] = set()
    while trajectory.id not in seen and trajectory.parent is not None and trajectory.parent.parent in by_id:
        seen.add(trajectory.id)
        trajectory = by_id[trajectory.parent.parent]
    return len(seen)


def _line(record: _Record) -> str:
    trajectory = record.trajectory
    content = _shallow(trajectory)
    content |= {"place": record.place, "source": record.source, "shared_turns": record.shared_turns}
    content["turns"] = [_shallow(turn) for turn in trajectory.turns[record.shared_turns :]]
    content["sequences"] = [(shared, len(sequence) - shared) for sequence, shared in record.tails]
    content["parent"] = None if trajectory.parent is None else asdict(trajectory.parent)
    try:
        return json.dumps(content) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(f"trajectory {trajectory.id} holds something that JSON cannot: {error}") from error


def _shallow(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _parsed(line: str, number: int) -> dict[str, Any]:
    """Return a record, its fields and those of its turns of the types that they are declared with."""
    where = f"line {number} of records.jsonl"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{where} holds no record")
    check_record(Trajectory, record, where)
    for turn, content in enumerate(record["turns"]):
        check_record(Turn, content, f"{where}, turn {turn} of its own")
    if record["parent"] is not None:
        check_record(BranchPoint, record["parent"], f"{where}, parent")
    return record


def _upgrade(record: dict[str, Any], place: int) -> dict[str, Any]:
    """Return a record of the old format in the present one."""
    whole = {"place": place, "source": None, "shared_turns": 0}
    return record | whole | {"sequences": [(0, length) for length in record["sequences"]]}


def _assemble(records: list[dict[str, Any]], columns: dict[str, NDArray[Any]]) -> list[Trajectory]:
    bounds = np.cumsum([0, *(length for record in records for _, length in record["sequences"])])
    for name, column in columns.items():
        if column.dtype != COLUMNS[name] or column.shape != (bounds[-1],):
            raise ValueError(f"{name} is {column.dtype}{list(column.shape)}, expected {bounds[-1]} tokens")
    pieces = (TokenSequence(**{name: columns[name][a:b] for name in COLUMNS}) for a, b in pairwise(bounds))
    read: list[Trajectory] = []
    places = []
    for line, record in enumerate(records, start=1):
        places.append(record.pop("place"))
        number = record.pop("source")
        if number is not None and not 0 <= number < len(read):
            raise DataError(f"line {line} of records.jsonl shares with record {number}, which does not come before it")
        read.append(_trajectory(record, None if number is None else read[number], pieces))
    if sorted(places) != list(range(len(read))):
        raise DataError(f"records.jsonl holds {len(read)} trajectories in places {sorted(places)[:20]}")
    return [read[number] for number in np.argsort(places)]


def _trajectory(record: dict[str, Any], source: Trajectory | None, pieces: Iterator[TokenSequence]) -> Trajectory:
    """Put a trajectory together from what is its source's and its own; ``pieces`` are the tails of its sequences."""
    shared_turns = record.pop("shared_turns")
    turns = [replace(turn) for turn in source.turns[:shared_turns]] if source is not None else []
    turns += [Turn(**turn | {"stop_reason": StopReason(turn["stop_reason"])}) for turn in record["turns"]]
    sequences = []
    for index, (shared, _) in enumerate(record["sequences"]):
        own = next(pieces)
        head = source.sequences[index] if source is not None and shared else own
        sequences.append(_join(head, shared, own))
    parent = record["parent"] and BranchPoint(**record["parent"])
    whole = {"turns": turns, "sequences": sequences, "parent": parent, "outcome": Outcome(record["outcome"])}
    return Trajectory(**record | whole)


def _join(head: TokenSequence, length: int, tail: TokenSequence) -> TokenSequence:
    """Return a copy of the first tokens of one sequence with another behind them."""
    columns = {name: np.concatenate([getattr(head, name)[:length], getattr(tail, name)]) for name in COLUMNS}
    return TokenSequence(**columns)
