"""Official ALFWorld games as a task set, from a packed file, a raw game or a folder of raw games."""

import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.errors import DataError, TaskNotFoundError, nearest
from agentrl.tasks import TaskRef, TaskSet, content_digest
from agentrl_envs.household.game import Game
from agentrl_envs.household.pddl import read_game

SPLITS = ("train", "valid_seen", "valid_unseen", "valid_train")
_CACHED_GAMES = 256
_TASK_SENTENCE = re.compile(r'"Your task is to: ([^"]*)"')
_UNSOLVABLE = re.compile(rb'"solvable"\s*:\s*false')

Record = dict[str, Any]
"""A game as packed: `game` (its id), `goal`, `walkthrough`, `pddl_problem`."""


class OfficialGames(TaskSet[Game]):
    """The games below a path, addressed by ALFWorld's own names.

    A task's id is ``<split>/<task folder>/<trial folder>``. It is written in packed files, and follows from the path
    of a raw ``game.tw-pddl``: the last folder named like an official split begins it. A raw game that lies in no such
    folder belongs to `train`, and its id is ``train/`` and the names of the two folders around it.

    The content of a game is read when it is first played; a few hundred games are kept.

    Args:
      path: a ``.jsonl`` or ``.jsonl.xz`` file with one game a line, a raw ``game.tw-pddl``, or a folder: then all
        ``*.tw-pddl`` below it at any depth (but those that ALFWorld itself leaves out: unsolvable ones, and tasks
        with movable receptacles or slices), or if there are none, all packed files below it.

    Raises:
      DataError: there is no such file, it is malformed, or two different games have one id.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._sources: dict[str, Callable[[], Record]] = {}
        for game_id, source in _find_games(self.path):
            if game_id in self._sources:
                raise DataError(f"{self.path}: the game {game_id!r} is there twice")
            self._sources[game_id] = source
        ids = sorted(self._sources)
        self._splits = {split: [i for i in ids if _split_of(i) == split] for split in SPLITS}
        self._splits = {split: found for split, found in self._splits.items() if found}
        self._games: dict[str, Game] = {}
        self._refs: dict[str, TaskRef] = {}

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """The official splits that have a game below the path; ids sorted."""
        return self._splits

    def ref(self, task_id: str) -> TaskRef:
        """Return the address of ``task_id``; its digest covers the goal and the PDDL problem, not white space."""
        if task_id not in self._refs:
            record = self._record(task_id)
            digest = content_digest(record["goal"] + "\n" + " ".join(record["pddl_problem"].split()))
            self._refs[task_id] = TaskRef(task_id, _split_of(task_id), digest)
        return self._refs[task_id]

    def load(self, task_id: str) -> Game:
        """Return the game of ``task_id``."""
        if task_id not in self._games:
            record = self._record(task_id)
            if len(self._games) >= _CACHED_GAMES:
                self._games.clear()
            walkthrough = tuple(record.get("walkthrough") or ())
            self._games[task_id] = read_game(task_id, record["pddl_problem"], record["goal"], walkthrough)
        return self._games[task_id]

    def _record(self, task_id: str) -> Record:
        try:
            source = self._sources[task_id]
        except KeyError:
            raise TaskNotFoundError(f"no game {task_id!r} in {self.path}{nearest(task_id, self._sources)}") from None
        return source()


def _split_of(game_id: str) -> str:
    return game_id.split("/", 1)[0]


def _find_games(path: Path) -> Iterator[tuple[str, Callable[[], Record]]]:
    """Yield the id of each game and what reads it."""
    if path.is_dir():
        raw = sorted(path.rglob("*.tw-pddl"))
        packed = [] if raw else sorted([*path.rglob("*.jsonl"), *path.rglob("*.jsonl.xz")])
        if not raw and not packed:
            raise DataError(f"no *.tw-pddl, *.jsonl or *.jsonl.xz file below {path}")
        for file in raw:
            if _is_played(file):
                yield _id_of(file), _RawGame(file)
        for file in packed:
            yield from _unpack(file)
    elif not path.exists():
        raise DataError(f"no such file or folder: {path}; expected ALFWorld games (.tw-pddl, .jsonl, .jsonl.xz)")
    elif path.name.endswith((".jsonl", ".jsonl.xz")):
        yield from _unpack(path)
    else:
        yield _id_of(path), _RawGame(path)


def _id_of(file: Path) -> str:
    folders = file.resolve().parent.parts
    named = [position for position, folder in enumerate(folders) if folder in SPLITS]
    return "/".join(folders[named[-1] :]) if named else "/".join(("train", *folders[-2:]))


def _is_played(file: Path) -> bool:
    """False for the games that ALFWorld lists nowhere."""
    where = str(file.parent)
    return "movable" not in where and "Sliced" not in where and not _UNSOLVABLE.search(file.read_bytes())


def _unpack(path: Path) -> Iterator[tuple[str, Callable[[], Record]]]:
    opener = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    game_id = _checked(line, where, ("game", "goal", "pddl_problem"))["game"]
                    if _split_of(game_id) not in SPLITS:
                        raise DataError(f"{where}: {game_id!r} names no split; ids begin with one of {SPLITS}")
                    yield game_id, _PackedGame(line)
    except (lzma.LZMAError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _checked(text: bytes, where: str, keys: tuple[str, ...]) -> Record:
    """Return the JSON object ``text``, whose ``keys`` must be strings."""
    try:
        record = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: not a game, the JSON is malformed ({error})") from error
    missing = [key for key in keys if not isinstance(record, dict) or not isinstance(record.get(key), str)]
    if missing:
        raise DataError(f"{where}: not a game, {' and '.join(missing)} should be a string")
    return dict(record)


class _PackedGame:
    """One line of a packed file, kept compressed (about 4 KB instead of 45)."""

    def __init__(self, line: bytes) -> None:
        self._line = zlib.compress(line, 1)

    def __call__(self) -> Record:
        return dict(json.loads(zlib.decompress(self._line)))


class _RawGame:
    """A ``game.tw-pddl`` file. Its goal sentence is written in its text grammar."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> Record:
        record = _checked(self._path.read_bytes(), str(self._path), ("pddl_problem", "grammar"))
        sentence = _TASK_SENTENCE.search(record["grammar"])
        if sentence is None:
            raise DataError(f'{self._path}: the grammar has no rule "Your task is to: …"')
        return record | {"goal": sentence[1]}
