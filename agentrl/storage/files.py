"""Files and folders that appear whole or not at all, and stay once they are there.

Nothing is written in place: what is written goes to a name beside it, is brought to the disk, and then takes the place
of what was there. A machine that stops at any moment leaves the old content or the new, never a mixture. A folder
cannot replace another in one step: where a process ended between the two, :func:`recover` puts the old one back.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` for the body to write a file or a folder to, which then takes the place of ``path``.

    Where the body raises, what it wrote is removed and ``path`` is as it was.
    """
    partial, stale = _beside(path, "partial"), _beside(path, "stale")
    remove(partial)
    try:
        yield partial
        _to_disk(partial)
    except BaseException:
        remove(partial)
        raise
    if path.is_dir():
        remove(stale)
        os.replace(path, stale)
    os.replace(partial, path)
    _to_disk(path.parent, deep=False)
    remove(stale)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file, in place of one that was there."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, in one write."""
    content = f"{line}\n".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def recover(directory: Path) -> list[Path]:
    """Mend what a process that ended while it replaced something in ``directory`` left; return the folders put back.

    Only while nobody writes there.
    """
    back = []
    for stale in sorted(directory.glob(".*.stale")):
        path = directory / stale.name.removeprefix(".").removesuffix(".stale")
        if not path.exists():
            os.replace(stale, path)
            back.append(path)
    for leftover in (*directory.glob(".*.partial"), *directory.glob(".*.stale")):
        remove(leftover)
    return back


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}")


def _to_disk(path: Path, *, deep: bool = True) -> None:
    """Have what was written of a file, or of a folder with all that is in it, brought to the disk."""
    if deep and path.is_dir():
        for inside in path.iterdir():
            _to_disk(inside)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
