"""How alike two texts are, as thefuzz 0.22 counts it, and which colour a text names: the reward compares by both."""

import re
from functools import lru_cache
from typing import Any

_LATIN_1 = dict.fromkeys(range(128, 256))
_NO_WORD = re.compile(r"[\W_]")

_COLOURS = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo
caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream crystal
dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather indigo ivory
ivy khaki lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha multicolor mushroom
mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal rust sand sapphire
seashell silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise violet walnut wheat white
wine yellow
"""
COLOURS = tuple(_COLOURS.split())
"""In the order in which they are looked for."""


def first_colour(text: Any) -> Any:
    """Return the first of `COLOURS` in ``text``, or ``text``: in ``"navy blue"`` it is ``"blue"``, in ``"used"`` none.

    Of a tuple it looks at the elements, as the original does.
    """
    return next((colour for colour in COLOURS if colour in text), text)


@lru_cache(maxsize=1 << 16)
def token_set_ratio(one: str, other: str) -> int:
    """Return the likeness of two texts as sets of words, 0 to 100.

    It is 100 where all words of one are words of the other. Otherwise, with s the common words, a and b those of one
    alone, all joined by spaces, it is the largest of the ratios of (s a, s b), (s, s a) and (s, s b), the ratio of two
    texts being 200 · (length of their longest common subsequence) / (sum of their lengths).

    >>> token_set_ratio("large", "x-large"), token_set_ratio("navy", "dark blue")
    (100, 15)
    """
    words, others = _words(one), _words(other)
    if not words or not others:
        return 0
    common, left, right = words & others, words - others, others - words
    if common and not (left and right):
        return 100
    a, b = " ".join(sorted(left)), " ".join(sorted(right))
    shared = len(" ".join(common))
    with_a, with_b = (shared + bool(shared) + len(text) for text in (a, b))
    apart = len(a) + len(b) - 2 * _longest_common(a, b)
    ratio = 1 - apart / (with_a + with_b)
    if shared:
        ratio = max(ratio, 2 * shared / (shared + with_a), 2 * shared / (shared + with_b))
    return round(100 * ratio)


@lru_cache(maxsize=1 << 16)
def _words(text: str) -> frozenset[str]:
    return frozenset(_NO_WORD.sub(" ", text.translate(_LATIN_1)).lower().split())


def _longest_common(one: str, other: str) -> int:
    """Return the length of the longest common subsequence, by the bit-parallel recurrence of Hyyrö (2004)."""
    places: dict[str, int] = {}
    for at, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << at
    mask = (1 << len(one)) - 1
    row = mask
    for letter in other:
        met = row & places.get(letter, 0)
        row = ((row + met) | (row - met)) & mask
    return len(one) - row.bit_count()
