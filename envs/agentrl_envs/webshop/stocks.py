"""What the environments of a process share: shops and goals, made once for each set of options."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from agentrl.storage.files import write_file
from agentrl.tasks import content_digest
from agentrl_envs.webshop.catalogue.goals import GeneratedCatalogue
from agentrl_envs.webshop.original.cache import Progress, building, digest_of
from agentrl_envs.webshop.original.goals import OriginalGoals
from agentrl_envs.webshop.original.store import OriginalStock
from agentrl_envs.webshop.pages import Pages
from agentrl_envs.webshop.product import Stock
from agentrl_envs.webshop.search import SearchIndex, search_text
from agentrl_envs.webshop.search.analysis import terms
from agentrl_envs.webshop.search.postings import PostingsBuilder
from agentrl_envs.webshop.shop import Shop

IN_MEMORY = 20_000
"""Search indexes over at most so many generated products are made in memory, larger ones in the cache folder."""
_SAMPLE = 64


@lru_cache(maxsize=8)
def original_stock(folder: str) -> OriginalStock:
    """Return the products of WebShop's files in a folder."""
    return OriginalStock(Path(folder))


@lru_cache(maxsize=8)
def original_shop(folder: str) -> Shop:
    """Return the shop with WebShop's products."""
    stock = original_stock(folder)
    return Shop(stock, stock.index().search)


@lru_cache(maxsize=8)
def original_goals(folder: str, kind: Literal["synthetic", "human"]) -> OriginalGoals:
    """Return the goals of one kind in WebShop's files, with drawn prices."""
    return OriginalGoals(original_stock(folder), kind, {})


@lru_cache(maxsize=8)
def generated_catalogue(**options: Any) -> GeneratedCatalogue:
    """Return the catalogue with these options."""
    return GeneratedCatalogue(**options)


@lru_cache(maxsize=8)
def generated_shop(**options: Any) -> Shop:
    """Return the shop with the products of the catalogue with these options."""
    stock = generated_catalogue(**options).stock
    return Shop(stock, index_of(stock).search)


@lru_cache(maxsize=16)
def pages_of(shop: Shop) -> Pages:
    """Return the pages of a shop."""
    return Pages(shop)


def index_of(stock: Stock) -> SearchIndex:
    """Return the search index over a stock: in memory, or for more than `IN_MEMORY` products in the cache folder.

    There it is found again by the number of products and the texts of 64 of them.
    """
    if len(stock) <= IN_MEMORY:
        return SearchIndex.of_products(stock)
    sample = [stock.get(stock.asin(at * (len(stock) - 1) // _SAMPLE)) for at in range(_SAMPLE + 1)]
    name = content_digest("\n".join(search_text(product) for product in sample if product is not None))
    with building(digest_of(f"index {len(stock)} {name}", {})) as folder:
        if not (folder / "complete").exists():
            builder, progress = PostingsBuilder(folder), Progress("products indexed")
            for number in range(len(builder), len(stock)):
                product = stock.get(stock.asin(number))
                assert product is not None
                builder.add(product.asin, terms(search_text(product)))
                progress(number)
            builder.finish()
            write_file(folder / "complete", "")
    return SearchIndex.open(folder)
