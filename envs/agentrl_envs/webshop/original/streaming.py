"""JSON files that are larger than memory, element by element."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentrl.errors import DataError

_CHUNK = 1 << 20
_MOST = 1 << 27
"""A single element is never longer than this many characters."""
_SPACES = " \t\r\n"
_AFTER = " \t\r\n,:]}"
"""What may follow a value; anything else shows that a number was cut off."""
_LONGEST_NUMBER = 1_000


class _Reader:
    """Decodes one JSON value after the other from a file, of which it holds little more than a chunk."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._file = path.open("rb")
        self._file.seek(start)
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at = "", 0
        self._before = start

    def close(self) -> None:
        self._file.close()

    @property
    def offset(self) -> int:
        """How many bytes of the file were taken."""
        return self._before + len(self._text[: self._at].encode())

    def peek(self) -> str:
        """Return the next character that is no white space, or ``""`` at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACES:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> str:
        """Take one of the characters ``expected``, and return it."""
        if (found := self.peek()) == "" or found not in expected:
            raise self.fault(f"expected one of {expected!r}, got {found!r}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Take a value."""
        self.peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except ValueError as error:
                if len(self._text) - self._at > _MOST or not self._more():
                    raise self.fault(str(error)) from error
            else:
                is_cut = end == len(self._text) or self._text[end] not in _AFTER
                if is_cut and len(self._text) - self._at < _LONGEST_NUMBER and self._more():
                    continue
                self._at = end
                return value

    def fault(self, what: str) -> DataError:
        return DataError(f"{self._path}: malformed JSON after byte {self.offset:,}: {what}")

    def _more(self) -> bool:
        raw = self._file.read(_CHUNK)
        try:
            text = self._decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise self.fault(f"not UTF-8 ({error})") from error
        self._before = self.offset
        self._text, self._at = self._text[self._at :] + text, 0
        return bool(raw)


def stream_list(path: Path, start: int = 0) -> Iterator[tuple[Any, int]]:
    """Yield the elements of the list in a file, each with the offset behind it, from which the next can be read.

    Raises:
      DataError: the file is no JSON list.
    """
    reader = _Reader(path, start)
    try:
        if start:
            if reader.take(",]") == "]":
                return
        elif reader.take("[") and reader.peek() == "]":
            return
        while True:
            yield reader.value(), reader.offset
            if reader.take(",]") == "]":
                return
    finally:
        reader.close()


def stream_object(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the members of the object in a file.

    Raises:
      DataError: the file is no JSON object.
    """
    reader = _Reader(path, 0)
    try:
        if reader.take("{") and reader.peek() == "}":
            return
        while True:
            key = reader.value()
            if not isinstance(key, str):
                raise reader.fault(f"a key should be a string, got {key!r}")
            reader.take(":")
            yield key, reader.value()
            if reader.take(",}") == "}":
                return
    finally:
        reader.close()
