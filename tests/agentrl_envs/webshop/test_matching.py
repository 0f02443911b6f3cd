import random

import pytest

from agentrl_envs.webshop.matching import first_colour, token_set_ratio


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("7", "7.5", 100),
        ("large", "x-large", 100),
        ("blue", "('color', 'navy blue')", 100),
        ("x-large", "('size', 'xx-large')", 83),
        ("", "a", 0),
        ("Ä", "a", 0),
    ],
)
def test_likeness(one: str, other: str, expected: int) -> None:
    assert token_set_ratio(one, other) == expected


def test_likeness_is_thefuzz_s() -> None:
    fuzz, utils = pytest.importorskip("rapidfuzz.fuzz"), pytest.importorskip("rapidfuzz.utils")
    latin_1 = dict.fromkeys(range(128, 256))
    text = "a b c x-large large xx navy blue é ² black2626 _ 7 7.5 men's ('color', 10x12 set of two"
    pieces = text.split()
    draw = random.Random(0)
    for _ in range(3000):
        pair = [" ".join(draw.choices(pieces, k=draw.randrange(5))) for _ in range(2)]
        cleaned = [utils.default_process(text.translate(latin_1)) for text in pair]
        assert token_set_ratio(*pair) == round(fuzz.token_set_ratio(*cleaned)), pair


def test_the_first_colour_in_alphabetical_order() -> None:
    assert first_colour("navy blue") == "blue"
    assert first_colour("used") == "used"
    assert first_colour("covered") == "red", "wherever it stands"
    assert first_colour(("color", "navy blue")) == ("color", "navy blue")
    assert first_colour(("color", "black")) == "black"
