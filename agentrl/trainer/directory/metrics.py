"""The metrics of a run: a file of JSON lines that is added to, and mended from a checkpoint, never cut short.

Lines are added one by one and reach the disk before a checkpoint that counts them. A checkpoint keeps a copy of them.
A run that goes on finds its own lines in the file, or puts them back from the copy. What else the file held, such as
the records of iterations that no checkpoint has and which are played again, goes to ``metrics.aside.jsonl``.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentrl.errors import DataError
from agentrl.storage.files import append_line, write_file

NAME = "metrics.jsonl"
ASIDE = "metrics.aside.jsonl"


class Metrics:
    """The records of a run that is being written.

    Args:
      directory: of the run.
      say: is told of what was lost, found or mended.

    Attributes:
      path: of the file.
      lines: the run's records so far, without line ends.
    """

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self.path, self._say = directory / NAME, say
        self.lines: list[str] = []

    def begin(self, lines: list[str], known_by: str) -> None:
        """Make the file hold ``lines`` and no more: those that ``known_by``, a checkpoint, has."""
        self.lines = list(lines)
        self._mend(f"restored from {known_by}")

    def add(self, record: dict[str, Any]) -> None:
        """Add a record."""
        self.lines.append(json.dumps(record))
        append_line(self.path, self.lines[-1])

    def copy_to(self, folder: Path) -> None:
        """Write a copy into a checkpoint, and see that the file agrees with it."""
        self._mend("written again")
        write_file(folder / NAME, self._content())

    def _content(self) -> bytes:
        return "".join(f"{line}\n" for line in self.lines).encode()

    def _mend(self, done: str) -> None:
        """Compare the file with the run's records; where they differ say so, keep what was there, and write it anew."""
        is_missing = not self.path.exists()
        found, content = b"" if is_missing else self.path.read_bytes(), self._content()
        if found == content and not is_missing:
            _to_disk(self.path)
            return
        known, present = set(content.splitlines()), found.splitlines()
        others = [line for line in present if line not in known]
        if others:
            write_file(aside := self.path.with_name(ASIDE), _read(aside) + b"".join(line + b"\n" for line in others))
            self._say(f"{len(others)} lines of {self.path} that no checkpoint has are kept in {aside}")
        lost = len(known - set(present))
        if lost:
            what = "was missing" if is_missing else f"lacked {lost} of {len(self.lines)} records, or they were damaged"
            self._say(f"{self.path} {what}: {done}")
        write_file(self.path, content)


def read_metrics(directory: Path, say: Callable[[str], None] = lambda text: None) -> list[dict[str, Any]]:
    """Return the records of a run. Lines that are none, as where the machine stopped, are left out and told to ``say``.

    A run that has none yet has an empty list.
    """
    path = directory / NAME
    records, damaged = [], []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and {"stage", "index"} <= record.keys():
            records.append(record)
        else:
            damaged.append(number)
    if damaged:
        lines = ", ".join(map(str, damaged[:5])) + (" …" if len(damaged) > 5 else "")
        say(f"{path}: {len(damaged)} damaged lines are left out ({lines})")
    return records


def read_lines(folder: Path) -> list[str]:
    """Return the lines that a checkpoint keeps.

    Raises:
      DataError: it has none, or they are no text.
    """
    try:
        return (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / NAME} cannot be read: {error}") from error


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
