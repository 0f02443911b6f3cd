"""Porter's stemmer (An algorithm for suffix stripping, 1980), with the two later rules that Lucene has as well.

Those are ``bli`` to ``ble`` (for ``abli`` to ``able``) and ``logi`` to ``log``; words of one or two letters stay.
"""

import itertools
from collections.abc import Mapping

_STEP_2: Mapping[str, str] = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "logi": "log",
}
_STEP_3: Mapping[str, str] = {
    "icate": "ic",
    "ative": "",
    "alize": "al",
    "iciti": "ic",
    "ical": "ic",
    "ful": "",
    "ness": "",
}
_STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate"),
    *("iti", "ous", "ive", "ize"),
)
_LONGEST = 7


def stem(word: str) -> str:
    """Return the stem of ``word``, which is in lower case.

    >>> [stem(word) for word in ("running", "ponies", "relational", "hopping", "as")]
    ['run', 'poni', 'relat', 'hop', 'as']
    """
    if len(word) <= 2:
        return word
    word = _step_1(word)
    word = _replace(word, _STEP_2)
    word = _replace(word, _STEP_3)
    word = _step_4(word)
    return _step_5(word)


def _is_consonant(word: str, at: int) -> bool:
    if word[at] == "y":
        return at == 0 or not _is_consonant(word, at - 1)
    return word[at] not in "aeiou"


def _measure(stem_: str) -> int:
    """Return m: how often a vowel sequence is followed by a consonant sequence."""
    kinds = [_is_consonant(stem_, at) for at in range(len(stem_))]
    return sum(not before and after for before, after in itertools.pairwise(kinds))


def _has_vowel(stem_: str) -> bool:
    return any(not _is_consonant(stem_, at) for at in range(len(stem_)))


def _ends_double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _is_consonant(word, len(word) - 1)


def _ends_short(word: str) -> bool:
    """Whether it ends consonant, vowel, consonant, the last not w, x or y."""
    last = len(word) - 1
    return (
        last >= 2
        and _is_consonant(word, last)
        and not _is_consonant(word, last - 1)
        and _is_consonant(word, last - 2)
        and word[last] not in "wxy"
    )


def _step_1(word: str) -> str:
    if word.endswith("sses") or word.endswith("ies"):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word.endswith("eed"):
        if _measure(word[:-3]) > 0:
            word = word[:-1]
    elif word.endswith("ed") and _has_vowel(word[:-2]):
        word = _repair(word[:-2])
    elif word.endswith("ing") and _has_vowel(word[:-3]):
        word = _repair(word[:-3])
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    return word


def _repair(word: str) -> str:
    """Mend what is left after ``ed`` or ``ing`` went."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _ends_double(word):
        return word if word[-1] in "lsz" else word[:-1]
    return word + "e" if _measure(word) == 1 and _ends_short(word) else word


def _replace(word: str, rules: Mapping[str, str]) -> str:
    for length in range(min(_LONGEST, len(word)), 2, -1):
        suffix = word[-length:]
        if suffix in rules:
            stem_ = word[:-length]
            return stem_ + rules[suffix] if _measure(stem_) > 0 else word
    return word


def _step_4(word: str) -> str:
    for length in range(min(5, len(word)), 1, -1):
        suffix = word[-length:]
        if suffix in _STEP_4:
            stem_ = word[:-length]
            if suffix == "ion" and not stem_.endswith(("s", "t")):
                return word
            return stem_ if _measure(stem_) > 1 else word
    return word


def _step_5(word: str) -> str:
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _ends_short(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and _measure(word) > 1:
        word = word[:-1]
    return word
