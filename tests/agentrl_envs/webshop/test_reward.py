import json
from dataclasses import replace

import pytest

from agentrl_envs.webshop.goal import Goal
from agentrl_envs.webshop.nouns import find_tagger, nouns_of
from agentrl_envs.webshop.product import Product, read_product
from agentrl_envs.webshop.reward import score_purchase
from tests.shared_data import shared_data

GOAL = Goal(
    asin="B000000001",
    category="fashion",
    query="shirts",
    name="Linen shirt",
    product_category="Clothing › Men › Shirts",
    instruction="Find me shirts",
    attributes=("machine wash", "long sleeve"),
    options={"color": "black2626", "size": "x-large"},
    price_upper=40.0,
)
PRODUCT = Product(
    asin="B000000001",
    title="Linen shirt",
    description="With a LONG SLEEVE.",
    bullets=("Soft.",),
    category="fashion",
    query="shirts",
    product_category="Clothing › Men › Shirts",
    attributes=("machine washable",),
    prices=(30.0,),
)
NOUNS = {"Linen shirt": ["linen", "shirt"], "Hat": ["hat"], "Shirt": ["shirt"], "Set": []}
CHOSEN = {"color": "black2626", "size": "x-large"}


def reward(product: Product = PRODUCT, goal: Goal = GOAL, price: float = 30.0, **options: str) -> float:
    return score_purchase(goal, product, options, price, nouns=NOUNS)[0]


def test_by_hand() -> None:
    # Both attributes (one is alike, one in the description), the size, the price: 4 of 5. "black2626" is reduced to
    # "black", the pair ('color', 'black2626') is not.
    value, details = score_purchase(GOAL, PRODUCT, CHOSEN, 30.0, nouns=NOUNS)
    assert value == 4 / 5
    assert details == {
        "r_type": 1.0,
        "query_match": True,
        "category_match": True,
        "title_score": 1.0,
        "r_att": 1.0,
        "w_att": 0.4,
        "r_option": 0.5,
        "w_option": 0.4,
        "r_price": True,
        "w_price": 0.2,
    }


def test_the_fixed_dialect_takes_the_very_option() -> None:
    assert score_purchase(GOAL, PRODUCT, CHOSEN, 30.0, nouns=NOUNS.__getitem__, dialect="fixed")[0] == 1.0
    other = CHOSEN | {"color": "black30"}
    assert score_purchase(GOAL, PRODUCT, other, 30.0, nouns=NOUNS, dialect="fixed")[0] == 4 / 5, "and no other"


def test_human_options_are_reduced_on_both_sides() -> None:
    human = replace(GOAL, options=("black2626",))
    assert reward(goal=human, color="black30") == 1.0


def test_the_price_counts_as_one_part() -> None:
    assert reward(price=40.0, **CHOSEN) == 4 / 5
    assert reward(price=40.01, **CHOSEN) == 3 / 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "Hat"}, 0.0),
        ({"title": "Shirt", "query": "hats", "product_category": "Clothing › Hats"}, 1.0),
        ({"title": "Set"}, 0.0),
    ],
)
def test_the_kind_of_product_multiplies(changes: dict[str, str], expected: float) -> None:
    assert score_purchase(GOAL, replace(PRODUCT, **changes), {}, 30.0, nouns=NOUNS)[1]["r_type"] == expected


def test_the_steps_of_the_kind() -> None:
    goal = replace(GOAL, name="many")
    apart = replace(PRODUCT, title="few", query="hats", product_category="Clothing › Hats")
    for shared, score in ((3, 1.0), (2, 0.5), (1, 0.5), (0, 0.0)):
        nouns = {"many": [f"n{at}" for at in range(10)], "few": [f"n{at}" for at in range(shared)]}
        assert score_purchase(goal, apart, {}, 30.0, nouns=nouns)[1]["r_type"] == score
    nouns = {"many": [f"n{at}" for at in range(11)], "few": ["n0"]}
    assert score_purchase(goal, apart, {}, 30.0, nouns=nouns)[1]["r_type"] == 0.1
    assert score_purchase(goal, apart, {}, 30.0, nouns={"many": [], "few": []})[1]["title_score"] == 0.2


def test_nouns() -> None:
    found = nouns_of("Legendary Men's Non-Slip Long Sleeve T-Shirt, 2 Packs")
    assert found == ("legendary", "men", "'s", "slip", "sleeve", "t", "shirt", "packs")
    tagger, name = find_tagger()
    assert "lamp" in tagger("Green desk lamp")
    assert name == "built-in" or name.startswith("spacy ")


def test_recorded_rewards() -> None:
    folder = shared_data("webshop")
    known = json.loads((folder / "items_ins_v2_1000.json").read_text())
    records = json.loads((folder / "items_shuffle_1000.json").read_text())
    products = {one["asin"]: read_product(one, known.get(one["asin"], {})) for one in records}
    for line in (folder / "rewards_dev.jsonl").read_text().splitlines():
        case = json.loads(line)
        product = products[case["purchased_asin"]]
        nouns = {case["goal"]["name"]: case["goal_name_nouns"], product.title: case["purchased_name_nouns"]}
        found = score_purchase(case["goal"], product, case["options"], case["price"], nouns=nouns)
        assert found == (case["reward"], case["info"]), case["id"]
