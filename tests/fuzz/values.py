"""Values, configurations and damages drawn at random, from a seed."""

import copy
import math
import random
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agentrl.algorithms.base import recipes
from agentrl.rollout.branching import SAMPLERS
from agentrl.trainer.config import Config
from tests.agentrl.trainer.tiny import tiny_tree

SCALARS: list[Any] = [
    *(None, True, False, 0, 1, 2, 3, 7, -1, -2, 10**9, 10**30, -(10**30), 2**31, 2**63, 2**64),
    *(0.0, 0.5, 1.0, -0.5, 1e-300, 1e308, math.nan, math.inf, -math.inf),
    *(
        "",
        " ",
        "x",
        "~",
        "null",
        "3",
        "1e9",
        "train",
        "valid_unseen",
        "none",
        "auto",
        "float32",
        "grpo",
        "tags",
        "tools:a,b",
    ),
    *(
        "agentrl/Maze-v0",
        "agentrl/Household-v0",
        "CartPole-v1",
        "nowhere:x",
        ":",
        "a:b:c",
        "../..",
        "/",
        ".",
        "/dev/null",
    ),
    *(
        "\0",
        "\ud800",
        "é",
        "😀",
        "\n",
        "a" * 300,
        "${HOME}",
        "$",
        "${",
        "%s",
        "{}",
        "[red]",
        "/proc/nothing",
        "n/" * 200,
    ),
    *(date(2020, 1, 2), b"\xff\x00"),
]
PLACES = ("/dev/null/run", "/proc/run", "/sys/run", "\0", "a" * 300, "/", "~", "", "/dev/full", "\ud800")
"""Directories that nothing can be written to."""


def value(rng: random.Random, depth: int = 0) -> Any:
    """Draw any value that YAML can hold."""
    kind = rng.random()
    if depth < 3 and kind < 0.1:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if depth < 3 and kind < 0.2:
        return {scalar(rng): value(rng, depth + 1) for _ in range(rng.randrange(3))}
    return scalar(rng)


def scalar(rng: random.Random) -> Any:
    """Draw a number, a text, a date or nothing."""
    return rng.choice(SCALARS) if rng.random() < 0.8 else rng.randrange(-5, 40) / rng.choice((1, 1, 4))


def near(rng: random.Random, known: Any) -> Any:
    """Draw something like a value that is known to work."""
    if isinstance(known, bool) or not isinstance(known, (int, float)):
        return value(rng)
    return rng.choice((known, known + 1, known * 2, known / 2, -known, str(known), [known], known * 10**6))


def keys(section: type[BaseModel] = Config, prefix: str = "") -> list[tuple[str, Any]]:
    """Return every key of the configuration with its default."""
    found: list[tuple[str, Any]] = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += keys(field.annotation, f"{prefix}{name}.")
        else:
            found.append((prefix + name, field.default))
    return found


KEYS = keys()
ENV_ARGUMENTS = {
    "agentrl/Maze-v0": ("size", "doors", "max_turns", "split", "render_mode", "tasks", "sise"),
    "agentrl/Household-v0": ("games", "split", "max_turns", "dialect", "render_mode", "generator", "expert", "id"),
}
GENERATOR = ("difficulty", "receptacles", "objects", "closed", "shared", "rooms", "tasks", "num_train", "seed", "x")


def configuration(rng: random.Random, directory: Path) -> dict[str, Any]:
    """Draw a tiny run with one to three changes."""
    tree = copy.deepcopy(tiny_tree(directory))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice((_change_key, _change_key, _change_key, _change_options, _change_env, _change_shape))(rng, tree)
    return tree


def _change_key(rng: random.Random, tree: dict[str, Any]) -> None:
    key, default = rng.choice(KEYS)
    put(tree, key, near(rng, default) if rng.random() < 0.6 else value(rng))


def _change_options(rng: random.Random, tree: dict[str, Any]) -> None:
    """Choose an algorithm or a sampler, and change one of its options."""
    if rng.random() < 0.6:
        name, recipe = rng.choice(sorted(recipes().items()))
        options: dict[Any, Any] = {"name": name}
        if recipe.model_fields and rng.random() < 0.7:
            option, field = rng.choice(sorted(recipe.model_fields.items()))
            options[option] = near(rng, field.default)
        put(tree, "algorithm", options)
    else:
        options = {"name": rng.choice(sorted(SAMPLERS))}
        if rng.random() < 0.5:
            options[rng.choice(("budget", "roots", "width", "beams", "x", "threshold"))] = value(rng)
        put(tree, "rollout.sampler", options)


def _change_env(rng: random.Random, tree: dict[str, Any]) -> None:
    env_id, arguments = rng.choice(sorted(ENV_ARGUMENTS.items()))
    kwargs = {rng.choice(arguments): value(rng) for _ in range(rng.choice((1, 1, 2)))}
    if "generator" in kwargs and rng.random() < 0.8:
        kwargs["generator"] = {rng.choice(GENERATOR): value(rng)}
    put(tree, "env", {"id": env_id, "kwargs": kwargs})


def _change_shape(rng: random.Random, tree: dict[str, Any]) -> None:
    """Delete, misname, or put a value in the place of a section."""
    if not tree:
        return
    section = rng.choice(sorted(tree, key=str))
    kind = rng.randrange(4)
    if kind == 0:
        tree.pop(section)
    elif kind == 1:
        tree[section] = value(rng)
    elif kind == 2:
        tree[scalar(rng) if rng.random() < 0.2 else f"{section}x"] = value(rng)
    elif isinstance(tree[section], dict):
        tree[section][scalar(rng)] = value(rng)


def put(tree: dict[str, Any], key: str, content: Any) -> None:
    """Set a key, making sections on the way."""
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(tree.get(parent), dict):
            tree[parent] = {}
        tree = tree[parent]
    tree[last] = content


def damage(rng: random.Random, content: bytes) -> bytes:
    """Flip, cut, double or overwrite bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        if not data:
            break
        place = rng.randrange(len(data))
        kind = rng.randrange(6)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + rng.randrange(1, 40)]
        elif kind == 3:
            data[place:place] = rng.randbytes(rng.randrange(1, 20))
        elif kind == 4:
            data[place : place + 8] = rng.choice((b"\0" * 8, b"\xff" * 8, b"{{{{[[[[", b"&a [*a, *", b"!!python"))
        else:
            data[place:place] = data[place // 2 : place]
    return bytes(data)
