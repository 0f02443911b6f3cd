"""The nouns in a product's title: the reward compares kinds of products by them."""

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from agentrl_envs.webshop.reward import Nouns

MODELS = ("en_core_web_sm", "en_core_web_md", "en_core_web_lg")
"""The spaCy models that are looked for; the original uses the first."""
_NOUNS = ("NOUN", "PROPN")

_TOKEN = re.compile(r"\w+(?:['\u2019]\w+)*")
_POSSESSIVE = re.compile(r"(.+)(['\u2019]s)\Z", re.IGNORECASE)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FUNCTION_WORDS = _set(
    """
a about above across after again against all along also am among an and any are around as at be because been before
behind below beneath beside besides between beyond both but by can could did do does during each eight either every
few first five for four from had has have he her here hers him his how i if in inside into is it its just like many
may me might mine more most much must my near neither nine no non none nor not of off on once only onto or other our
ours out outside over own per second seven shall she should six so some such ten than that the their theirs them then
there these they third this those three through throughout till to too toward towards two un under until up upon us
very via was we were what when where whether which while who whom whose why will with within without would yet you
your yours
"""
)
_ADJECTIVES = _set(
    """
active adjustable anti artificial authentic automatic available beautiful beige best better big black blue bold
breathable bright brown casual cheap classic clean clear cold comfortable compact compatible complete convenient cool
cordless creamy cute daily decorative deep delicate delicious different digital double dry durable easy electric
elegant excellent external extra fancy fast fat fine flexible fluffy foldable free fresh full functional genuine
gluten good gorgeous gothic gray great green grey handmade handy happy hard healthy heavy high hot huge hypoallergenic
ideal industrial internal invisible large latest lazy lightweight little long low main male manual mini modern multi
multifunctional multiple natural new nice non nonslip old optical optional orange organic original outer oversized
padded perfect personal pink plain polarized portable powerful premium professional pure purple quiet ready rear
rechargeable rectangular red regular reusable rich romantic rustic safe same sexy sharp short silver simple single
slim small soft solid stainless stiff strong stylish suitable super sweet thin tight tiny tough traditional
transparent true ultra unique unscented upper useful vegan versatile vintage washable waterproof wet white whole wide
wireless wooden yellow young
"""
)
_ADVERBS_AND_VERBS = _set(
    """
always apply assembled assembly attach available bring buy carry dont enjoy ever get give go got help improve includes
including keep let look lose made make makes need needs never provide reduce remove required show showed take use used
using want
"""
)
_NO_NOUN_ENDINGS = ("able", "ible", "ful", "ous", "less", "ish", "ly", "ical", "proof", "istic")


@lru_cache(maxsize=1)
def find_tagger() -> tuple[Nouns, str]:
    """Return what tells nouns, and its name: a spaCy model if one is installed, otherwise ``"built-in"``."""
    if find_spec("spacy") is not None:
        for model in MODELS:
            if find_spec(model) is not None:
                return lru_cache(maxsize=1 << 14)(_Spacy(model)), f"spacy {model}"
    return nouns_of, "built-in"


@lru_cache(maxsize=1 << 14)
def nouns_of(title: str) -> Sequence[str]:
    """Return the nouns of a title by a list of words that are none; an unknown word is taken for a noun.

    >>> nouns_of("Legendary Men's Non-Slip Running Shoes, 2 Pairs, Grey")
    ('legendary', 'men', "'s", 'slip', 'running', 'shoes', 'pairs')
    """
    found: list[str] = []
    for token in _TOKEN.findall(title):
        word = token.lower()
        if possessive := _POSSESSIVE.match(word):
            found += [part for part in possessive.groups() if _is_noun(part)]
        elif _is_noun(word):
            found.append(word)
    return tuple(found)


def _is_noun(word: str) -> bool:
    if word in ("'s", "\u2019s"):
        return True
    if not word[0].isalpha():
        return False
    if word in _FUNCTION_WORDS or word in _ADJECTIVES or word in _ADVERBS_AND_VERBS:
        return False
    return not (len(word) > 5 and word.endswith(_NO_NOUN_ENDINGS))


class _Spacy:
    """The nouns by a spaCy model, loaded when first asked."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._parse: Any = None

    def __call__(self, title: str) -> Sequence[str]:
        if self._parse is None:
            import spacy

            self._parse = spacy.load(self._model)
        return tuple(token.text.lower() for token in self._parse(title) if token.pos_ in _NOUNS)
