"""What a product is, and how a record of WebShop's product file is read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from agentrl.errors import DataError

NO_PRICE = 100.0
"""What a product costs that states no price."""
NO_ATTRIBUTES = ("DUMMY_ATTR",)
"""The attributes of a product of which none are known."""
NOTHING: Mapping[str, Any] = MappingProxyType({})

_NOT_A_DIGIT = re.compile(r"[^\d.]")


@dataclass(frozen=True, slots=True)
class Review:
    """A customer's review. The original shop has none: its reviews were never published."""

    title: str
    score: float
    """1 to 5 stars."""
    body: str


@dataclass(frozen=True, slots=True)
class Product:
    """Something that can be bought.

    Attributes:
      asin: the product's number, at most 10 characters, upper case; unique in its shop.
      title: its name.
      description: a text, perhaps empty.
      bullets: its features, at least one (perhaps empty) text.
      category: the department, like ``"garden"``.
      query: the phrase that describes its kind, like ``"console tables"``, in lower case.
      product_category: the path to it, like ``"Home & Kitchen › Furniture › Tables"``.
      options: name to values, in the order of the page, all in lower case, like ``{"size": ("small", "large")}``.
      attributes: what is known about it, like ``("long lasting", "easy clean")``; they decide about the reward and are
        not shown.
      prices: none, the price, or the lowest and the highest: then the price within is drawn for each task.
      image: the address of its picture, perhaps empty.
      option_images: option value to the address of its picture.
      rating: the mean of the stars as text, or ``"N.A."``.
      reviews: what customers wrote.
      instruction: the wish that a synthetic goal for this product begins with, like ``"Find me ... tables with ..."``.
      wanted: the attributes that this wish names.
    """

    asin: str
    title: str
    description: str
    bullets: tuple[str, ...]
    category: str
    query: str
    product_category: str
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: tuple[str, ...] = NO_ATTRIBUTES
    prices: tuple[float, ...] = ()
    image: str = ""
    option_images: Mapping[str, str] = field(default_factory=dict, repr=False)
    rating: str = "N.A."
    reviews: tuple[Review, ...] = ()
    instruction: str | None = None
    wanted: tuple[str, ...] = ()

    @property
    def price_tag(self) -> str:
        """The price as pages show it: ``$5.0``, ``$5.0 to $7.5``, or ``$100.0`` where none is stated."""
        low, high = self.price_range
        return f"${low}" if len(self.prices) < 2 else f"${low} to ${high}"

    @property
    def price_range(self) -> tuple[float, float]:
        """The lowest and the highest price; equal for most products."""
        prices = self.prices or (NO_PRICE,)
        return prices[0], prices[-1]


class Stock(Protocol):
    """Where the pages look products up. All lists are in the order of the catalogue."""

    def __len__(self) -> int:
        """Return how many products there are."""

    def __iter__(self) -> Iterator[Product]:
        """Yield all products."""

    def get(self, asin: str) -> Product | None:
        """Return the product, or None if the shop does not have it."""

    def asin(self, number: int) -> str:
        """Return the asin of the product with this number, from 0."""

    def of_query(self, query: str) -> Sequence[str]:
        """Return the asins of the products with this `query`."""

    def of_category(self, category: str) -> Sequence[str]:
        """Return the asins of the products of this `category`."""

    def of_attribute(self, attribute: str) -> Sequence[str]:
        """Return the asins of the products with this attribute."""


def is_listed(record: Mapping[str, Any]) -> bool:
    """Whether the original shop takes this record of the product file (it leaves bad asins out)."""
    asin = record.get("asin")
    return isinstance(asin, str) and asin != "nan" and len(asin) <= 10


def read_product(record: Mapping[str, Any], known: Mapping[str, Any] = NOTHING) -> Product:
    """Read a product, as the original's ``load_products`` does.

    Args:
      record: an entry of ``items_shuffle*.json``. A product that the original has loaded is understood as well: its
        keys ``Attributes``, ``instruction_text`` and ``instruction_attributes`` then stand for ``known``.
      known: what ``items_ins_v2*.json`` has for its asin: `attributes`, `instruction`, `instruction_attributes`.

    Raises:
      DataError: the record lacks a field, or one has another type.
    """
    attributes = known.get("attributes", record.get("Attributes"))
    instruction = known.get("instruction", record.get("instruction_text"))
    wanted = known.get("instruction_attributes", record.get("instruction_attributes"))
    try:
        bullets = record["small_description"]
        images = record.get("images") or [""]
        options, pictures = _options(record.get("customization_options"))
        return Product(
            asin=record["asin"],
            title=record["name"],
            description=record["full_description"],
            bullets=tuple(bullets) if isinstance(bullets, list) else (bullets,),
            category=record["category"],
            query=record["query"].lower().strip(),
            product_category=record["product_category"],
            options=options,
            attributes=NO_ATTRIBUTES if attributes is None else tuple(attributes),
            prices=_prices(record.get("pricing")),
            image=images[0] or "",
            option_images=pictures,
            instruction=instruction,
            wanted=tuple(wanted or ()),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        name = record.get("asin", "without an asin") if isinstance(record, Mapping) else repr(record)[:40]
        raise DataError(f"product {name}: not as in WebShop's product file ({error!r})") from error


def as_product(product: Product | Mapping[str, Any]) -> Product:
    """Return a product as it is, or read from a record (see `read_product`).

    Of a product that the original has loaded `Title`, `Description`, `BulletPoints` and `options` will do as well, and
    what search and reward do not need may be missing.
    """
    if isinstance(product, Product):
        return product
    if not isinstance(product, Mapping):
        raise DataError(f"expected a product or a record of one, got {product!r:.40}")
    record = {"asin": "", "category": "", "full_description": "", "small_description": [""], **product}
    for loaded, name in (("Title", "name"), ("Description", "full_description"), ("BulletPoints", "small_description")):
        if loaded in product and name not in product:
            record[name] = product[loaded]
    known = {"attributes": product["attributes"]} if "attributes" in product and "Attributes" not in product else {}
    read = read_product(record, known)
    if "customization_options" not in product and "options" in product:
        return replace(read, options={name: tuple(values) for name, values in product["options"].items()})
    return read


def _options(contents: Any) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Return the values by option name, and the pictures by option value."""
    options: dict[str, tuple[str, ...]] = {}
    pictures: dict[str, str] = {}
    for name, entries in (contents or {}).items():
        if entries is None:
            continue
        values = []
        for entry in entries:
            value = entry["value"].strip().replace("/", " | ").lower()
            values.append(value)
            if image := entry.get("image"):
                pictures[value] = image
        options[name.lower()] = tuple(values)
    return options, pictures


def _prices(pricing: str | Sequence[float] | None) -> tuple[float, ...]:
    """Return the prices in a text like ``$5.00 - $7.50``; a list of numbers is one that was read before."""
    if not pricing:
        return ()
    if not isinstance(pricing, str):
        return tuple(pricing[:2])
    return tuple(float(_NOT_A_DIGIT.sub("", part)) for part in pricing.split("$")[1:])[:2]
