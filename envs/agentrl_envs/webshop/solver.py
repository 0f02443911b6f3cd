"""The expert that knows which product is wanted: it looks for it by name, chooses what is wanted and buys."""

from collections.abc import Callable, Iterator, Mapping

from agentrl_envs.webshop.goal import Goal
from agentrl_envs.webshop.matching import first_colour, token_set_ratio
from agentrl_envs.webshop.product import Product
from agentrl_envs.webshop.shop import BUY, NEXT, PER_PAGE, PREVIOUS, Shop, State

_WORDS = 8
"""Of the title, in the first search that is tried."""


def solve(shop: Shop, state: State, goal: Goal, worth: Callable[[Mapping[str, str]], float]) -> list[str]:
    """Return actions that buy the goal's product as it is wanted.

    Args:
      shop: where.
      state: where the customer is.
      goal: what is wanted.
      worth: the reward for buying the product with these options.

    Returns:
      The actions; none if no search lists the product.
    """
    product = shop.product(goal.asin)
    if state.page in ("item", "sub") and state.asin == goal.asin:
        way = [PREVIOUS] if state.page == "sub" else []
        start: list[str] | None = [f"click[{text.lower()}]" for text in way]
        chosen = dict(state.options)
    else:
        start, chosen = _find(shop, product), {}
    if start is None:
        return []
    return [*start, *(f"click[{value}]" for value in _choose(shop, product, goal, chosen, worth)), _click(BUY)]


def _click(text: str) -> str:
    return f"click[{text.lower()}]"


def _find(shop: Shop, product: Product) -> list[str] | None:
    """Return the shortest way to the product's page by one of some searches."""
    best: list[str] | None = None
    for words in _searches(product):
        found = shop.found(tuple(words.split(" ")))
        if product.asin in found:
            pages = found.index(product.asin) // PER_PAGE
            way = [f"search[{words}]", *[_click(NEXT)] * pages, _click(product.asin)]
            if best is None or len(way) < len(best):
                best = way
            if not pages:
                break
    return best


def _searches(product: Product) -> Iterator[str]:
    """Yield what can be searched for; brackets would end an action early."""
    title = " ".join(product.title.lower().replace("[", " ").replace("]", " ").split())
    yield " ".join(title.split()[:_WORDS]) or "-"
    yield title or "-"
    values = " ".join(value for values in product.options.values() for value in values)
    for more in (product.description[:300], product.bullets[0] if product.bullets else "", values):
        text = f"{title} {more}".lower().replace("[", " ").replace("]", " ")
        yield " ".join(text.split()) or "-"
    yield f"<q> {product.query}"


def _choose(
    shop: Shop,
    product: Product,
    goal: Goal,
    chosen: dict[str, str],
    worth: Callable[[Mapping[str, str]], float],
) -> list[str]:
    """Return the values to click: those that equal a wanted one, and where that does not give 1, the best there are."""
    targets = shop.targets(State("item", asin=product.asin))
    clicks = []
    for wanted in goal.values:
        if wanted in chosen.values():
            continue
        values = [text for text, target in targets.items() if target.kind == "option" and "[" not in text]
        best = max(values, key=lambda value: _likeness(value, wanted), default=None)
        if best is None or _likeness(best, wanted)[1] <= 85 or best in chosen.values():
            continue
        after = chosen | {targets[best].name: best}
        if worth(after) >= worth(chosen):
            clicks.append(best)
            chosen = after
    return clicks


def _likeness(value: str, wanted: str) -> tuple[bool, int]:
    return value == wanted, token_set_ratio(first_colour(value), first_colour(wanted))
