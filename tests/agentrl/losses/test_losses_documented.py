"""The examples in docs/losses.md say what they say, and the page names every public function."""

import doctest
from pathlib import Path

from agentrl import losses

PAGE = Path(__file__).parents[3] / "docs" / "losses.md"


def test_the_page():
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 3
    assert result.failed == 0


def test_every_public_function_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    public = [name for name in vars(losses) if callable(getattr(losses, name))]
    assert [name for name in public if name not in page] == []
