"""What products cost in a task."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from agentrl.errors import DataError
from agentrl_envs.webshop.product import Product

_STEPS = 1 << 64


def read_prices(source: str | Path | Mapping[str, float] | None) -> Mapping[str, float]:
    """Return the prices by asin, of a mapping or a JSON file; empty for None.

    Raises:
      DataError: the file cannot be read, or is no object of numbers.
    """
    if not isinstance(source, str | Path):
        return source or {}
    try:
        prices = json.loads(Path(source).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"prices {source}: cannot be read ({error}); expected JSON like {{asin: price}}") from error
    if not isinstance(prices, dict) or not all(isinstance(price, int | float) for price in prices.values()):
        raise DataError(f"prices {source}: expected a JSON object of numbers, like {{asin: price}}")
    return prices


def price_of(product: Product, given: Mapping[str, float], seed: str, at_most: float = math.inf) -> float:
    """Return what ``product`` costs: the given price, its only one, or one drawn uniformly from its range.

    The draw depends on ``seed`` and the product's asin alone. A drawn price above ``at_most`` is drawn again from the
    range up to there, if the range begins below.
    """
    if (price := given.get(product.asin)) is not None:
        return price
    low, high = product.price_range
    if low == high:
        return low
    drawn = hashlib.blake2b(f"{seed}\0{product.asin}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    share = int.from_bytes(drawn, "little") / _STEPS
    price = low + (high - low) * share
    return low + (at_most - low) * share if low <= at_most < price else price
