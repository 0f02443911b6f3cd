"""A database of a few tables that many episodes share: each keeps only the entries that it has changed."""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, NamedTuple

from agentrl.tasks import content_digest

Place = tuple[str, str]
"""A table and the key of an entry in it."""
Tables = Mapping[str, Mapping[str, Any]]
_STRIDE = 2048
_REMEMBERED = 4096


def as_tuple(value: Any) -> Any:
    """Return nested tuples in place of mappings (their pairs, sorted by key) and lists."""
    if isinstance(value, dict):
        return tuple((key, as_tuple(value[key])) for key in sorted(value))
    return tuple(as_tuple(item) for item in value) if isinstance(value, list) else value


def fingerprint(tables: Tables) -> str:
    """Return SHA-256 of the database as one nested tuple, printed by Python: 64 hexadecimal digits."""
    return hashlib.sha256(str(as_tuple(dict(tables))).encode()).hexdigest()


class Entry(NamedTuple):
    """A changed entry."""

    value: Any
    printed: bytes
    """The pair (key, value) as it stands in what is hashed."""
    digest: str
    """Of the entry as JSON, which unlike the hash tells in what order its keys stand."""


class Store:
    """The database as it is before any episode; never changed.

    What is hashed is printed once. Of the hash's inner state there is a copy every 2048 bytes, so that the hash of
    a changed database begins at its first change.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._places: dict[str, tuple[list[str], list[int], list[int]]] = {}
        printed = self._print()
        self._printed = memoryview(printed)
        self._is_plain = all(len(table) > 1 for table in tables.values()) and len(tables) > 1
        running, self._states = hashlib.sha256(), []
        for start in range(0, len(printed), _STRIDE):
            self._states.append(running.copy())
            running.update(self._printed[start : start + _STRIDE])
        self._hashes: dict[tuple[tuple[str, str, str], ...], str] = {}

    def _print(self) -> bytes:
        """Return the printed database, noting where each entry stands."""
        text = bytearray(b"(")
        for number, table in enumerate(sorted(self.tables)):
            text += f"{', ' if number else ''}({table!r}, (".encode()
            keys, starts, ends = sorted(self.tables[table]), [], []
            for position, key in enumerate(keys):
                text += b", " if position else b""
                starts.append(len(text))
                text += print_pair(key, self.tables[table][key])
                ends.append(len(text))
            self._places[table] = keys, starts, ends
            text += b"))"
        return bytes(text + b")")

    def hash(self, changed: Mapping[Place, Entry]) -> str:
        """Return the :func:`fingerprint` of the database with some entries changed or new."""
        key = state_key(changed)
        if key not in self._hashes:
            if len(self._hashes) >= _REMEMBERED:
                self._hashes.clear()
            self._hashes[key] = self._hash(changed)
        return self._hashes[key]

    def _hash(self, changed: Mapping[Place, Entry]) -> str:
        if not self._is_plain:  # a tuple of one is printed with a comma, which another entry would take away
            values = {name: dict(table) for name, table in self.tables.items()}
            for (table, key), entry in changed.items():
                values[table][key] = entry.value
            return fingerprint(values)
        edits = sorted(self._edit(place, entry.printed) for place, entry in changed.items())
        first = min(edits[0][0] // _STRIDE if edits else len(self._states), len(self._states) - 1)
        running, position = self._states[first].copy(), first * _STRIDE
        for start, end, _, text in edits:
            running.update(self._printed[position:start])
            running.update(text)
            position = end
        running.update(self._printed[position:])
        return running.hexdigest()

    def _edit(self, place: Place, printed: bytes) -> tuple[int, int, str, bytes]:
        """Return from where to where what stands is replaced, the key, and by what."""
        table, key = place
        keys, starts, ends = self._places[table]
        index = bisect_left(keys, key)
        if index == len(keys):
            return ends[-1], ends[-1], key, b", " + printed
        if keys[index] != key:
            return starts[index], starts[index], key, printed + b", "
        return starts[index], ends[index], key, printed


class Database:
    """The database of one episode.

    What :meth:`get` returns must not be changed. What :meth:`edit` returns may be, until :meth:`settle`.

    Args:
      store: where it begins.
      changed: changed entries, as :meth:`save` returned them.
    """

    def __init__(self, store: Store, changed: Mapping[Place, Entry] | None = None) -> None:
        self._store = store
        self._changed = dict(changed or {})
        self._open: dict[Place, Any] = {}

    def get(self, table: str, key: str) -> Any:
        """Return an entry, or None."""
        place = table, key
        if place in self._open:
            return self._open[place]
        entry = self._changed.get(place)
        return self._store.tables[table].get(key) if entry is None else entry.value

    def original(self, table: str) -> Mapping[str, Any]:
        """Return a table as it was before the episode."""
        return self._store.tables[table]

    def edit(self, table: str, key: str) -> Any:
        """Return a copy of an entry that may be changed and is now what the database holds."""
        place = table, key
        if place not in self._open:
            self._open[place] = clone(self.get(table, key))
        return self._open[place]

    def put(self, table: str, key: str, value: Any) -> None:
        """Add an entry, or replace it."""
        self._open[table, key] = value

    def settle(self) -> None:
        """End the changes under way: from now on they are never changed in place."""
        for place, value in self._open.items():
            table, key = place
            text = json.dumps(value)
            before = self._store.tables[table].get(key)
            if before is not None and json.dumps(before) == text:
                self._changed.pop(place, None)
            else:
                self._changed[place] = Entry(value, print_pair(key, value), content_digest(text))
        self._open = {}

    def abandon(self) -> None:
        """Take back the changes under way."""
        self._open = {}

    def is_original(self) -> bool:
        """Return whether the whole database has the hash that it had before the episode."""
        before = self._store.tables
        return all(
            key in before[table] and print_pair(key, before[table][key]) == entry.printed
            for (table, key), entry in self._changed.items()
        )

    def save(self) -> dict[Place, Entry]:
        """Return the changed entries: with the store, all there is to know."""
        return dict(self._changed)

    def key(self) -> tuple[tuple[str, str, str], ...]:
        """Return the identity of the state: table, key and digest of every changed entry, sorted."""
        return state_key(self._changed)

    def hash(self) -> str:
        """Return the :func:`fingerprint` of the whole database; the first change decides how much of it is hashed."""
        return self._store.hash(self._changed)


def state_key(changed: Mapping[Place, Entry]) -> tuple[tuple[str, str, str], ...]:
    """Return table, key and digest of every changed entry, sorted."""
    return tuple(sorted((table, key, entry.digest) for (table, key), entry in changed.items()))


def print_pair(key: str, value: Any) -> bytes:
    """Return an entry as it stands in what is hashed."""
    return str((key, as_tuple(value))).encode()


def clone(value: Any) -> Any:
    """Return a deep copy of what JSON can hold."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    return [clone(item) for item in value] if isinstance(value, list) else value
