"""What the templates show, read off a visitor's page."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

from agentrl_envs.webshop.product import Product
from agentrl_envs.webshop.shop import BACK, BUY, NEXT, PREVIOUS, SUB_PAGES, Shop
from agentrl_envs.webshop.site.receipt import demands, verdict
from agentrl_envs.webshop.site.session import Page, Visitor

_TILES = 12
_LOOKED_THROUGH = 600
"""How many products the popular searches are taken from."""


def picture_link(product: Product, options: Mapping[str, str] | None = None) -> str:
    """Return the address of the picture of a product in the colour that was chosen, or the first that there is."""
    first = {name: values[0] for name, values in product.options.items() if values}
    shown = {**first, **(options or {})}
    colour = next((value for name, value in shown.items() if name in ("color", "colour", "metal")), "")
    return _picture(product.category, product.query, colour)


def _picture(category: str, kind: str, colour: str = "") -> str:
    address = f"/picture/{quote(category, safe='')}/{quote(kind, safe='')}.svg"
    return f"{address}?{urlencode({'colour': colour})}" if colour else address


class View:
    """The pages of one visitor in the form of template and context.

    Args:
      visitor: whose.
      number: of the page.
    """

    def __init__(self, visitor: Visitor, number: int) -> None:
        self.visitor, self.number = visitor, number
        self.base = f"/s/{visitor.name}"
        self.page: Page = visitor.pages[number]
        self.state = self.page.state
        self.shop: Shop = visitor.env.shop

    def click(self, text: str) -> str:
        """Return the address that a click on ``text`` goes to."""
        return f"{self.base}/{self.number}/click?{urlencode({'on': text.lower()})}"

    def frame(self) -> dict[str, Any]:
        """Return what all pages have: the task, the search field, the cart."""
        here = f"{self.base}/{self.number}"
        home = self.click(BACK) if self.state.page in ("results", "item", "sub") else f"{self.base}/0"
        return {
            "instruction": self.visitor.env.goal.instruction,
            "keywords": " ".join(self.state.keywords),
            "cart_count": len(self.visitor.cart),
            "links": {"home": home, "search": f"{here}/search", "cart": f"{self.base}/cart"},
        }

    def render(self) -> tuple[str, dict[str, Any]]:
        """Return the template and the context of the page."""
        kind = self.state.page
        template = {"index": "home", "results": "results", "item": "item", "sub": "item", "done": "receipt"}[kind]
        context = self.frame()
        more = getattr(self, f"_{template}")()
        links = {**context["links"], **more.pop("links", {})}
        return f"{template}.html", {**context, **more, "links": links}

    def _home(self) -> dict[str, Any]:
        search = f"{self.base}/{self.number}/search"
        tiles = [
            {"name": kind, "href": f"{search}?{urlencode({'q': kind})}", "picture": _picture(category, kind)}
            for kind, category in _popular(self.shop)
        ]
        return {"tiles": tiles, "is_home": True}

    def _results(self) -> dict[str, Any]:
        targets = self.shop.targets(self.state)
        products = []
        for asin in self.shop.listed(self.state):
            product = self.shop.product(asin)
            products.append(
                {
                    "href": self.click(asin),
                    "title": product.title,
                    "rating": product.rating,
                    "price": money(product),
                    "picture": picture_link(product),
                    "is_visited": asin in self.state.visited,
                }
            )
        links = {"previous": PREVIOUS, "next": NEXT}
        return {
            "products": products,
            "page": self.state.number,
            "total": len(self.shop.results(self.state)),
            "links": {name: self.click(text) for name, text in links.items() if text.lower() in targets},
        }

    def _item(self) -> dict[str, Any]:
        product, chosen = self.shop.product(self.state.asin), dict(self.state.options)
        targets = self.shop.targets(self.state)
        here = f"{self.base}/{self.number}"
        options = [
            {
                "name": name,
                "chosen": chosen.get(name),
                "values": [
                    {"name": value, "href": f"{self.click(value)}#options", "is_chosen": chosen.get(name) == value}
                    for value in values
                ],
            }
            for name, values in product.options.items()
        ]
        can_buy = BUY.lower() in targets
        return {
            "product": product,
            "picture": picture_link(product, chosen),
            "price": money(product),
            "options": options if can_buy else [],
            "chosen": chosen,
            "tab": self.state.sub.lower(),
            "tabs": [{"name": name, "href": self.click(name)} for text, name in SUB_PAGES.items() if text in targets],
            "links": {
                "previous": self.click(PREVIOUS),
                "buy": f"{here}/buy" if can_buy else "",
                "add": f"{here}/add" if can_buy else "",
            },
        }

    def _receipt(self) -> dict[str, Any]:
        env, product, options = self.visitor.env, self.shop.product(self.state.asin), dict(self.state.options)
        price, score = env.price(product.asin), self.page.reward or 0.0
        return {
            "product": product,
            "options": options,
            "picture": picture_link(product, options),
            "price": price,
            "score": score,
            "verdict": verdict(score),
            "demands": demands(env.goal, product, options, price, env.dialect),
            "links": {"another": "/", "again": f"/new?{urlencode({'task': self.visitor.task})}"},
        }


@lru_cache(maxsize=4)
def _popular(shop: Shop) -> tuple[tuple[str, str], ...]:
    """Return some kinds of products that the shop has, each with its category."""
    kinds: dict[str, str] = {}
    for product in islice(shop.stock, _LOOKED_THROUGH):
        kinds.setdefault(product.query, product.category)
    return tuple(islice(kinds.items(), _TILES))


def render_cart(visitor: Visitor) -> dict[str, Any]:
    """Return the context of the cart's page."""
    view = View(visitor, visitor.here)
    entries = []
    for number in visitor.cart:
        state = visitor.pages[number].state
        product, options = view.shop.product(state.asin), dict(state.options)
        entries.append(
            {
                "title": product.title,
                "href": f"{view.base}/{number}",
                "options": options,
                "price": money(product),
                "picture": picture_link(product, options),
                "buy": f"{view.base}/{number}/buy",
                "remove": f"{view.base}/{number}/remove",
            }
        )
    return {**view.frame(), "entries": entries}


def money(product: Product) -> str:
    """Return the price as people write it: ``$5.00``, or ``$5.00 to $7.50``."""
    low, high = product.price_range
    return f"${low:.2f}" if len(product.prices) < 2 else f"${low:.2f} to ${high:.2f}"
