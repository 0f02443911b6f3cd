"""What a purchase is worth: WebShop's reward, by type, attributes, options and price."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from agentrl_envs.webshop.goal import Goal, as_goal
from agentrl_envs.webshop.matching import first_colour, token_set_ratio
from agentrl_envs.webshop.product import Product, as_product

Nouns = Callable[[str], Sequence[str]]
"""The nouns in a title, in lower case, in order, with repeats."""

_ALIKE = 85
"""Texts that are more alike than this count as the same."""


def score_purchase(
    goal: Goal | Mapping[str, Any],
    product: Product | Mapping[str, Any],
    options: Mapping[str, str],
    price: float,
    *,
    nouns: Nouns | Mapping[str, Sequence[str]],
    dialect: Literal["original", "fixed"] = "original",
) -> tuple[float, dict[str, Any]]:
    """Return the reward for buying ``product``, 0 to 1, and what it consists of.

    ``reward = r_type · (attributes met + options met + price met) / (attributes + options + 1)``, of which only buying
    the right thing gives 1:

    - `r_type` is 1, but 0.5 if the query differs, fewer than two parts of the category path are shared, and
      `title_score`, the share of the nouns in the goal's title that the product's title has, is at most 0.2; it is 0.1
      if that share is below 0.1, and 0 if it is 0, whatever else agrees;
    - an attribute is met if an attribute of the product is like it, or the product's texts contain it;
    - an option is met if a chosen value is like it (`matching.token_set_ratio` above 85), both reduced to their colour;
    - the price is met if it is at most the goal's limit.

    The original compares the options of a synthetic goal as pairs: ``('color', 'black2626')`` is not reduced to its
    colour, the chosen ``'black2626'`` is, and so the very option that is asked for misses. In the dialect ``"fixed"``
    a value that equals the wanted one is a hit; nothing else differs.

    Args:
      goal: the goal, also in WebShop's own form.
      product: what was bought, also as a record that `product.read_product` understands.
      options: what was chosen: name to value.
      price: what it costs in this task, in dollars.
      nouns: gives the nouns of a title; a mapping will do.
      dialect: ``"original"`` or ``"fixed"``.

    Returns:
      The reward and the original's details: `r_type`, `query_match`, `category_match`, `title_score`, `r_att`, `w_att`
      and where they apply `r_option`, `w_option`, `r_price`, `w_price`; `r` is the share that was met, `w` its weight.
    """
    goal, product = as_goal(goal), as_product(product)
    look_up = nouns.__getitem__ if isinstance(nouns, Mapping) else nouns
    kind = _type_score(goal, product, look_up)
    attributes = sum(_has(product, attribute) for attribute in goal.attributes)
    hits = _options_met(goal, options, is_exact_enough=dialect == "fixed")
    parts = len(goal.attributes) + len(goal.options) + 1
    affordable = price <= goal.price_upper
    reward = (attributes + hits + affordable) / parts * kind["r_type"]
    details = kind | {"r_att": attributes / len(goal.attributes), "w_att": len(goal.attributes) / parts}
    if goal.options:
        details |= {"r_option": hits / len(goal.options), "w_option": len(goal.options) / parts}
    return reward, details | {"r_price": affordable, "w_price": 1 / parts}


def _type_score(goal: Goal, product: Product, nouns: Nouns) -> dict[str, Any]:
    same_query = product.query == goal.query
    same_category = len(_path(product.product_category) & _path(goal.product_category)) >= 2
    wanted = nouns(goal.name)
    title_score = len(set(nouns(product.title)) & set(wanted)) / len(wanted) if wanted else 0.2
    score = 1.0 if same_query or same_category or title_score > 0.2 else 0.5
    if title_score < 0.1:
        score = 0.1 if title_score else 0.0
    return {
        "r_type": score,
        "query_match": same_query,
        "category_match": same_category,
        "title_score": title_score,
    }


def _path(category: str) -> set[str]:
    return {part.strip() for part in category.split("›")}


def _has(product: Product, attribute: str) -> bool:
    if any(token_set_ratio(own, attribute) > _ALIKE for own in product.attributes):
        return True
    texts = (product.title, " ".join(product.bullets), product.description)
    return any(attribute in text.lower() for text in texts)


def _options_met(goal: Goal, options: Mapping[str, str], *, is_exact_enough: bool) -> int:
    wanted = list(goal.options.items()) if isinstance(goal.options, Mapping) else list(goal.options)
    chosen = [first_colour(value) for value in options.values()]
    exact = set(options.values()) if is_exact_enough else set()
    return sum(
        value in exact or any(token_set_ratio(own, str(first_colour(pair))) > _ALIKE for own in chosen)
        for pair, value in zip(wanted, goal.values, strict=True)
    )
