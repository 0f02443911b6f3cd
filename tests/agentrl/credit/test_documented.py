"""docs/credit.md names every estimator, and its examples say what they say."""

import doctest
from pathlib import Path

from agentrl import credit


def test_the_page():
    page = Path(__file__).parents[3] / "docs" / "credit.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 3
    assert result.failed == 0


def test_every_public_function_is_on_the_page():
    page = (Path(__file__).parents[3] / "docs" / "credit.md").read_text(encoding="utf-8")
    missing = [name for name in vars(credit) if callable(getattr(credit, name)) and name not in page]
    assert missing == []
