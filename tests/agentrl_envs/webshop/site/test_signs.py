"""Pictures: every kind of product has a sign, and every picture is well-formed."""

from xml.etree import ElementTree

import pytest

from agentrl_envs.webshop.catalogue.departments import DEPARTMENTS
from agentrl_envs.webshop.site import signs
from agentrl_envs.webshop.site.picture import draw


def test_every_name_has_a_drawing() -> None:
    drawn = signs.signs()
    assert set(signs._SIGN_OF.values()) | set(signs._SIGN_OF_CATEGORY.values()) | {"parcel"} == set(drawn)
    assert {department.category for department in DEPARTMENTS} == set(signs._SIGN_OF_CATEGORY)


def test_kinds_are_told_apart() -> None:
    pictures = {signs.sign(department.category, kind.query) for department in DEPARTMENTS for kind in department.kinds}
    assert len(pictures) > 40


@pytest.mark.parametrize(
    ("kind", "like"), [("women's sandals", "running shoes"), ("Phone Cases", "phone"), ("console tables", "desk")]
)
def test_signs_go_by_the_last_word_that_has_one(kind: str, like: str) -> None:
    assert signs.sign("garden", kind) == signs.sign("", like)


def test_pictures_are_well_formed_and_show_the_colour() -> None:
    for category, kind in (("pets", "dog food"), ("no such", "<thing> & co")):
        plain, blue = draw(category, kind, ""), draw(category, kind, "navy blue")
        assert plain != blue and "#2f6fd0" in blue
        for text in (plain, blue):
            assert ElementTree.fromstring(text).findtext("{http://www.w3.org/2000/svg}title") == kind
