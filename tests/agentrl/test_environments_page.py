"""docs/environments.md: its Python runs, and the worlds in it keep the contract."""

import re
from pathlib import Path
from typing import Any

import pytest

from agentrl import TextEnv
from agentrl.errors import ConfigError
from agentrl.testing import LAWS, Case

PAGE = Path(__file__).parents[2] / "docs" / "environments.md"


def test_the_page_runs_and_its_worlds_keep_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    worlds = [value for value in names.values() if isinstance(value, type) and issubclass(value, TextEnv)]
    own = [world for world in worlds if world.__module__ == "page"]
    assert {world.__name__ for world in own} == {"Safe", "Ladder", "Quiz"}
    for world in own:
        for law in LAWS:
            try:
                law(Case(world, seeds=(0,), turns=8))
            except ConfigError as error:  # a class of a page cannot travel to another process
                assert "cannot be sent to another process" in str(error)
