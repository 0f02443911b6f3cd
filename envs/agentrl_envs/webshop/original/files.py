"""Which files of WebShop's data a folder has."""

import re
from pathlib import Path
from typing import NamedTuple

from agentrl.errors import DataError


class Files(NamedTuple):
    """The files of a shop."""

    products: Path
    known: Path | None
    """Attributes and instructions by asin."""
    human: Path | None
    """What people wrote, by asin."""


def find_files(folder: Path) -> Files:
    """Return the files in ``folder``: ``items_shuffle*.json``, and beside it attributes of the same suffix.

    Raises:
      DataError: there is no file of products, or several of which none is the full one.
    """
    products = sorted(folder.glob("items_shuffle*.json"))
    if len(products) > 1:
        products = [path for path in products if path.name == "items_shuffle.json"] or products
    if len(products) != 1:
        what = ", ".join(path.name for path in products) or "none"
        raise DataError(f"{folder}: expected one file of products, items_shuffle*.json, got {what}")
    suffix = re.sub(r"^items_shuffle|\.json$", "", products[0].name)
    known = [path for path in (folder / f"items_ins_v2{suffix}.json", folder / "items_ins_v2.json") if path.exists()]
    human = folder / "items_human_ins.json"
    return Files(products[0], known[0] if known else None, human if human.exists() else None)
