"""Every example in the docstrings of credit assignment, and in docs/credit.md, says what it says."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

from agentrl import credit

MODULES = [module.name for module in pkgutil.iter_modules(credit.__path__, "agentrl.credit.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_the_page():
    page = Path(__file__).parents[3] / "docs" / "credit.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 3
    assert result.failed == 0


def test_every_public_function_is_on_the_page():
    page = (Path(__file__).parents[3] / "docs" / "credit.md").read_text(encoding="utf-8")
    missing = [name for name in vars(credit) if callable(getattr(credit, name)) and name not in page]
    assert missing == []
