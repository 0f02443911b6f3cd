"""What `docs/compose.md` says can be run: its configuration, and each of the five ways to add something."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from agentrl import credit
from agentrl.curriculum import keep_groups
from agentrl.losses import NAMED
from agentrl.rollout.branching import SAMPLERS, make_sampler
from agentrl.trainer.checks.composition import World, compose
from agentrl.trainer.config import parse_config
from agentrl.trainer.credit import turn_table
from tests.agentrl.trainer.checks.composition.product import Choice, composed, episodes, is_sound, run

PAGE = (Path(__file__).parents[5] / "docs" / "compose.md").read_text(encoding="utf-8")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the page's Python blocks define; what they register is taken back."""
    for registry in (SAMPLERS, NAMED):
        for name in ("pairs", "plain"):
            monkeypatch.setitem(registry, name, None)  # type: ignore[attr-defined]
    defined: dict[str, Any] = {"np": np, "credit": credit, "SimpleNamespace": SimpleNamespace}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        assert len([line for line in block.splitlines() if line.strip()]) <= 10
        exec(compile(block, "compose.md", "exec"), defined)
    return defined


def test_the_configuration() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    made = compose(parse_config({"env": {"id": "world"}, **yaml.safe_load(block)}), World("world"))
    assert (made.recipe.name, made.sampler.name, made.loss.kind, made.filter) == (
        "arpo",
        "arpo",
        "cispo",
        "dynamic_sampling",
    )
    assert (made.loss.clip_low, made.loss.clip_high, made.loss.kl_coef, made.refills) == (None, 0.3, 0.01, 2)
    assert is_sound(run(made))


def test_what_is_added(names: dict[str, Any]) -> None:
    table = turn_table(episodes(forked=False))
    last_N = names["LastTurn"]().advantages(table)
    np.testing.assert_array_equal(np.isfinite(last_N), table.left_N == 0)
    late_N = names["Late"](base="grpo").advantages(table)
    np.testing.assert_allclose(late_N, credit.grpo(table) * (1.0 + 0.1 * table.turn_N))
    assert len(make_sampler({"name": "pairs"}).plan(4, 0, 2).grow([], 4)) == 2
    made = composed(Choice({"name": "gigpo"}, "pairs", "plain", None), loss={"options": {"strength": 2.0}})
    assert made.sampler.name == "pairs" and is_sound(run(made))
    kept = keep_groups(table, names["Uneven"]())
    assert 0 < kept.verdict_N.sum() <= len(table)
