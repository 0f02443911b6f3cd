"""YAML from anywhere as a tree of plain values, of a size that can be worked with."""

from typing import Any

import yaml

from agentrl.errors import ConfigError

MOST_VALUES, MOST_LEVELS = 100_000, 50
"""What a configuration may hold, values that aliases repeat counted each time."""


def parse_yaml(text: str, what: str) -> Any:
    """Return what a text in YAML holds.

    Raises:
      ConfigError: it is not YAML, refers to itself, is too large or too deep, or holds text that cannot be written
        (half a surrogate pair); ``what`` names it.
    """
    try:
        tree = yaml.safe_load(text)
    except RecursionError:
        raise ConfigError(f"{what} is nested too deeply") from None
    except Exception as error:  # the library also raises what its values' constructors raise
        raise ConfigError(f"{what} is not YAML: {' '.join(str(error).split())}") from error
    _count(tree, what, {}, 0)
    return tree


def _count(node: Any, what: str, known: dict[int, int], depth: int) -> int:
    """Return how many values a node holds; those seen before are looked up, so that it is quick for any tree."""
    if isinstance(node, str):
        try:
            node.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{what} holds text that is not Unicode: {node[:60]!r}: {error.reason}") from None
    if not isinstance(node, (dict, list, set, tuple)):
        return 1
    if depth > MOST_LEVELS:
        raise ConfigError(f"{what} is nested more than {MOST_LEVELS} levels deep, or refers to itself")
    if id(node) not in known:
        inside = [*node.keys(), *node.values()] if isinstance(node, dict) else list(node)
        known[id(node)] = 1 + sum(_count(one, what, known, depth + 1) for one in inside)
    if known[id(node)] > MOST_VALUES:
        raise ConfigError(f"{what} holds more than {MOST_VALUES:,} values, those repeated by aliases counted each time")
    return known[id(node)]
