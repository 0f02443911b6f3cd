import random
from dataclasses import replace

import pytest

from agentrl.errors import DataError
from agentrl_envs.webshop.goal import NO_LIMIT, as_goal, human_goals, limit, synthetic_goals
from agentrl_envs.webshop.product import Product

PRODUCT = Product(
    asin="B000000001",
    title="Oak Table",
    description="A table.",
    bullets=("Solid oak.",),
    category="garden",
    query="console tables",
    product_category="Home › Tables",
    options={"size": ("small", "large"), "color": ("oak", "white")},
    attributes=("easy clean", "solid wood"),
    prices=(25.0,),
    instruction="Find me tables with easy clean",
    wanted=("easy clean",),
)


def test_one_goal_for_each_choice_of_all_options() -> None:
    goals = list(synthetic_goals(PRODUCT))
    assert [goal.values for goal in goals] == [
        ("oak", "small"),
        ("oak", "large"),
        ("white", "small"),
        ("white", "large"),
    ]
    assert goals[0].instruction == "Find me tables with easy clean with color: oak, and size: small"
    assert goals[0].price_upper == NO_LIMIT
    assert list(synthetic_goals(replace(PRODUCT, instruction=None))) == []
    (plain,) = synthetic_goals(replace(PRODUCT, options={}))
    assert (plain.instruction, plain.options) == ("Find me tables with easy clean", {})


def test_human_goals_need_attributes() -> None:
    entry = {"instruction": "i need a table.", "instruction_attributes": ["easy clean"], "instruction_options": ["oak"]}
    (goal,) = human_goals(PRODUCT, [entry, entry | {"instruction_attributes": []}])
    assert (goal.instruction, goal.attributes, goal.options) == ("i need a table", ("easy clean",), ("oak",))
    with pytest.raises(DataError, match="human instruction for B000000001"):
        list(human_goals(PRODUCT, [{}]))


def test_the_limit_is_the_larger_of_two_of_the_next_four_tens() -> None:
    (goal,) = synthetic_goals(replace(PRODUCT, options={}))
    uppers = [limit(goal, 30.0, random.Random(seed)).price_upper for seed in range(600)]
    # Of 40, 50, 60, 70: the larger of two is 50, 60, 70 with chances 1, 2 and 3 in 6.
    assert [round(uppers.count(upper) / 100) for upper in (40.0, 50.0, 60.0, 70.0)] == [0, 1, 2, 3]
    limited = limit(goal, 25.0, random.Random(0))
    assert limited.instruction == f"{goal.instruction}, and price lower than {limited.price_upper:.2f} dollars"
    assert limit(goal, 980.0, random.Random(0)) == goal, "one limit is not enough to draw two"
    assert limit(goal, 979.9, random.Random(0)).price_upper == 990.0


def test_goals_survive_webshops_own_form() -> None:
    for goal in synthetic_goals(PRODUCT):
        assert as_goal(goal.as_dict()) == goal
        assert as_goal(goal) is goal
    with pytest.raises(DataError, match="not a goal of WebShop"):
        as_goal({"asin": "B000000001"})
