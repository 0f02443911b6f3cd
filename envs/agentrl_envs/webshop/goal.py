"""What a goal is: the product that is wanted, with which attributes and options, and for how much at most."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentrl.errors import DataError
from agentrl_envs.webshop.product import Product

NO_LIMIT = 1_000_000.0
"""The price limit of a goal that names none."""
LIMITS = tuple(10.0 * step for step in range(1, 100))
"""The price limits that goals name."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What an episode is about.

    Attributes:
      asin: the product that fulfils it; others may as well.
      category, query, product_category: of that product.
      name: the title of that product.
      instruction: what the agent is told.
      attributes: what the product should have, at least one.
      options: what should be chosen: name to value (synthetic goals), or values alone (human goals).
      price_upper: the most that it may cost, in dollars; 1,000,000 for no limit.
      weight: how often the original draws this goal, relative to others.
    """

    asin: str
    category: str
    query: str
    name: str
    product_category: str
    instruction: str
    attributes: tuple[str, ...]
    options: Mapping[str, str] | tuple[str, ...] = ()
    price_upper: float = NO_LIMIT
    weight: float = 1.0

    @property
    def values(self) -> tuple[str, ...]:
        """The option values that are wanted."""
        return tuple(self.options.values()) if isinstance(self.options, Mapping) else self.options

    def as_dict(self) -> dict[str, Any]:
        """Return WebShop's own form of the goal."""
        return {
            "asin": self.asin,
            "category": self.category,
            "query": self.query,
            "name": self.name,
            "product_category": self.product_category,
            "instruction_text": self.instruction,
            "attributes": list(self.attributes),
            "price_upper": self.price_upper,
            "goal_options": dict(self.options) if isinstance(self.options, Mapping) else list(self.options),
            "weight": self.weight,
        }


def as_goal(goal: Goal | Mapping[str, Any]) -> Goal:
    """Return a goal as it is, or read WebShop's form of it.

    Raises:
      DataError: a field is missing, or has another type.
    """
    if isinstance(goal, Goal):
        return goal
    try:
        options = goal["goal_options"]
        return Goal(
            asin=goal["asin"],
            category=goal["category"],
            query=goal["query"],
            name=goal["name"],
            product_category=goal["product_category"],
            instruction=goal["instruction_text"],
            attributes=tuple(goal["attributes"]),
            options=dict(options) if isinstance(options, Mapping) else tuple(options),
            price_upper=float(goal["price_upper"]),
            weight=float(goal.get("weight", 1.0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"not a goal of WebShop ({error!r}): {str(goal)[:80]}") from error


def num_synthetic_goals(product: Product) -> int:
    """Return how many synthetic goals there are for a product: one for each choice of all its options."""
    if product.instruction is None or not product.wanted:
        return 0
    return math.prod(map(len, product.options.values()))


def synthetic_goal(product: Product, number: int) -> Goal:
    """Return a synthetic goal, without price limit (see `limit`) and with weight 1.

    They are numbered from 0; with the options sorted by name, the values of the last one change first.
    """
    chosen: dict[str, str] = {}
    for name in sorted(product.options, reverse=True):
        values = product.options[name]
        number, at = divmod(number, len(values))
        chosen[name] = values[at]
    chosen = dict(sorted(chosen.items()))
    with_options = ", and ".join(f"{name}: {value}" for name, value in chosen.items())
    text = f"{product.instruction} with {with_options}" if chosen else f"{product.instruction}"
    return goal_for(product, text, product.wanted, chosen)


def synthetic_goals(product: Product) -> Iterator[Goal]:
    """Yield all synthetic goals of a product, without price limits."""
    return (synthetic_goal(product, number) for number in range(num_synthetic_goals(product)))


def human_goals(product: Product, annotations: Sequence[Mapping[str, Any]]) -> Iterator[Goal]:
    """Yield the goals for a product that people wrote: entries of ``items_human_ins.json`` that name attributes.

    Raises:
      DataError: an entry lacks a field.
    """
    for entry in annotations:
        try:
            if entry["instruction_attributes"]:
                text = entry["instruction"].strip(".")
                options = tuple(entry["instruction_options"])
                yield goal_for(product, text, tuple(entry["instruction_attributes"]), options)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"human instruction for {product.asin}: not as in WebShop's file ({error!r})") from error


def goal_for(
    product: Product, instruction: str, attributes: tuple[str, ...], options: Mapping[str, str] | tuple[str, ...]
) -> Goal:
    """Return the goal to buy ``product``, without a price limit."""
    return Goal(
        asin=product.asin,
        category=product.category,
        query=product.query,
        name=product.title,
        product_category=product.product_category,
        instruction=instruction,
        attributes=attributes,
        options=options,
    )


def limit(goal: Goal, price: float, rng: random.Random) -> Goal:
    """Add a price limit above ``price``, the price of the goal's product, to goal and instruction.

    Of the first four of 10, 20, …, 990 dollars above the price the larger of two drawn ones; none where there are fewer
    than two.
    """
    above = [step for step in LIMITS if step > price][:4]
    if len(above) < 2:
        return goal
    upper = max(rng.sample(above, 2))
    return replace(goal, price_upper=upper, instruction=f"{goal.instruction}, and price lower than {upper:.2f} dollars")
