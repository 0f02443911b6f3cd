"""No setting is without effect: each key of the loss, each option of each loss and transform changes a number."""

from typing import Any

import numpy as np
import pytest

from agentrl.algorithms import BUILTIN
from agentrl.algorithms.transform import Transform
from agentrl.errors import ConfigError
from agentrl.losses.named import NAMED, SHARED, defaults_of
from agentrl.trainer.config import LossConfig
from tests.agentrl.trainer.checks.composition.product import Choice, Outcomes, composed, run

RECOMPUTE = {"old_logprobs": "recompute"}
Keys = dict[str, Any]

# key -> (what it is seen beside, a value that differs from the algorithm's); the algorithm is GRPO but where named
KEYS: dict[str, tuple[Keys, Any]] = {
    "kind": ({}, "sapo"),
    "options": ({"kind": "sapo"}, {"temperature_positive": 2.0}),
    "ratio_level": ({}, "sequence"),
    "aggregation": ({}, "sequence_mean"),
    "divisor": ({"aggregation": "constant"}, 10.0),
    "clip_low": ({}, None),
    "clip_high": ({}, None),
    "dual_clip": ({}, 1.01),
    "detached": ({}, True),
    "keep_high_gradient": ({}, True),
    "kl_coef": ({}, 0.5),
    "kl_kind": ({"kl_coef": 0.5}, "k2"),
    "entropy_coef": ({}, 0.5),
    "entropy_advantage": ({}, 0.5),
    "token_share": ({}, 0.5),
    "decision_coef": ({}, 0.5),
    "uncertainty_pivot": ({"kind": "hapo"}, 0.3),
    "group_loss": ({"algorithm": "drpo"}, "p3o"),
    "group_options": ({"algorithm": "drpo"}, {"temperature": 0.1}),
    "correction": ({"update": RECOMPUTE}, "tis"),
    "correction_low": ({"update": RECOMPUTE, "correction": "icepop"}, 0.95),
    "correction_high": ({"update": RECOMPUTE, "correction": "icepop"}, 1.05),
    "opsm": ({}, 1e-4),
    "m2po": ({}, 1e-3),
}

# kind -> option -> (beside it, another value)
OPTIONS: dict[str, dict[str, tuple[Keys, Any]]] = {
    "sapo": {"temperature_positive": ({}, 2.0), "temperature_negative": ({}, 2.0)},
    "clip_cov": {
        "share": ({"low": -9.0}, 0.5),
        "low": ({"share": 0.9}, -9.0),
        "high": ({"share": 0.9, "low": -9.0}, 0.0),
    },
    "kl_cov": {"share": ({}, 0.5), "coefficient": ({}, 2.0)},
    "rec": {
        "keep": ({}, "all"),
        "weighting": ({}, "ratio"),
        "regulariser": ({}, "k2"),
        "coefficient": ({"regulariser": "k2"}, 1.0),
        "ring_low": ({"keep": "ring"}, 0.3),
        "ring_high": ({"keep": "ring"}, 0.3),
        "temperature": ({"weighting": "exp_advantage"}, 2.0),
    },
    "opmd": {"coefficient": ({}, 1.0)},
    "asym_re": {"shift": ({}, 1.0)},
    "mdpo": {"step_size": ({}, 0.5), "dialect": ({}, "authors")},
    "hapo": {"redistribution": ({}, 0.1), "widening": ({}, 0.0)},
    "likelihood": {"old_kl": ({}, 0.5)},
}

OTHERS: Keys = {
    "ratio_level": "turn",
    "clip_low": 0.05,
    "clip_high": 0.05,
    "dual_clip": 1.01,
    "detached": True,
    "keep_high_gradient": True,
}

TRANSFORMS: dict[str, dict[str, Any]] = {
    "salt": {"history": 1},
    "empg": {"sharpness": 3.0, "future_sharpness": 3.0, "bonus": 0.5},
    "d3s": {"keep": 0.25},
    "unlikeliness": {"beta": 0.9},
    "arpo": {"mode": "hard"},
}


def outcome(keys: Keys, *, drift: float = 0.3) -> Outcomes:
    keys = dict(keys)
    algorithm, update = {"name": keys.pop("algorithm", "grpo")}, keys.pop("update", {})
    return run(composed(Choice(algorithm, "independent", None, "none"), loss=keys, update=update), drift=drift)


def differ(one: Outcomes, other: Outcomes) -> bool:
    if one.gradient_A.shape != other.gradient_A.shape:
        return True
    return not np.allclose(one.gradient_A, other.gradient_A, atol=1e-9) or abs(one.loss - other.loss) > 1e-9


def test_the_tables_are_whole() -> None:
    assert KEYS.keys() == LossConfig.model_fields.keys()
    assert {kind: {*options} for kind, options in OPTIONS.items()} == {
        kind: own for kind in NAMED if (own := {*defaults_of(kind)} - {*SHARED})
    }
    transforms = {kind.name: {*kind.model_fields} - {"base"} for kind in BUILTIN if issubclass(kind, Transform)}
    assert {name: {*options} for name, options in TRANSFORMS.items()} == transforms


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_loss_changes_a_number(key: str) -> None:
    beside, value = KEYS[key]
    assert differ(outcome(beside), outcome({**beside, key: value}))


@pytest.mark.parametrize("kind", NAMED)
def test_every_loss_takes_the_settings_that_it_has_and_refuses_the_others(kind: str) -> None:
    for name in SHARED:
        keys = {"kind": kind, name: OTHERS[name]}
        if name not in defaults_of(kind):
            with pytest.raises(ConfigError, match=rf"loss\.{name} is given, but loss {kind} has no such setting"):
                outcome(keys)
        else:
            drift = 1.0 if name == "dual_clip" else 0.3
            assert differ(outcome({"kind": kind}, drift=drift), outcome(keys, drift=drift)), name


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, options in OPTIONS.items() for name in options])
def test_every_option_of_every_loss_changes_a_number(kind: str, name: str) -> None:
    beside, value = OPTIONS[kind][name]
    before = outcome({"kind": kind, "options": beside})
    assert differ(before, outcome({"kind": kind, "options": {**beside, name: value}}))


@pytest.mark.parametrize(("name", "option"), [(name, option) for name, own in TRANSFORMS.items() for option in own])
def test_every_option_of_every_transform_changes_a_number(name: str, option: str) -> None:
    sampler = "arpo" if name == "arpo" else "independent"
    usual, other = (
        run(composed(Choice({"name": name, **options}, sampler, None, None)))
        for options in ({}, {option: TRANSFORMS[name][option]})
    )
    assert differ(usual, other)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_keeps_its_bases_loss_filter_and_refills(name: str) -> None:
    sampler = "arpo" if name == "arpo" else "independent"
    made = composed(Choice({"name": name, "base": "dapo"}, sampler, None, None))
    assert (made.filter, made.refills, made.loss.clip_high, made.loss.dual_clip) == ("dynamic_sampling", 9, 0.28, 10.0)
    base = composed(Choice({"name": "gigpo"}, sampler, None, None)).loss
    made = composed(Choice({"name": name, "base": "gigpo"}, sampler, None, None))
    assert made.loss == base.override(made.recipe.loss_changes)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"algorithm": "drpo", "clip_low": 0.1}, "loss likelihood has no such setting"),
        ({"algorithm": "gigpo", "group_loss": "p3o"}, "whose pull on log-probs only likelihood passes on"),
        ({"kind": "likelihood", "group_loss": "p3o"}, "advantages of algorithm grpo are not returns"),
        ({"algorithm": "drpo", "token_share": 0.5}, "weighs single tokens"),
        ({"kind": "rec", "clip_low": None}, "loss rec cannot do without it"),
        ({"kind": "sapo", "options": {"temperature_positve": 1.0}}, "did you mean 'temperature_positive'"),
        ({"kind": "mdpo", "options": {"step_size": 0.0}}, "step_size is 0.0"),
        ({"kind": "kl_cov", "options": {"share": "many"}}, "cannot be used"),
        ({"options": {"clip_low": 0.1}}, "set loss.clip_low"),
        ({"kl_kind": "k1"}, "loss.kl_coef is 0"),
        ({"detached": True, "dual_clip": 3.0}, "loss.detached does without it"),
        ({"keep_high_gradient": True, "clip_high": None}, "loss.clip_high is null"),
        ({"correction": "tis"}, "update.old_logprobs is behavior"),
        ({"correction_low": 0.1}, "loss.correction is null"),
        ({"correction": "tis", "correction_low": 3.0, "update": RECOMPUTE}, "nothing is between"),
        ({"kind": "rec", "options": {"ring_low": 0.1}}, "keep is not ring"),
        ({"divisor": 3.0}, "only constant has one"),
        ({"decision_coef": 0.1, "aggregation": "sequence_mean"}, "averages decisions and other tokens apart"),
    ],
)
def test_what_would_have_no_effect_or_cannot_be_is_refused(keys: Keys, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        outcome(keys)


def test_an_option_of_the_algorithm_that_its_loss_no_longer_has_is_refused() -> None:
    choice = Choice({"name": "mdpo", "step_size": 2.0}, "independent", "ppo", None)
    with pytest.raises(ConfigError, match=r"algorithm\.step_size shapes the loss of mdpo"):
        composed(choice)
    assert composed(choice._replace(algorithm={"name": "mdpo"})).loss.kind == "ppo"


def test_null_is_none_where_a_bound_can_be_absent_and_what_is_not_given_is_the_algorithms() -> None:
    loss = composed(Choice({"name": "dapo"}, "independent", None, None), loss={"clip_low": None, "kl_coef": None}).loss
    assert (loss.clip_low, loss.clip_high, loss.kl_coef) == (None, 0.28, 0.0)
    given = LossConfig(clip_low=None, clip_high=0.3)
    assert given.model_dump() == {"clip_low": None, "clip_high": 0.3}
    assert LossConfig(**given.model_dump()).changes() == given.changes()


@pytest.mark.parametrize(("history", "window", "fits"), [(2, 2, True), (2, 3, False), (1, 2, False), (3, 3, True)])
def test_hgpo_compares_what_the_window_shows(history: int, window: int, fits: bool) -> None:
    choice = Choice({"name": "salt", "base": {"name": "hgpo", "history": history}}, "independent", None, None)
    context = {"kind": "window", "window": window}
    if fits:
        composed(choice, context=context)
    else:
        with pytest.raises(ConfigError, match=r"context\.window to the same number"):
            composed(choice, context=context)
    composed(choice, context={"kind": "append"})
