"""What a purchase met and what it missed, demand by demand."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from agentrl_envs.webshop.goal import NO_LIMIT, Goal
from agentrl_envs.webshop.nouns import find_tagger
from agentrl_envs.webshop.product import Product
from agentrl_envs.webshop.reward import score_purchase

Dialect = Literal["fixed", "original"]


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that was asked for.

    Attributes:
      text: what.
      is_met: whether the purchase has it.
      remark: what it has instead, perhaps empty.
    """

    text: str
    is_met: bool
    remark: str = ""


def demands(
    goal: Goal, product: Product, options: Mapping[str, str], price: float, dialect: Dialect = "fixed"
) -> list[Demand]:
    """Return the demands of a goal, each judged alone by the shop's reward."""

    nouns, _ = find_tagger()

    def details(part: Goal) -> dict[str, object]:
        return score_purchase(part, product, options, price, nouns=nouns, dialect=dialect)[1]

    kind = details(goal)["r_type"]
    judged = [Demand(f"kind of product: {goal.query}", kind == 1.0, "" if kind == 1.0 else f"counts {kind:.0%}")]
    for attribute in goal.attributes:
        only = replace(goal, attributes=(attribute,), options=())
        judged.append(Demand(attribute, details(only)["r_att"] == 1.0))
    for name, value in _options(goal):
        only = replace(goal, options={name: value} if name else (value,))
        is_met = details(only)["r_option"] == 1.0
        instead = f"you chose {options[name]}" if name in options else "not chosen"
        judged.append(Demand(f"{name}: {value}" if name else value, is_met, "" if is_met else instead))
    if goal.price_upper < NO_LIMIT:
        is_met = price <= goal.price_upper
        judged.append(Demand(f"price up to ${goal.price_upper:.2f}", is_met, "" if is_met else f"${price:.2f}"))
    return judged


def verdict(score: float) -> str:
    """Return the score in words."""
    if score == 1.0:
        return "Perfect: this is exactly what was asked for."
    if score >= 0.5:
        return "Close, but something was missed."
    return "Not quite what was asked for." if score > 0 else "Nothing of what was asked for."


def _options(goal: Goal) -> list[tuple[str, str]]:
    """Return name and value of the options that are asked for; human goals have no names."""
    return list(goal.options.items()) if isinstance(goal.options, Mapping) else [("", value) for value in goal.options]
