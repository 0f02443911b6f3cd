"""Configurations from files, mappings and overrides: unknown keys are refused with the nearest name."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel

from agentrl.errors import ConfigError, nearest
from agentrl.trainer.config.whole import Config
from agentrl.trainer.config.yaml_tree import parse_yaml

REPLACED = {"rollout.threads": "environments live in a host now: set env.host to threads, or processes"}
"""Keys of old configurations, and what to write instead."""


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file and apply ``section.key=value`` overrides (values are YAML).

    A mapping merges into one that is there: ``algorithm={gamma: 0.9}`` leaves the other options as the file has them.
    An empty one empties it, and one with another ``name``, ``id`` or ``kind`` takes its place.

    Raises:
      ConfigError: missing file, malformed YAML, unknown key (names the nearest), or a value out of range.
    """
    try:
        exists = path.is_file()
    except OSError as error:  # a name that is too long, say
        raise ConfigError(f"no configuration file {str(path)[:200]!r}: {error.strerror}") from None
    if not exists:
        siblings = sorted(str(p) for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        raise ConfigError(f"no configuration file {str(path)!r}{nearest(str(path), siblings)}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    tree = parse_yaml(text, str(path)) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, not a {type(tree).__name__}")
    for override in overrides:
        _apply(tree, override)
    return parse_config(tree)


def parse_config(tree: Mapping[str, Any]) -> Config:
    """Validate a nested mapping; see :func:`load_config` for what is raised."""
    try:
        return Config.model_validate(tree)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if key in REPLACED:
            raise ConfigError(f"unknown key {key!r}: {REPLACED[key]}") from None
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"unknown key {key!r}{_nearest_key(first['loc'])}") from None
        if first["type"] == "model_type":
            raise ConfigError(f"{key} is a section with keys of its own, got {_short(first['input'])}") from None
        message = first["msg"].removeprefix("Value error, ")
        given = f", got {_short(first['input'])}" if first["type"] not in ("missing", "value_error") else ""
        where = f"{key}: " if key else ""
        raise ConfigError(f"{where}{message[0].lower()}{message[1:]}{given}") from None


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


def _apply(tree: dict[str, Any], override: str) -> None:
    key, value = parse_override(override, "section.key=value")
    node = tree
    *parents, last = key.split(".")
    for parent in parents:
        if node.get(parent) is None:
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise ConfigError(f"--set {override!r}: {parent!r} is a value, not a section")
    node[last] = _merged(node.get(last), value)


def _merged(before: Any, value: Any) -> Any:
    """Return a value that is set over another. Mappings merge, so that no option falls back to its default unasked.

    An empty one empties, and one that names another thing has options of its own.
    """
    if not (isinstance(before, dict) and isinstance(value, dict)) or not value:
        return value
    if any(key in before and before[key] != value.get(key, before[key]) for key in ("name", "id", "kind")):
        return value
    return before | {key: _merged(before.get(key), one) for key, one in value.items()}


def parse_override(override: str, form: str = "key=value") -> tuple[str, Any]:
    """Return key and value (YAML) of ``--set``.

    Raises:
      ConfigError: it is not of the form.
    """
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {override!r}: expected {form}")
    return key.strip(), parse_yaml(text, f"--set {override!r}: the value")


def _nearest_key(location: tuple[int | str, ...]) -> str:
    section: Any = Config
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        section = field.annotation if field else None
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return ""
    return nearest(str(location[-1]), section.model_fields)
