"""Where what was read once is kept: a folder for each content, named by its hash."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentrl.errors import DataError
from agentrl.storage.files import write_file

_CHUNK = 1 << 22
_FORMAT = 1
"""Changes with what is kept, so that older folders are not taken for newer ones."""


def cache_folder() -> Path:
    """Return the folder for caches: ``$AGENTRL_CACHE``, or ``agentrl`` where the system keeps caches."""
    if given := os.environ.get("AGENTRL_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentrl"


def digest_of(name: str, files: Mapping[str, Path | None]) -> str:
    """Return the hash that names the cache of what is made of ``files`` (role to path).

    The hash of a file is computed again when its size or time of change differs from what is remembered.

    Raises:
      DataError: the cache folder cannot be written to.
    """
    folder = cache_folder() / "webshop"
    memory = folder / "digests.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = json.loads(memory.read_bytes()) if memory.exists() else {}
    except (OSError, ValueError) as error:
        raise DataError(f"cache {folder}: {error}; AGENTRL_CACHE names another folder") from error
    total = hashlib.blake2b(f"{name} {_FORMAT}".encode(), digest_size=12)
    is_new = False
    for role, path in sorted(files.items()):
        content = ""
        if path is not None:
            stat = path.stat()
            stamp = [stat.st_size, stat.st_mtime_ns]
            key = str(path.resolve())
            if known.get(key, [])[:2] != stamp:
                known[key], is_new = [*stamp, _digest(path)], True
            content = known[key][2]
        total.update(f"\0{role}\0{content}".encode())
    if is_new:
        write_file(memory, json.dumps(known, indent=1))
    return total.hexdigest()


def _digest(path: Path) -> str:
    total = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


@contextmanager
def building(digest: str) -> Iterator[Path]:
    """Yield the folder of a cache while no other process builds in it."""
    import fcntl

    folder = cache_folder() / "webshop" / digest
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DataError(f"cache {folder}: {error}; AGENTRL_CACHE names another folder") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


class Progress:
    """Says on the standard error stream how far a long build is, every few seconds."""

    def __init__(self, what: str, every: float = 5.0) -> None:
        self._what, self._every = what, every
        self._next = time.monotonic() + every

    def __call__(self, count: int, note: str = "") -> None:
        """Report ``count``, if it is time."""
        if time.monotonic() >= self._next:
            print(f"webshop: {self._what}: {count:,}{note}", file=sys.stderr, flush=True)
            self._next = time.monotonic() + self._every
