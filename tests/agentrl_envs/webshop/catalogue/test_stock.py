"""The generated stock: a pure function of seed and number, in lines of near misses."""

from collections import Counter
from itertools import islice

import pytest

from agentrl_envs.webshop.catalogue.departments import DEPARTMENTS
from agentrl_envs.webshop.catalogue.stock import GeneratedStock

KINDS = sum(len(department.kinds) for department in DEPARTMENTS)


def make(products: int = 3_000, *, line: int = 5, hidden: float = 0.4, seed: int = 0) -> GeneratedStock:
    return GeneratedStock(DEPARTMENTS, products=products, line=line, hidden=hidden, seed=seed)


def test_any_product_is_made_alone_or_in_passing() -> None:
    stock, other = make(), make()
    passing = list(islice(stock, 300))
    assert [other.product(number) for number in reversed(range(300))] == passing[::-1]
    assert passing != list(islice(make(seed=1), 300))


def test_a_larger_shop_begins_with_the_smaller_one() -> None:
    assert list(islice(make(10**6), 50)) == list(islice(make(50), 50))


def test_asins_are_unique_and_lead_back() -> None:
    stock = make(10**6)
    numbers = [0, 1, 4_999, 10**6 - 1]
    assert [stock.number(stock.asin(number)) for number in numbers] == numbers
    assert len({stock.asin(number) for number in range(20_000)}) == 20_000
    assert stock.get(stock.asin(7)) == stock.product(7)


@pytest.mark.parametrize("asin", ["", "B0", "B0aaaaaaaa", "A012345678", "B0-------1", "B0123456789"])
def test_what_is_no_asin_is_no_product(asin: str) -> None:
    assert make().get(asin) is None


def test_the_asin_behind_the_last_is_no_product() -> None:
    stock = make(3_000)
    assert stock.get(make(4_000).asin(3_000)) is None


@pytest.mark.parametrize("products", [1, 7, 640, 2_001])
def test_lists_by_kind_and_department_hold_what_a_walk_finds(products: int) -> None:
    stock = make(products)
    by_query: dict[str, list[str]] = {}
    by_category: dict[str, list[str]] = {}
    for product in stock:
        by_query.setdefault(product.query, []).append(product.asin)
        by_category.setdefault(product.category, []).append(product.asin)
    assert sum(map(len, by_query.values())) == len(stock) == products
    for query, asins in by_query.items():
        assert list(stock.of_query(query)) == asins
    for category, asins in by_category.items():
        found = stock.of_category(category)
        assert found[:3] == asins[:3] and found[-1] == asins[-1] and list(found) == asins
    assert list(stock.of_query("no such thing")) == []


def test_lists_by_attribute_hold_what_a_walk_finds() -> None:
    stock = make(900)
    assert list(stock.of_attribute("gluten free")) == [p.asin for p in stock if "gluten free" in p.attributes]


def test_every_kind_is_as_common() -> None:
    counts = Counter(product.query for product in make(KINDS * 5 * 2))
    assert set(counts.values()) == {10} and len(counts) == KINDS


def test_products_are_believable() -> None:
    products = list(make())
    for product in products:
        shown = " / ".join((product.title, *product.bullets, product.description)).lower()
        assert all(attribute in shown for attribute in product.attributes)
        assert len(product.title.split()) >= 4 and product.title == product.title.strip()
        assert not any(mark in shown for mark in "{}[]")
        assert 2 < product.prices[0] <= product.prices[-1] < 2_000
        assert product.rating == "N.A." or 1 <= float(product.rating) <= 5
        assert all(values and len(set(values)) == len(values) for values in product.options.values())
        assert sum(map(len, map(set, product.options.values()))) == len(set().union(*product.options.values()))
    titles = [len(product.title.split()) for product in products]
    assert 8 < sum(titles) / len(titles) < 20
    assert 0.05 < sum(len(product.prices) == 2 for product in products) / len(products) < 0.2
    assert len({product.title for product in products}) > 0.95 * len(products)


def test_titles_hide_what_they_are_told_to_hide() -> None:
    def shown(hidden: float) -> float:
        pairs = [(a in p.title.lower()) for p in islice(make(hidden=hidden), 400) for a in p.attributes]
        return sum(pairs) / len(pairs)

    assert shown(1.0) < 0.25 < shown(0.5) < 0.7 < shown(0.0) <= 1.0


def test_neighbours_differ_in_one_thing() -> None:
    stock = make()
    seen = Counter[str]()
    for line in range(200):
        first, *others = stock.designs(line)
        for other in others:
            differing = [
                name
                for name in ("traits", "having", "suits", "options", "prices", "brand")
                if getattr(first, name) != getattr(other, name)
            ]
            assert len(differing) <= 1
            seen.update(differing)
            if differing and differing[0] in ("traits", "having", "suits"):
                assert len(set(first.attributes) - set(other.attributes)) == 1
    assert min(seen.values()) > 40 and len(seen) == 6
