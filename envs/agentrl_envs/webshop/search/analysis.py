"""From text to index terms, as the original's search does it.

That is Lucene's standard tokenizer (Unicode's word boundaries, UAX #29, with emoji as words), without possessive 's,
in lower case, without stop words, stemmed by Porter: the English analyzer of Lucene 9, which pyserini uses.
"""

import re
from functools import lru_cache

from agentrl_envs.webshop.search.stemming import stem

_STOP_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to
was will with
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
_MAX_LENGTH = 255
"""Longer words are cut into pieces."""

_EXTEND = "\u0300-\u036f\u0483-\u0489\u20d0-\u20f0\u00ad\u200c-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff\uff9e\uff9f"
_SCRIPTS_APART = {
    "han": "\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff",
    "hiragana": "\u3041-\u3096\u309d-\u309f",
    "katakana": "\u3031-\u3035\u309b\u309c\u30a0-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "complex": "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u1000-\u109f\u1780-\u17d3\u19de-\u19ff",
}
_NO_LETTERS = (
    "\u00b2\u00b3\u00b9\u00bc-\u00be\u2070\u2074-\u2079\u2080-\u2089\u2150-\u215f\u2189\u2460-\u249b"
    "\u24ea-\u24ff\u2776-\u2793"
)
"""Numbers that are neither digits nor letters, though Python's ``\\w`` has them."""
_PICTOGRAPHS = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u2388\u23cf\u23e9-\u23f3"
    "\u23f8-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2605\u2607-\u2612\u2614-\u2685\u2690-\u2705"
    "\u2708-\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e\u2753-\u2755\u2757\u2763-\u2767"
    "\u2795-\u2797\u27a1\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001f0ff\U0001f10d-\U0001f10f\U0001f12f\U0001f16c-\U0001f171\U0001f17e\U0001f17f\U0001f18e"
    "\U0001f191-\U0001f19a\U0001f1ad-\U0001f1e5\U0001f201-\U0001f20f\U0001f21a\U0001f22f\U0001f232-\U0001f23a"
    "\U0001f23c-\U0001f23f\U0001f249-\U0001f3fa\U0001f400-\U0001f53d\U0001f546-\U0001f64f\U0001f680-\U0001f6ff"
    "\U0001f774-\U0001f77f\U0001f7d5-\U0001f7ff\U0001f80c-\U0001f80f\U0001f848-\U0001f84f\U0001f85a-\U0001f85f"
    "\U0001f888-\U0001f88f\U0001f8ae-\U0001f8ff\U0001f90c-\U0001f93a\U0001f93c-\U0001f945\U0001f947-\U0001faff\U0001fc00-\U0001fffd"
)
_MODIFIERS, _FLAGS, _ZWJ = "\U0001f3fb-\U0001f3ff", "\U0001f1e6-\U0001f1ff", "\u200d"
_LETTER = rf"[^\W\d_{''.join(_SCRIPTS_APART.values())}{_NO_LETTERS}{_EXTEND}{_PICTOGRAPHS}]"
_CONNECTOR = "[_\u202f\u203f\u2040\u2054\ufe33\ufe34\ufe4d-\ufe4f\uff3f]"
_IN_WORD = "[.:'\u00b7\u0387\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a]"
_IN_NUMBER = (
    "[.,;'\u037e\u0589\u060c\u060d\u066c\u07f8\u2018\u2019\u2024\u2044\ufe10\ufe14\ufe50\ufe52\ufe54\uff07"
    "\uff0c\uff0e\uff1b]"
)
_X = f"[{_EXTEND}]"
_PICTURE = rf"(?:[{_PICTOGRAPHS}]\ufe0f?(?:[{_MODIFIERS}]\ufe0f?)?|[{_MODIFIERS}])"

_WORD = re.compile(
    rf"{_PICTURE}(?:{_ZWJ}{_PICTURE})*|[#*]\ufe0f?\u20e3|[{_FLAGS}]{{2}}"
    rf"|{_CONNECTOR}*(?:{_LETTER}|\d)(?:{_LETTER}|[\d{_EXTEND}]|{_CONNECTOR}"
    rf"|(?<={_LETTER}){_IN_WORD}(?={_LETTER})|(?<=\d){_IN_NUMBER}(?=\d))*"
    rf"|{_CONNECTOR}*(?:[{_SCRIPTS_APART['katakana']}]{_X}*)+|(?:[{_SCRIPTS_APART['complex']}]{_X}*)+"
    rf"|[{_SCRIPTS_APART['han']}{_SCRIPTS_APART['hiragana']}]{_X}*"
)
_PLAIN = re.compile(r"_*[a-z0-9](?:[a-z0-9_]|(?<=[a-z])[.:'](?=[a-z])|(?<=\d)[.,;'](?=\d))*")
"""The same for lower-case ASCII."""
_FOREIGN = re.compile(r"[^ \t\r\n]*[^\x00-\x7f][^ \t\r\n]*")
"""What stands between blanks and is not all ASCII: only there the full pattern, which is slow, is needed."""


def words(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, as they stand."""
    text = text.lower().replace("\xa0", " ")
    found: list[str] = []
    plain_from = 0
    if not text.isascii():
        for foreign in _FOREIGN.finditer(text):
            found += _PLAIN.findall(text, plain_from, foreign.start())
            found += _WORD.findall(foreign[0])
            plain_from = foreign.end()
    found += _PLAIN.findall(text, plain_from)
    if max(map(len, found), default=0) > _MAX_LENGTH:
        found = [word[at : at + _MAX_LENGTH] for word in found for at in range(0, len(word), _MAX_LENGTH)]
    return found


def terms(text: str) -> list[str]:
    """Return the index terms of ``text``, in order, with repeats.

    >>> terms("The Men's running-shoes, size 9.5")
    ['men', 'run', 'shoe', 'size', '9.5']
    """
    return [term for word in words(text) if (term := _term(word))]


@lru_cache(maxsize=1 << 18)
def _term(word: str) -> str:
    """Return the term of a word, or "" for a stop word."""
    plain = word[:-2] if word[-2:] in ("'s", "\u2019s", "\uff07s") else word
    return "" if plain in STOP_WORDS else stem(plain)
