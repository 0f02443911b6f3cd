import pytest

from agentrl_envs.webshop.search import analysis
from agentrl_envs.webshop.search.analysis import terms, words
from agentrl_envs.webshop.search.postings import coded_length
from agentrl_envs.webshop.search.stemming import stem


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        # Porter's own examples, a rule each.
        *[("caresses", "caress"), ("ponies", "poni"), ("cats", "cat"), ("feed", "feed"), ("agreed", "agre")],
        *[("plastered", "plaster"), ("motoring", "motor"), ("conflated", "conflat"), ("hopping", "hop")],
        *[("falling", "fall"), ("filing", "file"), ("happy", "happi"), ("sky", "sky"), ("rational", "ration")],
        *[("conditional", "condit"), ("digitizer", "digit"), ("radically", "radic"), ("vietnamization", "vietnam")],
        *[("hopefulness", "hope"), ("formality", "formal"), ("triplicate", "triplic"), ("goodness", "good")],
        *[("revival", "reviv"), ("adjustment", "adjust"), ("adoption", "adopt"), ("effective", "effect")],
        *[("probate", "probat"), ("rate", "rate"), ("cease", "ceas"), ("controll", "control"), ("roll", "roll")],
        *[("is", "is"), ("possibly", "possibl"), ("apology", "apolog")],
    ],
)
def test_stems(word: str, expected: str) -> None:
    assert stem(word) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("USB-C cable, 3.5mm (2 pack)", ["usb", "c", "cable", "3.5mm", "2", "pack"]),
        ("material:solid wood a.b 1,000 50% don't", ["material:solid", "wood", "a.b", "1,000", "50", "don't"]),
        ("men’s café 20x24 __ _a", ["men’s", "café", "20x24", "_a"]),
        ("混合米 ひら カタカナ", ["混", "合", "米", "ひ", "ら", "カタカナ"]),
        ("❤️ 🌸🌸 ✔sale ½ ® 5°", ["❤️", "🌸", "🌸", "✔", "sale", "®", "5"]),
        ("x" * 300, ["x" * 255, "x" * 45]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_terms_lose_possessives_and_stop_words() -> None:
    assert terms("The women's shoes of the men’s") == ["women", "shoe", "men"]


def test_the_pattern_for_ascii_agrees_with_the_full_one() -> None:
    text = "a.b:c'd 1.2,3;4'5 a.1 1.a _a__b_ a_.b 'x' x's 10x12.5in ..a.. a..b 1..2 a-b/c&d's"
    assert analysis._WORD.findall(text) == words(text)
    mixed = f"caf\u00e9.bar {text} na\u00efve-{text} \u00a0x"
    assert analysis._WORD.findall(mixed.replace("\u00a0", " ")) == words(mixed)


def test_lengths_are_coded_in_a_byte() -> None:
    codes = [coded_length(length) for length in range(100_000)]
    assert codes[:40] == list(range(40))
    assert all(code <= length < code * 1.13 + 1 for length, code in enumerate(codes))
    assert codes == sorted(codes)
    assert len(set(codes)) < 256
