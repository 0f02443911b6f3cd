"""The generated catalogue in the original's files reads back as it was."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

from agentrl_envs.webshop.catalogue.goals import GeneratedCatalogue
from agentrl_envs.webshop.catalogue.records import write_files
from agentrl_envs.webshop.goal import synthetic_goals
from agentrl_envs.webshop.product import is_listed, read_product


def test_files_read_back_as_the_products(tmp_path: Path) -> None:
    products = list(islice(GeneratedCatalogue().stock, 200))
    write_files(products, tmp_path / "shop")
    records = json.loads((tmp_path / "shop" / "items_shuffle.json").read_text(encoding="utf-8"))
    known = json.loads((tmp_path / "shop" / "items_ins_v2.json").read_text(encoding="utf-8"))
    assert all(map(is_listed, records))
    # Ratings and reviews are in no file that the original reads.
    assert [read_product(record, known[record["asin"]]) for record in records] == [
        replace(product, rating="N.A.", reviews=()) for product in products
    ]


def test_a_catalogue_of_nothing_is_still_json(tmp_path: Path) -> None:
    write_files([], tmp_path)
    assert json.loads((tmp_path / "items_shuffle.json").read_text()) == []


def test_some_products_have_synthetic_goals() -> None:
    products = list(islice(GeneratedCatalogue().stock, 200))
    wished = [product for product in products if list(synthetic_goals(product))]
    assert 50 < len(wished) < 110
    assert all(set(product.wanted) <= set(product.attributes) for product in wished)
