"""Named recipes: found, built, checked, and equal to the credit functions that they name."""

import importlib.metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from agentrl import credit
from agentrl.algorithms import BUILTIN
from agentrl.algorithms.base import INVALID_PENALTY, LossSettings, Recipe, make_recipe, recipes
from agentrl.algorithms.critic import CriticRecipe
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError
from tests.agentrl.credit.tables import random_columns

ROOT = Path(__file__).parents[3]
WITHOUT_CRITIC = [recipe for recipe in BUILTIN if not issubclass(recipe, CriticRecipe)]
TABLES = [TurnTable.from_columns(**random_columns(seed)) for seed in range(3)]


class Constant(Recipe):
    """Every turn gets the same."""

    name: ClassVar[str] = "constant"
    title: ClassVar[str] = "the same for all"
    paper: ClassVar[str] = "none"
    test: ClassVar[str] = "here"

    value: float = 1.0

    def advantages(self, table: TurnTable) -> NDArray[np.float64]:
        return np.full(len(table.turn_N), self.value)


class Plugins:
    """Stands for the entry points of installed packages."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *plugins: importlib.metadata.EntryPoint) -> None:
        self.plugins, self.others = plugins, importlib.metadata.entry_points
        monkeypatch.setattr(importlib.metadata, "entry_points", self.find)

    def find(self, **query: Any) -> Any:
        return self.plugins if query == {"group": "agentrl.algorithms"} else self.others(**query)


def entry_point(name: str, value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name, value, "agentrl.algorithms")


def test_own_recipes_are_there_under_their_names() -> None:
    assert {"grpo", "gigpo"} <= recipes().keys()
    assert [recipes()[recipe.name] for recipe in BUILTIN] == list(BUILTIN), "no two have the same name"


@pytest.mark.parametrize("recipe", BUILTIN, ids=lambda recipe: recipe.name)
def test_each_says_what_it_is(recipe: type[Recipe]) -> None:
    assert recipe.title and "arXiv:" in recipe.paper
    assert (ROOT / recipe.test).is_file()
    assert isinstance(recipe.loss, LossSettings)
    assert recipe().model_config["frozen"], "options are fixed once chosen"


@pytest.mark.parametrize("recipe", WITHOUT_CRITIC, ids=lambda recipe: recipe.name)
def test_each_scores_the_turns_of_verdicts_alone(recipe: type[Recipe]) -> None:
    columns = random_columns(5)
    columns["reward"] = [float(reward > 1) / 6 for reward in columns["reward"]]
    count = len(columns["turn"])
    columns["verdict"] = [name != columns["trajectory"][0] for name in columns["trajectory"]]
    options = {"d3s": {"keep": 1.0}, "brpo": {"max_skew": 1.0}}.get(recipe.name, {})
    advantages = recipe(**options).advantages(TurnTable.from_columns(**columns))
    assert advantages.shape == (count,) and advantages.dtype == np.float64
    np.testing.assert_array_equal(np.isfinite(advantages), columns["verdict"])


@pytest.mark.parametrize("table", TABLES)
def test_grpo(table: TurnTable) -> None:
    np.testing.assert_array_equal(make_recipe({"name": "grpo"}).advantages(table), credit.grpo(table))
    options = {"scale": "none", "baseline": "leave_one_out", "weight": "turn"}
    ours = make_recipe({"name": "grpo", **options}).advantages(table)
    np.testing.assert_array_equal(ours, credit.group_relative(table, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "options",
    [
        {"invalid_penalty": 0.1},
        {"gamma": 0.5, "step_weight": 0.3, "scale": "none", "weight": "turn", "invalid_penalty": 0.0},
        {"invalid_penalty": 0.2, "dialect": "authors"},
    ],
)
def test_gigpo(table: TurnTable, options: dict[str, Any]) -> None:
    ours = make_recipe({"name": "gigpo", **options}).advantages(table)
    np.testing.assert_array_equal(ours, credit.gigpo(table, **options))


def test_defaults_of_gigpo_are_the_papers() -> None:
    recipe = make_recipe({"name": "gigpo"})
    assert recipe.model_dump() == {
        "gamma": 0.95,
        "step_weight": 1.0,
        "scale": "std",
        "weight": None,
        "invalid_penalty": 0.0,
        "similarity": None,
        "dialect": "paper",
    }
    assert recipe.loss.kl_coef == 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "unknown algorithm ''"),
        ({"name": "gipgo"}, "unknown algorithm 'gipgo'; did you mean 'gigpo'?"),
        ({"name": "gigpo", "gama": 1}, "algorithm gigpo has no option 'gama'; did you mean 'gamma'?"),
        ({"name": "gigpo", "gamma": -1}, "algorithm.gamma: input should be greater than or equal to 0, got -1"),
        ({"name": "grpo", "scale": "stdd"}, "algorithm.scale: input should be 'std' or 'none', got 'stdd'"),
        (
            {"name": "grpo", "gamma": 0.9},
            "algorithm grpo has no option 'gamma'; there are baseline, dialect, scale, weight",
        ),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_recipe(options)
    assert str(caught.value).startswith(message)


def test_a_package_adds_an_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    Plugins(monkeypatch, entry_point("constant", f"{__name__}:Constant"))
    assert recipes()["constant"] is Constant
    recipe = make_recipe({"name": "constant", "value": 2.5})
    np.testing.assert_array_equal(recipe.advantages(TABLES[0]), 2.5)
    with pytest.raises(ConfigError, match="did you mean 'constant'"):
        make_recipe({"name": "constnat"})


@pytest.mark.parametrize("value", ["no_such_module:Recipe", f"{__name__}:Absent"])
def test_a_broken_package_takes_nothing_away(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    Plugins(monkeypatch, entry_point("broken", value))
    with pytest.warns(UserWarning, match="algorithm plug-in broken .* failed"):
        assert recipes().keys() >= {"grpo", "gigpo"}


def test_loss_settings_are_overridden_where_something_is_given() -> None:
    settings = LossSettings(kl_coef=0.01, clip_high=0.2).override({"kl_coef": 0.0, "clip_high": None, "dual_clip": 5.0})
    assert (settings.kl_coef, settings.clip_high, settings.dual_clip) == (0.0, None, 5.0)


def test_an_invalid_action_costs_the_same_by_default() -> None:
    """So that comparing two algorithms compares no penalties."""
    options = [recipe.model_fields.get("invalid_penalty") for recipe in recipes().values()]
    priced = [field.default for field in options if field is not None]
    assert len(priced) >= 3 and set(priced) == {INVALID_PENALTY}
