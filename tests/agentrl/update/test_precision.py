"""Passes in bfloat16 over float32 weights: they move where bfloat16 weights stay, with nearly the same gradients."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agentrl import seeding
from agentrl.algorithms.base import LossSettings
from agentrl.trainer.config import WarmStartConfig
from agentrl.trainer.warm_start import WarmStart
from agentrl.update.batch import Sample
from agentrl.update.critic import Critic, TokenCredit
from agentrl.update.optimizer import Optimizer
from agentrl.update.settings import CriticSettings, Precision, UpdateSettings
from agentrl.update.update import Updater
from tests.agentrl.engines.tiny import build
from tests.agentrl.update.samples import samples, sequence, trajectory
from tests.agentrl.update.test_update import Recorder

LOSS = LossSettings(dual_clip=None, kl_coef=0.1, entropy_coef=0.01)


@pytest.fixture(scope="module")
def model() -> Any:
    return build("qwen3")


@pytest.fixture
def batch() -> list[Sample]:
    return samples([1.0, -0.5, 2.0], [0.25], [-1.5], [0.7, 0.1, -0.2, 0.4])


def gradient(model: Any, batch: list[Sample], dtype: Precision, merge: str) -> tuple[list[Tensor], dict[str, float]]:
    recorder = Recorder(model)
    settings = UpdateSettings(minibatches=1, dtype=dtype, merge_prefixes=merge)  # type: ignore[arg-type]
    metrics = Updater(model, copy.deepcopy(model), recorder, settings, LOSS).run(
        batch, lr=0.1, rng=seeding.generator(0, "deal")
    )
    return recorder.gradients[0], metrics


@pytest.mark.parametrize("merge", ["never", "always"])
def test_gradients_are_float32_and_those_of_float32_up_to_rounding(model: Any, batch: list[Sample], merge: str) -> None:
    begun_alike = [replace(sample, sequence=batch[0].sequence) for sample in (batch[0], batch[0])]
    for some in (batch, begun_alike):
        exact, metrics = gradient(model, some, "float32", merge)
        rounded, same_metrics = gradient(model, some, "bfloat16", merge)
        one, other = (torch.cat([part.flatten() for part in parts]) for parts in (exact, rounded))
        assert one.dtype == other.dtype == torch.float32
        assert 1e-5 < float((one - other).norm() / one.norm()) < 0.1
        assert same_metrics["ref_kl"] == 0, "the reference is computed alike"
        assert same_metrics["entropy"] == pytest.approx(metrics["entropy"], abs=0.02)


def share_moved(before: list[Tensor], model: Any) -> float:
    after = [parameter.detach() for parameter in model.parameters()]
    moved = sum(int((one != other).sum()) for one, other in zip(before, after, strict=True))
    return moved / sum(one.numel() for one in before)


def test_small_steps_move_float32_weights_where_bfloat16_ones_stay(batch: list[Sample]) -> None:
    """A step of lr 1e-6 is less than half the distance of neighbours in bfloat16 for weights beyond 2.6e-4."""
    shares = []
    for model, dtype in ((build("qwen3"), "bfloat16"), (build("qwen3").bfloat16(), "float32")):
        before = [parameter.detach().clone() for parameter in model.parameters()]
        settings = UpdateSettings(minibatches=1, dtype=dtype)  # type: ignore[arg-type]
        updater = Updater(model, None, Optimizer(model), settings, replace(LOSS, kl_coef=0.0))
        updater.run(batch, lr=1e-6, rng=seeding.generator(0, "deal"))
        shares.append(share_moved(before, model))
    has_gradient = 0.5  # of the embeddings only those of tokens that occur
    assert shares[0] > has_gradient and shares[1] < 0.02


def test_the_critic_learns_in_float32() -> None:
    critic = Critic.of(build("qwen3"), CriticSettings(lr=1e-2), UpdateSettings(dtype="bfloat16"))
    played = [trajectory(sequence([-1, -1, 0, 0, -1, 1], seed=seed), name=f"t{seed}") for seed in range(4)]
    credit = TokenCredit(np.zeros(12), np.zeros(12), np.full(12, 0.998))
    for _ in range(40):
        critic.fit(played, credit, rng=seeding.generator(0, "critic"))
    assert {parameter.dtype for parameter in critic.model.parameters()} == {torch.float32}
    values_A = critic.evaluate(played)
    assert values_A == pytest.approx(np.full(12, 0.998), abs=0.1) and len(set(np.float32(values_A))) > 1


def test_the_warm_start_learns_in_float32() -> None:
    model = build("qwen3")
    config = WarmStartConfig(steps=30, lr=1e-2, warmup_steps=0)
    stage = WarmStart(config, model, Optimizer(model), seed=0, dtype="bfloat16")
    losses: list[float] = []
    played = [trajectory(sequence([-1, -1, 0, 0, -1, 1], seed=seed), name=f"t{seed}") for seed in range(4)]
    stage.run(played, on_step=lambda step, metrics: losses.append(metrics["loss"]) is None)
    assert losses[-1] < 0.1 * losses[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
