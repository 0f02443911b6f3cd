"""A generated catalogue in the original's files, for the original shop or for whoever reads those."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agentrl_envs.webshop.product import Product


def product_record(product: Product) -> dict[str, Any]:
    """Return the entry of ``items_shuffle.json`` that `product.read_product` reads this product from."""
    return {
        "name": product.title,
        "full_description": product.description,
        "pricing": " - ".join(f"${price:.2f}" for price in product.prices),
        "images": [product.image],
        "product_category": product.product_category,
        "average_rating": "" if product.rating == "N.A." else float(product.rating),
        "small_description": list(product.bullets),
        "customization_options": {
            name: [{"value": value, "is_selected": False, "is_available": True, "image": None} for value in values]
            for name, values in product.options.items()
        }
        or "",
        "asin": product.asin,
        "category": product.category,
        "query": product.query,
        "page": 1,
    }


def known_record(product: Product) -> dict[str, Any]:
    """Return the entry of ``items_ins_v2.json`` for this product."""
    known: dict[str, Any] = {"attributes": list(product.attributes)}
    if product.instruction is not None:
        known |= {"instruction": product.instruction, "instruction_attributes": list(product.wanted)}
    return known


def write_files(products: Iterable[Product], folder: Path) -> None:
    """Write ``items_shuffle.json`` and ``items_ins_v2.json``, product by product, in constant memory."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        items = stack.enter_context((folder / "items_shuffle.json").open("w", encoding="utf-8"))
        known = stack.enter_context((folder / "items_ins_v2.json").open("w", encoding="utf-8"))
        items.write("[")
        known.write("{")
        for before, product in zip(_commas(), products, strict=False):
            items.write(before + json.dumps(product_record(product), ensure_ascii=False))
            known.write(f"{before}{json.dumps(product.asin)}: {json.dumps(known_record(product), ensure_ascii=False)}")
        items.write("\n]\n")
        known.write("\n}\n")


def _commas() -> Iterator[str]:
    yield "\n"
    while True:
        yield ",\n"
