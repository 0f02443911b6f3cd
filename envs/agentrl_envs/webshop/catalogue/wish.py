"""What a customer wants: attributes, options and a price limit that near misses do not meet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentrl.tasks import content_digest
from agentrl_envs.webshop.catalogue.design import Design
from agentrl_envs.webshop.catalogue.dice import Dice
from agentrl_envs.webshop.catalogue.difficulty import Difficulty
from agentrl_envs.webshop.catalogue.kind import Kind
from agentrl_envs.webshop.goal import LIMITS, NO_LIMIT

_FINE = 30.0
"""Below this price limits are multiples of 5 dollars, above it of 10."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted.

    Attributes:
      kind: what kind of product.
      attributes: which attributes, at least one, in the order of traits, having, suits.
      options: which values, by the name of the option.
      limit: the most that it may cost, or `NO_LIMIT`.
    """

    kind: Kind
    attributes: tuple[str, ...]
    options: Mapping[str, str]
    limit: float

    @property
    def split(self) -> str:
        """The split that owns the wish, decided by its content alone.

        One pair of a kind and an attribute in ten is asked for in `valid_unseen` only; of the other wishes one in five,
        whatever the price, is asked for in `valid_seen` only.
        """
        if any(_hash(self.kind.query, attribute) % 10 == 0 for attribute in self.attributes):
            return "valid_unseen"
        chosen = (f"{name}={value}" for name, value in sorted(self.options.items()))
        return "valid_seen" if _hash(self.kind.query, *sorted(self.attributes), *chosen) % 5 == 0 else "train"


def draw_wish(dice: Dice, design: Design, others: Sequence[Design], difficulty: Difficulty) -> Wish:
    """Draw a wish that ``design`` fulfils and of ``others``, its near misses, as few as may be.

    What tells the design from the others comes first: attributes that one of them lacks, option values that one of them
    does not offer, and a limit between its highest price and the next higher one.
    """
    telling = [a for a in design.attributes if any(a not in other.attributes for other in others)]
    attributes = _preferring(dice, telling, design.attributes, dice.between(*difficulty.attributes))
    names = _preferring(
        dice,
        [name for name, values in design.options.items() if any(other.options[name] != values for other in others)],
        tuple(design.options),
        dice.between(*difficulty.choices),
    )
    options = {}
    for name in names:
        values = design.options[name]
        rare = [value for value in values if any(value not in other.options[name] for other in others)]
        options[name] = dice.pick(rare or values)
    limit = _limit(dice, design, others) if dice.chance(difficulty.limited) else NO_LIMIT
    return Wish(design.kind, attributes, options, limit)


def _preferring(dice: Dice, first: Sequence[str], items: Sequence[str], number: int) -> tuple[str, ...]:
    """Draw ``number`` of ``items``, one of ``first`` among them if there are any; in the order of ``items``."""
    if not number:
        return ()
    lead = dice.sample(first or items, 1)
    chosen = {*lead, *dice.sample([item for item in items if item not in lead], number - 1)}
    return tuple(item for item in items if item in chosen)


def _limit(dice: Dice, design: Design, others: Sequence[Design]) -> float:
    """Draw one of the first four round prices above the product's, below that of the next dearer one if possible."""
    price = design.prices[-1]
    rounds = [step / 2 for step in LIMITS] if price < _FINE else LIMITS
    above = [step for step in rounds if step > price][:4]
    dearer = min((other.prices[0] for other in others if other.prices[0] > price), default=NO_LIMIT)
    return dice.pick([step for step in above if step < dearer] or above[:1] or [NO_LIMIT])


def _hash(*content: str) -> int:
    return int(content_digest("\x1f".join(content)), 16)
