"""``constraints.txt`` pins what the set-up installs: every package, exactly, from wherever pip is told to look."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PINS = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES)}
OURS = {"agentrl", "torch"}
"""Not pinned there: this project, and torch, which the Makefile chooses."""


def asked() -> list[Requirement]:
    """Return the requirements of the dev extra, with the extras that it names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = ("train", "similarity", "graph", "site", "dev")
    own = project["dependencies"] + [need for name in names for need in extras[name]]
    return [need for need in map(Requirement, own) if need.name != "agentrl"]


def needed_by(name: str, seen: set[str]) -> Iterator[Requirement]:
    """Yield what an installed package needs on this machine, and what that needs."""
    if name in seen:
        return
    seen.add(name)
    try:
        needs = requires(name) or []
    except PackageNotFoundError:
        return
    for need in map(Requirement, needs):
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield need
            yield from needed_by(canonicalize_name(need.name), seen)


def test_every_line_is_a_name_and_an_exact_version() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []
    assert len(PINS) == len(LINES) > 40
    assert not OURS & set(PINS)


def test_pins_are_within_the_ranges() -> None:
    for need in asked():
        if need.name != "torch":
            version = PINS[canonicalize_name(need.name)]
            assert need.specifier.contains(version, prereleases=True), f"{need} excludes {version}: run make lock"


def test_what_the_requirements_need_is_pinned_too() -> None:
    installed = {canonicalize_name(each.name): each.version for each in distributions()}
    if other := sorted(name for name, pin in PINS.items() if installed.get(name, pin) != pin):
        pytest.skip(f"other versions than the pinned ones are installed: {', '.join(other[:3])}")
    seen: set[str] = set()
    for need in asked():
        if need.name == "torch":  # its CUDA parts are its own
            continue
        for further in needed_by(canonicalize_name(need.name), seen):
            name = canonicalize_name(further.name)
            assert name in PINS or name in OURS, f"{further} is not pinned: run make lock"
