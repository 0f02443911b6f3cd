"""A wish in English: the instruction of a task."""

from agentrl_envs.webshop.catalogue.dice import Dice
from agentrl_envs.webshop.catalogue.rephrasing import rephrase
from agentrl_envs.webshop.catalogue.wish import Wish
from agentrl_envs.webshop.goal import NO_LIMIT

_OPENINGS = (
    "I am looking for",
    "I need",
    "Find me",
    "I want to buy",
    "Could you find me",
    "Please find",
    "Help me to find",
    "I'm shopping for",
    "I would like to order",
    "We need",
    "Can you get me",
    "I've been searching for",
    "My sister asked me for",
    "Show me",
)
_IN_COLOUR = ("in {value}", "in the color {value}", "with color: {value}", "and the color should be {value}")
_WITH_OPTION = ("{name}: {value}", "with {name} {value}", "and {value} as the {name}", "the {name} should be {value}")
_PRICES = (
    "and price lower than {limit:.2f} dollars",
    "for less than ${limit:.0f}",
    "that costs under {limit:.2f} dollars",
    "priced below ${limit:.2f}",
    "and I can spend up to {limit:.0f} dollars",
    "my budget is ${limit:.0f}",
)
_PRICE_SENTENCES = (
    "It must cost less than {limit:.0f} dollars",
    "My budget is ${limit:.2f}",
    "I don't want to pay more than ${limit:.0f}",
    "The price should be lower than {limit:.2f} dollars",
)
_LOWER = 0.3
"""The share of instructions in lower case throughout."""


def phrase_wish(wish: Wish, dice: Dice, rephrased: float) -> str:
    """Say a wish: in one sentence, in a few, or in the words of the original's synthetic goals.

    Args:
      wish: what is wanted; option values are named as they are, in every form.
      dice: chooses the words.
      rephrased: the share of attributes said in other words where there are some.
    """
    form = dice.number()
    if form < 0.2:
        text = _as_the_original(wish)
    else:
        text = _in_sentences(wish, dice, rephrased) if form < 0.5 else _in_one(wish, dice, rephrased)
    return text.lower() if dice.chance(_LOWER) else text


def _as_the_original(wish: Wish) -> str:
    text = f"Find me {_noun_phrase(wish, wish.attributes, ', ', is_bare=True)}"
    if wish.options:
        text += " with " + ", and ".join(f"{name}: {value}" for name, value in wish.options.items())
    return text + (f", {_PRICES[0].format(limit=wish.limit)}" if wish.limit < NO_LIMIT else "")


def _in_one(wish: Wish, dice: Dice, rephrased: float) -> str:
    plain, clauses = _meanings(wish, dice, rephrased)
    text = f"{dice.pick(_OPENINGS)} {_noun_phrase(wish, plain, ' and ')}"
    if clauses:
        text += f" that {' and '.join(clauses)}"
    details = [_option(dice, name, value) for name, value in wish.options.items()]
    if wish.limit < NO_LIMIT:
        details.append(dice.pick(_PRICES).format(limit=wish.limit))
    return ", ".join([text, *details])


def _in_sentences(wish: Wish, dice: Dice, rephrased: float) -> str:
    plain, clauses = _meanings(wish, dice, rephrased)
    kind = wish.kind
    it = "They" if kind.is_plural else "It"
    traits = [attribute for attribute in plain if attribute in kind.traits]
    having = [attribute for attribute in plain if attribute in kind.having]
    suits = [attribute for attribute in plain if attribute in kind.suits]
    demands = [
        *([f"be {' and '.join(traits)}"] if traits else []),
        *([f"come with {' and '.join(having)}"] if having else []),
        *([f"be right for {' and '.join(suits)}"] if suits else []),
    ]
    sentences = [f"{dice.pick(_OPENINGS)} {_noun_phrase(wish, (), '')}"]
    if clauses:
        sentences[0] += f" that {' and '.join(clauses)}"
    if demands:
        sentences.append(f"{it} should {', and '.join(demands)}")
    if wish.options:
        chosen = " and ".join(f"{value} as the {name}" for name, value in wish.options.items())
        sentences.append(dice.pick((f"Choose {chosen}", f"I'd take {chosen}", f"Make it {chosen}")))
    if wish.limit < NO_LIMIT:
        sentences.append(dice.pick(_PRICE_SENTENCES).format(limit=wish.limit))
    return ". ".join(sentences) + "."


def _meanings(wish: Wish, dice: Dice, share: float) -> tuple[tuple[str, ...], list[str]]:
    """Return the attributes to be named, and what is said of the others."""
    said = {
        attribute: text
        for attribute in wish.attributes
        if dice.chance(share) and (text := rephrase(attribute, is_plural=wish.kind.is_plural))
    }
    return tuple(attribute for attribute in wish.attributes if attribute not in said), list(said.values())


def _noun_phrase(wish: Wish, attributes: tuple[str, ...], joint: str, *, is_bare: bool = False) -> str:
    kind = wish.kind
    traits, having, suits = (
        [attribute for attribute in attributes if attribute in slot] for slot in (kind.traits, kind.having, kind.suits)
    )
    middle = " ".join([*([", ".join(traits)] if traits else []), kind.query])
    article = "" if is_bare else kind.article
    if article in ("a", "an"):
        article = "an" if middle[0] in "aeiou" else "a"
    parts = [
        article,
        middle,
        f"with {joint.join(having)}" if having else "",
        f"for {joint.join(suits)}" if suits else "",
    ]
    return " ".join(part for part in parts if part)


def _option(dice: Dice, name: str, value: str) -> str:
    return dice.pick(_IN_COLOUR if name == "color" else _WITH_OPTION).format(name=name, value=value)
