"""The receipt: each demand judged alone, and together they are the reward."""

from dataclasses import replace
from itertools import islice

import pytest

from agentrl_envs.webshop.catalogue.goals import GeneratedCatalogue
from agentrl_envs.webshop.goal import NO_LIMIT, Goal
from agentrl_envs.webshop.nouns import find_tagger
from agentrl_envs.webshop.product import Product
from agentrl_envs.webshop.reward import score_purchase
from agentrl_envs.webshop.site.receipt import demands, verdict

MUG = Product(
    asin="B000000001",
    title="Blue Ceramic Mug",
    description="",
    bullets=("dishwasher safe",),
    category="kitchen",
    query="mugs",
    product_category="Kitchen › Cups › Mugs",
    options={"color": ("blue", "black2626"), "size": ("small", "large")},
    attributes=("dishwasher safe",),
    prices=(12.0,),
)
WISH = Goal(
    MUG.asin, "kitchen", "mugs", MUG.title, MUG.product_category, "a mug", ("dishwasher safe", "leak proof"),
    options={"color": "blue", "size": "large"}, price_upper=10.0,
)  # fmt: skip


def test_each_demand_is_judged_alone() -> None:
    judged = demands(WISH, MUG, {"color": "blue", "size": "small"}, 12.0)
    assert [(one.text, one.is_met, one.remark) for one in judged] == [
        ("kind of product: mugs", True, ""),
        ("dishwasher safe", True, ""),
        ("leak proof", False, ""),
        ("color: blue", True, ""),
        ("size: large", False, "you chose small"),
        ("price up to $10.00", False, "$12.00"),
    ]


def test_values_alone_as_people_ask_for_them() -> None:
    goal = replace(WISH, options=("large",), price_upper=NO_LIMIT)
    judged = demands(goal, MUG, {}, 12.0)
    assert [(one.text, one.is_met, one.remark) for one in judged][-1] == ("large", False, "not chosen")
    assert demands(goal, MUG, {"size": "large"}, 12.0)[-1].is_met


def test_another_kind_of_product_counts_less() -> None:
    other = replace(MUG, title="Green Garden Hose", query="hoses", product_category="Garden › Hoses")
    first = demands(WISH, other, {}, 5.0)[0]
    assert not first.is_met and first.remark == "counts 0%"


def test_the_defect_of_the_original_is_told_in_its_dialect() -> None:
    goal = replace(WISH, options={"color": "black2626"})
    chosen = {"color": "black2626"}
    assert demands(goal, MUG, chosen, 5.0)[-2].is_met
    assert not demands(goal, MUG, chosen, 5.0, "original")[-2].is_met


def test_demands_add_up_to_the_reward() -> None:
    shop, (nouns, _) = GeneratedCatalogue(products=500), find_tagger()
    products = list(islice(shop.stock, 60))
    for number in range(20):
        goal = shop.load(f"train/{number}")
        for product in products:
            options = {name: values[0] for name, values in product.options.items()}
            price = product.price_range[1]
            reward, details = score_purchase(goal, product, options, price, nouns=nouns, dialect="fixed")
            met = [one.is_met for one in demands(goal, product, options, price)][1:]
            met += [True] * (goal.price_upper == NO_LIMIT)
            assert reward == pytest.approx(details["r_type"] * sum(met) / len(met))


def test_verdicts() -> None:
    assert len({verdict(score) for score in (1.0, 0.9, 0.3, 0.0)}) == 4
