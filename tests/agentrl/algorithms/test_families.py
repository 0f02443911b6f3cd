"""Each recipe is the credit function that it names, with the paper's defaults, and transforms compose."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentrl import credit
from agentrl.algorithms import BUILTIN
from agentrl.algorithms.base import make_recipe
from agentrl.algorithms.critic import CriticRecipe, Tokens
from agentrl.algorithms.spo import SPO
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError
from tests.agentrl.credit.tables import random_columns, random_forest

FOREST = TurnTable.from_columns(**random_forest(3))
VINE = TurnTable.from_columns(**random_forest(1, trajectories=8))
SMALL = random_columns(4) | {"reward": [float(reward > 1) / 6 for reward in random_columns(4)["reward"]]}
TABLE = TurnTable.from_columns(**SMALL)

Function = Callable[[TurnTable], NDArray[np.float64]]


def mt_grpo(table: TurnTable) -> NDArray[np.float64]:
    return credit.mt_grpo(table, turn_reward=table.need("step_reward"))


def srgpo(table: TurnTable) -> NDArray[np.float64]:
    return credit.srgpo(table, seed=7, step_reward=table.need("step_reward"), group_size=4, invalid_penalty=0.1)


def vineppo(table: TurnTable) -> NDArray[np.float64]:
    advantage_N = credit.vineppo(table, values=credit.vine_values(table))
    return np.where(table.need("parent") < 0, advantage_N, np.nan)


def episode_returns(table: TurnTable) -> NDArray[np.float64]:
    return np.bincount(table.trajectory_N, table.reward_N)[table.trajectory_N]


PRICED = {"invalid_penalty": 0.1}
CASES: dict[str, tuple[dict[str, Any], Function]] = {
    "grpo": ({}, credit.grpo),
    "dr_grpo": ({}, credit.dr_grpo),
    "dr_grpo by turn": ({"weight": "turn"}, lambda t: credit.dr_grpo(t, weight="turn")),
    "rloo": ({}, credit.rloo),
    "opo": ({}, credit.opo),
    "opo by turn": ({"length": "turn"}, lambda t: credit.opo(t, length="turn")),
    "reinforce_plus_plus": ({"gamma": 0.9}, lambda t: credit.reinforce_plus_plus(t, gamma=0.9, weight="token")),
    "reinforce_plus_plus_baseline": (
        {},
        lambda t: credit.reinforce_plus_plus(t, group_baseline=True, weight="token"),
    ),
    "dapo": ({}, credit.grpo),
    "gspo": ({}, credit.grpo),
    "cispo": ({"scale": "none"}, credit.dr_grpo),
    "sapo": ({}, credit.grpo),
    "loop": ({}, credit.rloo),
    "rec": ({}, credit.dr_grpo),
    "opmd": ({}, credit.dr_grpo),
    "asym_re": ({}, credit.dr_grpo),
    "gigpo": (PRICED, lambda t: credit.gigpo(t, invalid_penalty=0.1)),
    "hgpo": ({"history": 1, "episode": True}, lambda t: credit.hgpo(t, history=1, episode=True)),
    "srgpo": ({**PRICED, "group_size": 4, "seed": 7}, srgpo),
    "mt_grpo": ({}, mt_grpo),
    "graphgpo": ({**PRICED, "relative": True}, lambda t: credit.graphgpo(t, invalid_penalty=0.1, relative=True)),
    "g2po": ({**PRICED, "weight": "turn"}, lambda t: credit.g2po(t, invalid_penalty=0.1, weight="turn")),
    "gagpo": ({**PRICED, "lam": 0.5}, lambda t: credit.gagpo(t, invalid_penalty=0.1, lam=0.5)),
    "ecpo": ({**PRICED, "prior": 1.0}, lambda t: credit.ecpo(t, invalid_penalty=0.1, prior=1.0)),
    "proxmo": (PRICED, lambda t: credit.proxmo(t, invalid_penalty=0.1)),
    "hcapo": ({**PRICED, "smoothing": 0.5}, lambda t: credit.hcapo(t, invalid_penalty=0.1, smoothing=0.5)),
    "igpo": ({"norm": "separate"}, lambda t: credit.igpo(t, norm="separate")),
    "spo": ({}, lambda t: credit.spo(t, tracker=credit.SuccessTracker())),
    "salt": ({}, lambda t: credit.salt(t, base=credit.grpo)),
    "salt of rloo": ({"base": "rloo", "history": 1}, lambda t: credit.salt(t, base=credit.rloo, history=1)),
    "salt of gigpo": (
        {"base": {"name": "gigpo", "gamma": 0.5, "invalid_penalty": 0.0}, "history": 1},
        lambda t: credit.salt(t, base=credit.gigpo(t, gamma=0.5), history=1),
    ),
    "empg": ({}, lambda t: credit.empg(t, base=credit.grpo)),
    "empg of salt": (
        {"base": {"name": "salt", "base": "rloo"}, "bonus": 0.1},
        lambda t: credit.empg(t, base=credit.salt(t, base=credit.rloo), bonus=0.1),
    ),
    "d3s": ({}, lambda t: credit.d3s(t, base=credit.grpo, keep=0.5)),
    "unlikeliness": ({"beta": 0.5}, lambda t: credit.grpo(credit.unlikeliness(t, beta=0.5))),
    "tree_grpo": ({"dialect": "authors"}, lambda t: credit.tree_grpo(t, dialect="authors")),
    "treepo": ({"variant": "segment"}, lambda t: credit.treepo(t, variant="segment")),
    "arpo": ({}, credit.grpo),
    "arpo hard": ({"mode": "hard", "base": "rloo"}, lambda t: credit.branch_attribution(t, base=credit.rloo)),
    "aepo": ({}, credit.grpo),
    "latr": ({}, credit.grpo),
    "vineppo": ({}, vineppo),
    "mdpo": ({}, credit.grpo),
    "hapo": ({"outlier": 1.5}, lambda t: credit.hapo(t, outlier=1.5)),
    "brpo": ({"tie": 0.0, "seed": 3}, lambda t: credit.brpo(t, seed=3, tie=0.0)),
    "thinkless": ({}, credit.dr_grpo),
    "salsa": ({}, credit.grpo),
    **{name: ({}, episode_returns) for name in ("drpo", "trpa", "p3o")},
    **{name: ({}, credit.grpo) for name in ("dr_po", "rlgf", "scaf_grpo")},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("table", [TABLE, FOREST], ids=["episodes", "forest"])
def test_recipe_is_its_credit_function(case: str, table: TurnTable) -> None:
    if case == "spo":
        table = TABLE  # returns of a success rate
    if case == "vineppo":
        table = VINE  # without continuations it knows no value
    options, function = CASES[case]
    ours = make_recipe({"name": case.split()[0], **options}).advantages(table)
    assert np.nanmax(np.abs(ours)) > 0
    np.testing.assert_array_equal(ours, function(table))


def test_every_recipe_is_checked() -> None:
    without_critic = {recipe.name for recipe in BUILTIN if not issubclass(recipe, CriticRecipe)}
    assert {case.split()[0] for case in CASES} == without_critic


@pytest.mark.parametrize("name", ["srgpo", "mt_grpo"])
def test_the_last_turns_reward_is_the_outcome_where_nobody_else_rewards_steps(name: str) -> None:
    mixed = dataclasses.replace(TABLE, step_reward_N=None)
    is_last = TABLE.left_N == 0
    split = dataclasses.replace(TABLE, reward_N=TABLE.reward_N * is_last, step_reward_N=TABLE.reward_N * ~is_last)
    ours, same = (make_recipe({"name": name}).advantages(table) for table in (mixed, split))
    np.testing.assert_array_equal(ours, same)
    assert not np.array_equal(ours, make_recipe({"name": name}).advantages(TABLE))


def test_transforms_of_branches_differ_from_their_base_on_a_forest() -> None:
    for name in ("tree_grpo", "treepo"):
        assert not np.allclose(make_recipe({"name": name}).advantages(FOREST), credit.grpo(FOREST))
    hard = make_recipe({"name": "arpo", "mode": "hard"}).advantages(FOREST)
    assert not np.allclose(hard, credit.grpo(FOREST))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "mdpo", "step_size": 2.0}, {"options": {"step_size": 1.0, "dialect": "paper"}}),
        ({"name": "mdpo", "anneal": False}, {"options": {"step_size": 1.0, "dialect": "paper"}}),
        (
            {"name": "hapo", "pivot": 0.7},
            {"options": {"redistribution": 1.0, "widening": 1.0}, "uncertainty_pivot": 0.7},
        ),
        ({"name": "thinkless"}, {"decision_coef": 1e-3, "kl_coef": 1e-3}),
        ({"name": "p3o", "joint": True}, {"group_loss": "p3o", "group_options": {"clip": 0.2, "joint": True}}),
        (
            {"name": "trpa"},
            {"group_options": {"threshold": 0.0, "beta": 0.1, "top": 2.5}, "options": {"old_kl": 0.001}},
        ),
        ({"name": "grpo"}, {"options": {}, "group_loss": None, "decision_coef": None, "uncertainty_pivot": None}),
    ],
    ids=lambda value: value.get("name", ""),
)
def test_options_reach_the_loss(options: dict[str, Any], expected: dict[str, Any]) -> None:
    loss = make_recipe(options).loss_at(0.5)
    assert {key: getattr(loss, key) for key in expected} == expected


def test_transforms_take_the_help_of_their_base() -> None:
    assert make_recipe({"name": "salt", "base": "dr_po"}).roll_in() == make_recipe({"name": "dr_po"}).roll_in()
    assert make_recipe({"name": "salt", "base": "scaf_grpo"}).hint_levels(0.2) == 4
    plain = make_recipe({"name": "salt"})
    assert plain.roll_in() is None and plain.hint_levels(1.0) == 0


# -- critics -----------------------------------------------------------------------------------------------------------


def test_critic_recipes_are_gae_with_their_discounts() -> None:
    rewards, values = np.array([0.0, 1.0, 0.0, 0.0, 2.0]), np.array([0.5, 0.2, 0.1, 0.4, 0.3])
    segments, ends = np.zeros(5, int), np.array([False, True, False, False, True])
    made = {name: make_recipe({"name": name}) for name in ("ppo", "turn_ppo", "poad")}
    assert all(isinstance(recipe, CriticRecipe) for recipe in made.values())
    expected = {
        "ppo": credit.gae(rewards, values, segments),
        "turn_ppo": credit.bilevel_gae(rewards, values, segments, ends),
        "poad": credit.gae(rewards, values, segments, discount=[1, 0.95, 1, 1, 0.95], lam=0.95),
    }
    for name, recipe in made.items():
        assert isinstance(recipe, CriticRecipe)
        np.testing.assert_array_equal(recipe.token_advantages(Tokens(rewards, values, segments, ends)), expected[name])
    monte_carlo = 3.0 - values - np.array([0, 0, 1, 1, 1])
    np.testing.assert_allclose(expected["ppo"][0], monte_carlo)


@pytest.mark.parametrize("name", ["ppo", "turn_ppo", "poad"])
def test_a_critics_recipe_does_not_make_turn_advantages_up(name: str) -> None:
    with pytest.raises(ConfigError, match="without a critic"):
        make_recipe({"name": name}).advantages(TABLE)


# -- transforms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "gipgo"}, "did you mean 'gigpo'"),
        ({"base": {"name": "gigpo", "gama": 0.5}}, "did you mean 'gamma'"),
        ({"base": 3}, "algorithm.base"),
        ({"history": 0}, "algorithm.history"),
    ],
)
def test_bad_base(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_recipe({"name": "salt", **options})


def test_a_transform_needs_what_its_base_needs() -> None:
    assert make_recipe({"name": "salt"}).required() == frozenset()
    nested = make_recipe({"name": "salt", "base": {"name": "empg", "base": "tree_grpo"}})
    assert nested.required() == {"entropy", "branches"}


# -- memory ------------------------------------------------------------------------------------------------------------


def test_spo_remembers_after_the_advantages() -> None:
    recipe, tracker = SPO(forget=0.9), credit.SuccessTracker(forget_min=0.9, forget_max=0.9)
    before = recipe.advantages(TABLE)
    np.testing.assert_array_equal(recipe.advantages(TABLE), before, "reading changes nothing")
    recipe.observe(TABLE)
    tracker.update_from(TABLE)
    np.testing.assert_array_equal(recipe.advantages(TABLE), credit.spo(TABLE, tracker=tracker))
    assert not np.array_equal(recipe.advantages(TABLE), before)


def test_spo_scales_returns_to_success_rates() -> None:
    tenfold = TABLE.with_reward(TABLE.reward_N * 10)
    plain, scaled = SPO(), SPO(max_return=10)
    for recipe, table in ((plain, TABLE), (scaled, tenfold)):
        recipe.observe(table)
    np.testing.assert_allclose(scaled.advantages(tenfold), plain.advantages(TABLE), rtol=1e-12)


@pytest.mark.parametrize("options", [{"name": "spo"}, {"name": "salt", "base": "spo"}])
def test_memory_is_saved_and_restored(options: dict[str, Any]) -> None:
    one, other = make_recipe(options), make_recipe(options)
    assert one.group_by() == "task"
    fresh = one.advantages(TABLE)
    one.observe(TABLE)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    np.testing.assert_array_equal(other.advantages(TABLE), one.advantages(TABLE))
    assert not np.array_equal(one.advantages(TABLE), fresh)


def test_others_remember_nothing() -> None:
    recipe = make_recipe({"name": "grpo"})
    before = recipe.advantages(TABLE)
    recipe.observe(TABLE)
    recipe.load_state_dict(recipe.state_dict())
    assert recipe.state_dict() == {} and recipe.group_by() == "group"
    np.testing.assert_array_equal(recipe.advantages(TABLE), before)


def test_a_transform_remembers_what_its_base_does() -> None:
    assert make_recipe({"name": "spo"}).remembers and make_recipe({"name": "salt", "base": "spo"}).remembers
    assert not make_recipe({"name": "salt", "base": "gigpo"}).remembers and not make_recipe({"name": "grpo"}).remembers
