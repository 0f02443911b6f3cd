"""YAML that is no configuration is refused in one line, soon, whatever it holds."""

import time

import pytest

from agentrl.errors import ConfigError
from agentrl.trainer.config.yaml_tree import MOST_LEVELS, MOST_VALUES, parse_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "it holds more than 100,000 values"),
        ("a: &a [*a]", "it is nested more than 50 levels deep, or refers to itself"),
        ("a: &a {b: *a}", "refers to itself"),
        ("[" * 5000 + "]" * 5000, "it is nested too deeply"),
        ("[" * (MOST_LEVELS + 2) + "]" * (MOST_LEVELS + 2), "more than 50 levels deep"),
        (f"[{'1, ' * (MOST_VALUES + 1)}]", "more than 100,000 values"),
        ('a: "\\ud800"', "it holds text that is not Unicode"),
        ("a: !!python/object/apply:os.system [ls]", "it is not YAML: could not determine a constructor"),
        ("a: 2020-13-45", "it is not YAML: month must be in 1..12"),
        ("? [1, 2]\n: 3", "it is not YAML"),
        ("a: [", "it is not YAML"),
        ("\0", "it is not YAML"),
        ("9" * 5000, "it is not YAML"),
    ],
)
def test_what_cannot_be_used(text: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=message) as caught:
        parse_yaml(text, "it")
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 20, "aliases are not spelled out"


def test_aliases_are_values_like_others() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: *a", "it") == {"a": {"x": 1}, "b": {"x": 1}}
    assert parse_yaml("", "it") is None
