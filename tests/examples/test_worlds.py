"""The worlds in examples/worlds keep the contract, law by law, and are small."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agentrl import make, testing
from agentrl.testing import LAWS, Case

FOLDER = Path(__file__).parents[2] / "examples" / "worlds"
WORLDS = {"sokoban": "worlds/Sokoban-v0", "payments": "worlds/Payments-v0"}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path, str(FOLDER)])
    yield


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("check_"))
@pytest.mark.parametrize("module", WORLDS)
def test_the_world_keeps_the_contract(module: str, law: testing.Law) -> None:
    law(Case(partial(make, f"{module}:{WORLDS[module]}"), seeds=(0, 1), turns=9))


def test_each_world_is_short() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(WORLDS)
    assert all(len(path.read_text().splitlines()) < 150 for path in FOLDER.glob("*.py"))


@pytest.mark.usefixtures("found")
def test_what_cannot_be_mended_is_a_dead_end() -> None:
    env = make("payments:worlds/Payments-v0")
    env.reset(seed=0)
    plan = env.solution()
    assert plan is not None
    *_, info = env.step(plan[0])
    number = next(iter(env._balances))  # type: ignore[attr-defined]
    env.step(f'{{"tool": "close", "account": {number}}}')
    assert env.solution() is None
    *_, terminated, _, info = env.step('{"tool": "done"}')
    assert terminated and not info["success"] and info["score"] < 1
