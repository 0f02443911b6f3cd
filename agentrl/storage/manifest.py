"""Checksums of a folder's files, written beside them and checked before they are believed.

The manifest has the form of ``sha256sum``: ``cd FOLDER && sha256sum --check SHA256SUMS`` reads it,
``sha256sum FILES > SHA256SUMS`` makes it anew.
"""

import hashlib
import re
from pathlib import Path

from agentrl.errors import DataError
from agentrl.storage.files import write_file

MANIFEST = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def write_manifest(folder: Path) -> None:
    """Write the SHA-256 of every file in ``folder``, those in folders of its own included; in place of an older one."""
    lines = [f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    write_file(folder / MANIFEST, "".join(lines))


def check_manifest(folder: Path, *, required: bool = False) -> None:
    """Compare every file that the manifest of ``folder`` names with its checksum. Files that it does not name may come.

    Args:
      folder: as it was written.
      required: refuse a folder without a manifest, such as one of another project, and files that it does not name.

    Raises:
      DataError: a file is missing or has changed, or the manifest cannot be read; says how to keep a change.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if required:
            raise DataError(f"{folder} holds no {MANIFEST}: it was not written whole, or by another version")
        return
    expected_of = _read(path)
    if required:
        unknown = [file for file in _files(folder) if file.relative_to(folder).as_posix() not in expected_of]
        if unknown:
            raise DataError(f"{unknown[0]} is not among the files that {path} names{_way_out(path)}")
    for name, expected in expected_of.items():
        file = folder / name
        try:
            found = _digest(file)
        except FileNotFoundError:
            raise DataError(f"{folder} is incomplete: {name} is missing{_way_out(path)}") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read: {error}{_way_out(path)}") from error
        if found != expected:
            raise DataError(f"{file} is not as it was written: its checksum differs{_way_out(path)}")


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder but its manifest, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _way_out(path: Path) -> str:
    return f"; restore it, or, if that is on purpose, remove {path}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, str]:
    """Return the checksum of each file."""
    try:
        lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}{_way_out(path)}") from error
    found = [_LINE.fullmatch(line) for line in lines]
    broken = next((number for number, match in enumerate(found, start=1) if match is None), None)
    if broken is not None:
        raise DataError(f"{path} is damaged: line {broken} is no checksum and file name{_way_out(path)}")
    return {match[2]: match[1] for match in found if match is not None}
