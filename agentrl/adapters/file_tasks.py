"""Tasks from a file or a folder, addressed and split by their content."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.errors import ConfigError, DataError, TaskNotFoundError, nearest
from agentrl.tasks import TaskRef, TaskSet, content_digest

SHARES = {"train": 0.9, "valid_unseen": 0.1}
Row = dict[str, Any]


class FileTasks(TaskSet[Row]):
    """Each row of a table is a task.

    A row's id is the digest of its content, whatever file and place it is in: rows that are alike are one task. A file
    is divided by digest, so that a row stays in its split when others are added. A folder has a split per file, named
    as the file is; or it is what ``datasets.Dataset.save_to_disk`` wrote, divided like a file, or by its own splits.

    Args:
      path: ``.jsonl`` (an object a line), ``.parquet`` (needs pyarrow), a folder of these, or one of `datasets`.
      shares: how a table is divided, by split; positive numbers.

    Raises:
      ConfigError: a share is not positive, or a package is missing; the message says which.
      DataError: no such file, another format, no row or one that is no object, or one row in two splits.
    """

    def __init__(self, path: str | Path, *, shares: Mapping[str, float] = SHARES) -> None:
        if not shares or min(shares.values()) <= 0:
            raise ConfigError(f"shares are {dict(shares)}, expected a positive number for each split")
        self._rows: dict[str, Row] = {}
        self._split_of: dict[str, str] = {}
        self._splits: dict[str, list[str]] = {}
        path = Path(path)
        for split, rows in _tables(path):
            for row in rows:
                self._add(row, split, shares, path)
        if not self._rows:
            raise DataError(f"{path} holds no task")

    def _add(self, row: Any, split: str | None, shares: Mapping[str, float], path: Path) -> None:
        if not isinstance(row, Mapping):
            raise DataError(f"{path}: a row is {row!r}, expected an object with named fields")
        digest = content_digest(json.dumps(row, sort_keys=True, default=str))
        split = split or share_of(digest, shares)
        home = self._split_of.setdefault(digest, split)
        if home != split:
            raise DataError(f"{path}: splits {home!r} and {split!r} both hold the row {row!r}: take it from one")
        if digest not in self._rows:
            self._rows[digest] = dict(row)
            self._splits.setdefault(split, []).append(digest)

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Task ids by split, in the order of the file."""
        return self._splits

    def load(self, task_id: str) -> Row:
        """Return a copy of the row."""
        return dict(self._rows[task_id])

    def ref(self, task_id: str) -> TaskRef:
        """Return the address of ``task_id``.

        Raises:
          TaskNotFoundError: no row has this digest.
        """
        if task_id not in self._split_of:
            hint = nearest(task_id, self._split_of) or f"; there are {len(self._rows)} rows with other digests"
            raise TaskNotFoundError(f"no task {task_id!r}{hint}")
        return TaskRef(task_id, self._split_of[task_id], task_id)


def share_of(digest: str, shares: Mapping[str, float]) -> str:
    """Return the split that a digest falls into, as a point of the line that ``shares`` divide.

    >>> share_of("f" * 16, {"train": 0.9, "valid": 0.1})
    'valid'
    """
    point = int(digest, 16) / 16 ** len(digest) * sum(shares.values())
    for split, share in shares.items():
        point -= share
        if point < 0:
            return split
    return list(shares)[-1]


def _tables(path: Path) -> Iterator[tuple[str | None, Iterable[Any]]]:
    """Yield the tables at ``path``, each with the split that it is; None where it is to be divided."""
    if not path.exists():
        raise DataError(f"no file or folder {str(path)!r} with tasks")
    if not path.is_dir():
        yield None, _read(path)
    elif (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        data = _package("datasets").load_from_disk(str(path))
        yield from data.items() if isinstance(data, Mapping) else [(None, data)]
    else:
        files = sorted(file for file in path.iterdir() if file.suffix in (".jsonl", ".parquet"))
        if not files:
            raise DataError(f"{path} holds no .jsonl or .parquet file, one for each split")
        yield from ((file.stem, _read(file)) for file in files)


def _read(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        yield from _package("pyarrow.parquet", "pyarrow").read_table(path).to_pylist()
        return
    if path.suffix != ".jsonl":
        raise DataError(f"{path} is neither .jsonl nor .parquet")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number} is not JSON: {error.msg}") from error


def _package(module: str, name: str = "") -> Any:
    """Import a package that only some files need."""
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f"these tasks need {name or module}: pip install {name or module}") from error
