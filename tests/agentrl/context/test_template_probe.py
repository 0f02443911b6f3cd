"""Chat templates that do not end are cut off; those in use, and those that refuse a conversation, are not."""

import time

import pytest

from agentrl.context.template_probe import check_template
from agentrl.errors import DataError
from agentrl.policy import CHAT_TEMPLATE
from tests.agentrl.rollout.toys import CHATML, byte_tokenizer

# Whatever the sandbox forbids (a range of more than 100,000 numbers) is an error there, which ends it as well.
LOOP = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(9) %}{% endfor %}{% endfor %}{% endfor %}"
)
ENDLESS = "{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(1) }}"


@pytest.mark.parametrize(
    "template",
    [
        CHAT_TEMPLATE,
        "{% for message in messages %}{{ raise_exception('only users') }}{% endfor %}",
        *(
            pytest.param(template, marks=pytest.mark.slow)
            for template in ("{% for x in range(10**9) %}{% endfor %}", "{{ 1 / 0 }}", "{% broken", ENDLESS)
        ),
    ],
)
def test_what_ends_is_left_to_be_read(template: str) -> None:
    check_template(byte_tokenizer(template))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (LOOP + CHATML, "was cut off after 5 s of rendering a few short messages"),
        ("{{ 10 ** (10 ** 9) }}", "was cut off|needs more than"),
        ("{{ 'a' * (10 ** 10) }}", "needs more than 1024 MiB to render a few short messages"),
        ("{{ 'a' * 2000000 }}", "as more than 1,000,000 letters"),
        ("{% if messages | length > 2 %}" + LOOP + "{% endif %}", "was cut off"),
    ],
)
@pytest.mark.slow
def test_what_does_not_end_is_cut_off(template: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(DataError, match=message):
        check_template(byte_tokenizer(template))
    assert time.process_time() - began < 2, "the time is another process's"


def test_a_template_that_writes_too_much_is_refused() -> None:
    with pytest.raises(DataError, match=r"as more than 1,000,000 letters: give the tokenizer another chat_template"):
        check_template(byte_tokenizer("{{ 'a' * 1000001 }}"))


def test_a_tokenizer_of_several_templates_has_a_default() -> None:
    with pytest.raises(DataError, match="no chat template for conversations"):
        check_template(byte_tokenizer({"tools": CHATML}))  # type: ignore[arg-type]
