"""Words for a design: title, description, features, reviews."""

from agentrl_envs.webshop.catalogue import words
from agentrl_envs.webshop.catalogue.design import Design
from agentrl_envs.webshop.catalogue.dice import Dice
from agentrl_envs.webshop.product import Product, Review

WISHED = 0.4
"""The share of products that carry a wish, as in the original's files."""


def write_product(design: Design, asin: str, dice: Dice, hidden: float) -> Product:
    """Find words for a design.

    Args:
      design: the facts; each attribute is named somewhere in title, features or description.
      asin: the product's number.
      dice: the product's own stream.
      hidden: the share of attributes that the title leaves out.
    """
    kind, said = design.kind, _Said(dice, design)
    reviews = _reviews(dice, design, said)
    instruction, wanted = _wish(dice, design)
    return Product(
        asin=asin,
        title=_title(dice, design, hidden),
        description=_description(dice, design, said),
        bullets=_bullets(dice, design, said),
        category=design.department.category,
        query=kind.query,
        product_category=f"{design.department.path} › {kind.path}",
        options=design.options,
        attributes=design.attributes,
        prices=design.prices,
        rating=f"{sum(review.score for review in reviews) / len(reviews):.1f}" if reviews else "N.A.",
        reviews=reviews,
        instruction=instruction,
        wanted=wanted,
    )


def _title(dice: Dice, design: Design, hidden: float) -> str:
    shown = {attribute for attribute in design.attributes if not dice.chance(hidden)}
    if not shown:
        shown = {dice.pick(design.attributes)}
    traits, having, suits = (
        [attribute.title() for attribute in slot if attribute in shown]
        for slot in (design.traits, design.having, design.suits)
    )
    other = dice.pick(design.kind.nouns)
    form = dice.between(0, 3)
    if form == 0:
        parts = [f"{design.brand} {design.model}", *traits, design.noun, _joined("with", having), _joined("for", suits)]
        return " ".join(part for part in parts if part)
    if form == 1:
        return ", ".join(
            [f"{design.brand} {design.noun}", *traits, *having, *([_joined("for", suits)] if suits else [])]
        )
    if form == 2:
        lead = " ".join([design.brand, *traits[:1], design.noun])
        rest = [part for part in (_joined("with", having), _joined("for", suits), ", ".join(traits[1:])) if part]
        return f"{lead} {', '.join(rest)} - {design.model}" if rest else f"{lead} - {design.model} {other}"
    front = " ".join([*traits, design.noun])
    rest = [part for part in (_joined("with", having), f"{other} {_joined('for', suits)}" if suits else "") if part]
    return ", ".join([f"{front} by {design.brand}", *rest])


def _joined(word: str, phrases: list[str]) -> str:
    return f"{word} {' & '.join(phrases)}" if phrases else ""


def _description(dice: Dice, design: Design, said: "_Said") -> str:
    said["year"] = str(dice.between(50, 99))
    sentences = [said.put(dice.pick(words.OPENINGS))]
    if dice.chance(0.6):
        named = ", ".join(dice.sample(design.attributes, dice.between(2, 4)))
        sentences.append(dice.pick(words.MENTIONS).format(list=named))
    sentences.append(said.put(dice.pick(words.CLOSINGS)))
    return " ".join(sentences)


def _bullets(dice: Dice, design: Design, said: "_Said") -> tuple[str, ...]:
    """Return a line for each attribute, mixed, and one or two about nothing in particular."""
    lines = []
    slots = ((design.traits, words.TRAIT_LINES), (design.having, words.HAVING_LINES), (design.suits, words.SUITS_LINES))
    for attributes, sentences in slots:
        for attribute, sentence in zip(attributes, dice.sample(sentences, len(attributes)), strict=True):
            lines.append(said.about(sentence, attribute))
    lines += [said.put(line) for line in dice.sample(words.FILLERS, dice.between(1, 2))]
    return tuple(dice.sample(lines, len(lines)))


def _reviews(dice: Dice, design: Design, said: "_Said") -> tuple[Review, ...]:
    """Return up to four reviews; most are good."""
    reviews = []
    for _ in range(dice.between(0, 4)):
        mood = dice.number()
        if mood < 0.7:
            score, (title, body) = dice.between(4, 5), dice.pick(words.PRAISE)
        elif mood < 0.87:
            score, (title, body) = 3, dice.pick(words.MIDDLING)
        else:
            score, (title, body) = dice.between(1, 2), dice.pick(words.BLAME)
        reviews.append(Review(title, float(score), said.about(body, dice.pick(design.attributes))))
    return tuple(reviews)


def _wish(dice: Dice, design: Design) -> tuple[str | None, tuple[str, ...]]:
    """Return the wish in the original's words and the attributes that it names, or None and none."""
    if not dice.chance(WISHED):
        return None, ()
    wanted = dice.subset(design.attributes, dice.between(2, 3))
    traits, having, suits = (
        [attribute for attribute in slot if attribute in wanted]
        for slot in (design.traits, design.having, design.suits)
    )
    front = " ".join([*([", ".join(traits)] if traits else []), design.kind.query])
    parts = [front, *([f"with {', '.join(having)}"] if having else []), *([f"for {', '.join(suits)}"] if suits else [])]
    return f"Find me {' '.join(parts)}", wanted


class _Said(dict[str, str]):
    """What stands for the names in sentences; part and occasion change from sentence to sentence."""

    def __init__(self, dice: Dice, design: Design) -> None:
        super().__init__(noun=design.noun.lower(), Noun=design.noun, brand=design.brand, model=design.model)
        self._dice, self._kind = dice, design.kind

    def put(self, sentence: str) -> str:
        self["part"] = self._dice.pick(self._kind.parts)
        self["use"] = self._dice.pick(self._kind.uses)
        return sentence.format_map(self)

    def about(self, sentence: str, attribute: str) -> str:
        self["a"], self["A"] = attribute, attribute.capitalize()
        return self.put(sentence)
