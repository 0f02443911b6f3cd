"""A small shop for tests."""

import numpy as np

from agentrl_envs.webshop.product import Product, Review, read_product
from agentrl_envs.webshop.search import SearchIndex
from agentrl_envs.webshop.shop import Shop, State


def record(number: int, name: str, **fields: object) -> dict[str, object]:
    """Return an entry of a product file."""
    return {
        "asin": f"B{number:09d}",
        "name": name,
        "full_description": f"All about the {name}.",
        "images": [""],
        "small_description": ["Solid.", "Easy."],
        "product_category": "Home › Furniture › Tables",
        "customization_options": {},
        "category": "garden",
        "query": "tables",
        "pricing": f"${number}.00",
        **fields,
    }


OPTIONS = {"Color": [{"value": "Oak"}, {"value": "Navy Blue"}], "Size": [{"value": "Small"}, {"value": '18" <wide>'}]}
RECORDS = [
    record(1, "Oak Table & Chairs", customization_options=OPTIONS, pricing="$20.00 - $40.00"),
    *(record(number, f"Plain table number {number}", query="other tables") for number in range(2, 26)),
]


class Shelf(list[Product]):
    """Products as a stock."""

    def get(self, asin: str) -> Product | None:
        return next((product for product in self if product.asin == asin), None)

    def asin(self, number: int) -> str:
        return self[number].asin

    def of_query(self, query: str) -> list[str]:
        return [product.asin for product in self if product.query == query]

    def of_category(self, category: str) -> list[str]:
        return [product.asin for product in self if product.category == category]

    def of_attribute(self, attribute: str) -> list[str]:
        return [product.asin for product in self if attribute in product.attributes]


def small_shop(*more: Product) -> Shop:
    shelf = Shelf([*(read_product(one, {"attributes": ["easy clean"]}) for one in RECORDS), *more])
    return Shop(shelf, SearchIndex.of_products(shelf).search)


def walk(shop: Shop, *actions: str) -> State:
    """Return where searches (beginning with "?") and clicks lead; all of them must be possible."""
    state, rng = State(), np.random.default_rng(0)
    for action in actions:
        after = shop.search(state, action[1:], rng) if action[0] == "?" else shop.click(state, action, rng)
        assert after is not None, action
        state = after
    return state


REVIEWED = Product(
    asin="B00000REVU",
    title="Reviewed lamp",
    description="",
    bullets=("", "Bright.\n", " \n "),
    category="garden",
    query="lamps",
    product_category="Home › Lamps",
    options={"kind": ("description", "attributes", "search", "next >", "buy now")},
    reviews=(Review("Good", 4.0, "It shines."),),
)
