"""What tokens weigh in an update: the published numbers of methods that average otherwise than over tokens."""

import importlib
from typing import Any, get_args

import numpy as np
import pytest
import torch

from agentrl.algorithms.base import Aggregation, LossSettings, make_recipe
from agentrl.errors import ConfigError
from agentrl.update.batch import Sample, pack
from agentrl.update.objective import policy_term
from agentrl.update.weights import weigh_samples
from tests.agentrl.update.samples import sequence, spread, trajectory


def uneven() -> list[Sample]:
    """A success of one token and a failure of three, on policy."""
    played = [trajectory(sequence([-1, 0]), name="a"), trajectory(sequence([-1, 0, 0, 0]), name="b")]
    return spread(played, np.array([1.0, -1.0]))


def loss_of(options: dict[str, Any], samples: list[Sample]) -> float:
    loss = make_recipe(options).loss_at(0.0)
    batch = pack(weigh_samples(samples, loss, most_tokens=8))
    return float((policy_term(loss, batch.old_logprobs_A, batch).loss_L * batch.weight_A).sum())


@pytest.mark.parametrize(
    ("options", "published"),
    [
        ({"name": "loop"}, 0.0),  # the mean of -1 and of 1, 1, 1
        ({"name": "sapo"}, (-2.0 + 2.0 / 1.05) / 2),  # -0.048; over tokens it would be 0.929
        ({"name": "grpo", "dialect": "paper"}, 0.0),
        ({"name": "grpo"}, 0.5),  # verl, verl-agent
        ({"name": "dapo"}, 0.5),
        ({"name": "gspo"}, 0.0),
        ({"name": "dr_grpo"}, 2.0 / (2 * 8)),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_golden(options: dict[str, Any], published: float) -> None:
    assert loss_of(options, uneven()) == pytest.approx(published, abs=1e-7)


@pytest.mark.parametrize("mode", get_args(Aggregation))
def test_turns_as_samples(mode: Any) -> None:
    """An episode whose turns are samples of their own weighs as one that is one sample, but for sequences."""
    whole = [trajectory(sequence([-1, 0, -1, 1, 1]), name="a"), trajectory(sequence([-1, 0]), name="b")]
    cut = [trajectory(sequence([-1, 0]), sequence([-1, 1, 1]), name="a"), whole[1]]
    divisor = 10.0 if mode == "constant" else None
    loss = LossSettings(aggregation=mode, divisor=divisor)
    weights = [pack(weigh_samples(spread(played, np.ones(3)), loss, 8)).weight_A for played in (whole, cut)]
    assert torch.equal(*weights) == (mode != "sequence_mean")


def test_constant_of_async_web_rl() -> None:
    """1 / (G k) Σ over all tokens of G episodes, k = 10 turns."""
    samples = weigh_samples(uneven(), LossSettings(aggregation="constant", divisor=10.0), 8)
    assert [sample.weight for sample in samples] == pytest.approx([1 / 20, 1 / 20])


def test_a_divisor_without_use_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.divisor is 10, but loss\.aggregation is 'token_mean'"):
        make_recipe({"name": "grpo"}).loss_at(0).override({"divisor": 10.0})


def test_settings_and_losses_know_the_same_aggregations() -> None:
    aggregate = importlib.import_module("agentrl.losses.aggregate")  # the package has a function of that name
    assert get_args(aggregate.Aggregation) == get_args(Aggregation)
