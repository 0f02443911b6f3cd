"""The figures of the pages can be made anew, and every page shows figures that exist."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_every_figure_of_a_page_exists(page: Path) -> None:
    for figure in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text()):
        assert (DOCS / figure).is_file(), figure


@pytest.mark.slow
def test_the_figures_of_the_credit_page_are_made_by_their_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("make_figures", DOCS / "figures" / "make_figures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    module.main()
    made = {path.name for path in tmp_path.iterdir()}
    assert made == set(re.findall(r"figures/(credit_\w+\.png)", (DOCS / "credit.md").read_text()))
