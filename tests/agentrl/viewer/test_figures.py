"""The figures of the pages can be made anew, and every page shows figures that exist."""

import doctest
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from agentrl.making import make
from agentrl.viewer.layout import lay_out

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_every_figure_of_a_page_exists(page: Path) -> None:
    for figure in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / figure).is_file(), figure


def test_the_example_of_the_viewers_page_is_true() -> None:
    result = doctest.testfile(str(DOCS / "viewer.md"), module_relative=False)
    assert result.attempted > 0 and result.failed == 0


def script(name: str) -> Any:
    """Return a script of the figures as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "figures" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_figures_of_the_credit_pages_are_made_by_their_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("make_figures")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    module.main()
    made = {path.name for path in tmp_path.iterdir()}
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "credit").glob("*.md"))
    assert made == set(re.findall(r"figures/(credit_\w+\.png)", pages))


def test_the_group_of_the_viewers_figure_is_a_forest_of_equal_worlds() -> None:
    """A branch played on by its own actions from the start sees what it saw after the fork."""
    module = script("make_forest")
    player = module.Player(make("agentrl/Household-v0", max_turns=9))
    for _ in range(module.ROOTS):
        player.begin()
    for _ in range(module.BRANCHES):
        player.branch()
    assert len(lay_out(player.played).forest.nodes) == sum(one.env_steps for one in player.played)
    for one in player.played:
        observation, _ = player.env.reset(seed=one.seed, options={"task": one.task_id})
        for turn in one.turns:
            assert turn.observation == observation
            observation, *_ = player.env.step(turn.action)
