"""The words of the catalogue: what tells products apart must not be found where it does not belong."""

from itertools import combinations

import pytest

from agentrl_envs.webshop.catalogue import words
from agentrl_envs.webshop.catalogue.departments import DEPARTMENTS
from agentrl_envs.webshop.catalogue.kind import Choice, Kind
from agentrl_envs.webshop.catalogue.rephrasing import REPHRASED, rephrase
from agentrl_envs.webshop.matching import first_colour, token_set_ratio

KINDS = [kind for department in DEPARTMENTS for kind in department.kinds]
SENTENCES = (
    *words.TRAIT_LINES,
    *words.HAVING_LINES,
    *words.SUITS_LINES,
    *words.FILLERS,
    *words.OPENINGS,
    *words.CLOSINGS,
    *words.MENTIONS,
)


def are_alike(one: str, other: str) -> bool:
    """Whether the shop's reward takes one for the other."""
    return token_set_ratio(one, other) > 85


def test_there_is_enough_to_choose_from() -> None:
    assert len(DEPARTMENTS) >= 8
    assert len(KINDS) >= 40
    assert len({kind.query for kind in KINDS}) == len(KINDS)
    assert len({attribute for kind in KINDS for attribute in kind.attributes}) > 800


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.query)
def test_attributes_of_a_kind_are_told_apart(kind: Kind) -> None:
    for one, other in combinations(kind.attributes, 2):
        assert not are_alike(one, other), (one, other)
        assert one not in other and other not in one, (one, other)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.query)
def test_no_text_names_an_attribute_by_accident(kind: Kind) -> None:
    values = (value for choice in kind.options.values() for group in choice.groups for value in group)
    text = " / ".join((*SENTENCES, *kind.nouns, *kind.parts, *kind.uses, *values, *words.MODELS)).lower()
    assert [attribute for attribute in kind.attributes if attribute in text] == []


def test_values_of_an_option_are_told_apart() -> None:
    choices: dict[tuple[tuple[str, ...], ...], Choice] = {
        choice.groups: choice for kind in KINDS for choice in kind.options.values()
    }
    for groups, choice in choices.items():
        assert 2 <= choice.number[0] <= choice.number[1] <= len(groups)
        for one, other in combinations(groups, 2):
            assert not any(are_alike(first_colour(a), first_colour(b)) for a in one for b in other), (one, other)


def test_names_of_a_kind_share_a_word() -> None:
    """Else the reward would take a product that has all that was asked for as something of another kind."""
    for kind in KINDS:
        assert set.intersection(*(set(noun.lower().split()) for noun in kind.nouns)), kind.query


def test_every_place_of_a_sentence_leaves_another_attribute_to_differ_in() -> None:
    for kind in KINDS:
        assert len(kind.traits) > 3 and len(kind.having) > 3 and len(kind.suits) > 2, kind.query


def test_what_is_rephrased_is_an_attribute_and_is_not_named() -> None:
    known = {attribute for kind in KINDS for attribute in kind.attributes}
    for attribute in REPHRASED:
        assert attribute in known, attribute
        for is_plural in (False, True):
            text = rephrase(attribute, is_plural=is_plural)
            assert text is not None and attribute not in text
            assert not set("$@^%") & set(text), text
