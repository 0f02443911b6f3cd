"""What a stored trajectory must be, so that everything that reads it can rely on it."""

import typing
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import cache
from typing import Any

from agentrl.errors import DataError, nearest
from agentrl.types import Trajectory

_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a mapping",
}
_FILES_OWN = ("place", "source", "shared_turns")
"""What a record says about its file and not about the trajectory."""


def check_record(kind: type, record: Any, where: str) -> None:
    """Check the fields of a trajectory, a turn or a branch point as they come from JSON.

    Raises:
      DataError: one is missing, unknown or of another type than it is declared with; ``where`` says in which record.
    """
    if not isinstance(record, dict):
        raise DataError(f"{where} is {_shown(record)}, expected a mapping")
    declared = _declared(kind)
    for name, value in record.items():
        if name not in declared:
            if name in _FILES_OWN and kind is Trajectory:
                continue
            raise DataError(f"{where} has an unknown field {name!r}{nearest(name, declared)}")
        expected, _ = declared[name]
        if expected is not None and not _is(value, expected):
            raise DataError(f"{where}: {name} is {_shown(value)}, expected {_said(expected)}")
    missing = [name for name, (_, is_needed) in declared.items() if is_needed and name not in record]
    if missing:
        raise DataError(f"{where} has no field {missing[0]!r}")


def check_trajectory(trajectory: Trajectory, where: str) -> None:
    """Check that the parts of a trajectory fit one another.

    Raises:
      DataError: turns are not numbered from 0, tokens name turns that there are not, or counts are negative.
    """
    for number, turn in enumerate(trajectory.turns):
        if turn.index != number:
            raise DataError(f"{where}: turn {number} of trajectory {trajectory.id!r} has the index {turn.index}")
        if turn.num_tokens < 0:
            raise DataError(f"{where}: turn {number} of trajectory {trajectory.id!r} has {turn.num_tokens} tokens")
    if not 0 <= trajectory.kept_turns <= len(trajectory.turns):
        raise DataError(
            f"{where}: trajectory {trajectory.id!r} kept {trajectory.kept_turns} of {len(trajectory.turns)} turns"
        )
    if trajectory.parent is not None and not 0 <= trajectory.parent.turn <= len(trajectory.turns):
        raise DataError(f"{where}: trajectory {trajectory.id!r} branches at turn {trajectory.parent.turn}")
    for sequence in trajectory.sequences:
        named = sequence.turns_L
        if len(named) and not (named.min() >= -1 and named.max() < len(trajectory.turns)):
            raise DataError(f"{where}: tokens of trajectory {trajectory.id!r} name turns that it does not have")


@cache
def _declared(kind: type) -> dict[str, tuple[type | None, bool]]:
    """Return of each field the type that JSON gives it (None for any), and whether it has no default."""
    hints = typing.get_type_hints(kind)
    found: dict[str, tuple[type | None, bool]] = {}
    for field in fields(kind):
        declared = typing.get_origin(hints[field.name]) or hints[field.name]
        known = declared if declared in _NAMES else None
        if isinstance(declared, type) and issubclass(declared, StrEnum):
            known = declared
        is_needed = field.default is MISSING and field.default_factory is MISSING
        found[field.name] = known, is_needed or field.name in ("turns", "sequences", "outcome", "parent")
    return found


def _is(value: Any, expected: type) -> bool:
    if issubclass(expected, StrEnum):
        return isinstance(value, str) and value in set(expected)
    if expected is float:
        return type(value) is float or (type(value) is int and abs(value) < 2**1023)
    if expected is int:
        return type(value) is int and abs(value) < 2**63
    return type(value) is expected


def _said(expected: type) -> str:
    return f"one of {', '.join(expected)}" if issubclass(expected, StrEnum) else _NAMES[expected]


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
