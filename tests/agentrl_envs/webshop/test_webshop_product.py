import pytest

from agentrl.errors import DataError
from agentrl_envs.webshop.product import Product, as_product, is_listed, read_product

RECORD = {
    "asin": "B000000001",
    "name": "Oak Table",
    "full_description": "A table.",
    "images": ["https://shop/table.jpg", "https://shop/other.jpg"],
    "small_description": ["Solid oak.", "Easy to clean."],
    "product_category": "Home › Furniture › Tables",
    "customization_options": {
        "Size": [{"value": " 4/5 Feet "}, {"value": "Large", "image": "https://shop/large.jpg"}],
        "Color": None,
    },
    "category": "garden",
    "query": " Console Tables ",
    "pricing": "$1,050.50 - $2,000.00",
}


def test_a_record_is_read_as_the_original_reads_it() -> None:
    known = {"attributes": ["easy clean"], "instruction": "Find me tables", "instruction_attributes": ["easy clean"]}
    product = read_product(RECORD, known)
    assert product.options == {"size": ("4 | 5 feet", "large")}
    assert product.option_images == {"large": "https://shop/large.jpg"}
    assert (product.query, product.image) == ("console tables", "https://shop/table.jpg")
    assert (product.prices, product.price_tag) == ((1050.5, 2000.0), "$1050.5 to $2000.0")
    assert (product.attributes, product.wanted, product.instruction) == (
        ("easy clean",),
        ("easy clean",),
        "Find me tables",
    )
    assert product.rating == "N.A."


@pytest.mark.parametrize(
    ("pricing", "prices", "tag"),
    [("", (), "$100.0"), (None, (), "$100.0"), ("$5.00", (5.0,), "$5.0"), ("$5 - $6 - $7", (5.0, 6.0), "$5.0 to $6.0")],
)
def test_prices(pricing: str | None, prices: tuple[float, ...], tag: str) -> None:
    product = read_product(RECORD | {"pricing": pricing})
    assert (product.prices, product.price_tag) == (prices, tag)


def test_one_text_stands_for_a_list_of_bullets_and_nothing_known_for_a_dummy() -> None:
    product = read_product(RECORD | {"small_description": "Solid oak.", "customization_options": ""})
    assert (product.bullets, product.options, product.attributes) == (("Solid oak.",), {}, ("DUMMY_ATTR",))


def test_a_product_that_the_original_loaded_is_understood() -> None:
    loaded = RECORD | {
        "pricing": [1050.5, 2000.0],
        "Attributes": ["a"],
        "instruction_text": "Find",
        "Title": "Oak Table",
    }
    product = as_product(loaded)
    assert (product.prices, product.attributes, product.instruction) == ((1050.5, 2000.0), ("a",), "Find")
    assert as_product(product) is product
    bare = {"Title": "Oak Table", "query": "Tables", "product_category": "Home", "BulletPoints": ["Solid."]}
    product = as_product(bare | {"options": {"size": ["small"]}, "attributes": ["a"]})
    assert (product.title, product.bullets, product.description) == ("Oak Table", ("Solid.",), "")
    assert (product.options, product.attributes) == ({"size": ("small",)}, ("a",))
    with pytest.raises(DataError, match="expected a product"):
        as_product(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "record", [{}, RECORD | {"query": None}, RECORD | {"customization_options": {"size": [{}]}}, RECORD | {"name": ...}]
)
def test_what_is_no_product_is_named(record: dict[str, object]) -> None:
    if record.get("name") is ...:
        record.pop("name")
    with pytest.raises(DataError, match=r"product .*: not as in WebShop's product file"):
        read_product(record)


def test_bad_asins_are_not_listed() -> None:
    asins = ("B000000001", "nan", "B0000000012", None)
    assert [is_listed({"asin": asin}) for asin in asins] == [True, False, False, False]


def test_products_are_values() -> None:
    assert read_product(RECORD) == read_product(RECORD)
    assert isinstance(read_product(RECORD), Product)
