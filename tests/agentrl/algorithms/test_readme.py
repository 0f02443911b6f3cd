"""What docs/algorithms.md says of the algorithms is what the code says of itself."""

import inspect
import re
from pathlib import Path

import pytest

from agentrl.algorithms import BUILTIN
from agentrl.algorithms.base import Recipe
from agentrl.trainer.checks.composition import UNMET
from agentrl.trainer.config import CurriculumConfig

ROOT = Path(__file__).parents[3]
SECTION = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in SECTION.splitlines() if line[:1] == "|"]
BY_NAME = {row[0].strip("`"): row[1:] for row in ROWS if len(row) == 5 and row[0].startswith("`")}
PAPERS = [row for row in ROWS if len(row) == 2 and row[0] not in ("paper", "---")]


def test_every_algorithm_has_a_row_and_every_row_an_algorithm() -> None:
    assert sorted(BY_NAME) == sorted(recipe.name for recipe in BUILTIN)


@pytest.mark.parametrize("recipe", BUILTIN, ids=lambda recipe: recipe.name)
def test_a_row_says_what_the_code_says(recipe: type[Recipe]) -> None:
    title, paper, file, test = BY_NAME[recipe.name]
    is_refused = bool(recipe().required() & UNMET.keys())
    said, _, refused = title.partition(" (refused: ")
    assert said == recipe.title
    assert bool(refused) == is_refused
    (arxiv,) = re.findall(r"arxiv.org/abs/([\d.]+)", paper)
    assert f"arXiv:{arxiv}" in recipe.paper
    assert (ROOT / file.strip("`")).samefile(inspect.getfile(recipe))
    assert test.strip("`") == recipe.test


def test_what_the_reading_list_names_is_there() -> None:
    assert len(PAPERS) == 32
    names = {recipe.name for recipe in BUILTIN}
    curricula = CurriculumConfig.model_fields["name"].annotation.__args__  # type: ignore[union-attr]
    for paper, state in PAPERS:
        for name in re.findall(r"`(\w+)`", state):
            assert name in names, paper
        for name in re.findall(r"curriculum\.name=(\w+)", state):
            assert name in curricula, paper
        assert "`" in state or state.startswith("not there"), paper
