"""The supervised warm start: it learns, and any step depends on the seed and its number alone."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.context import make_context
from agentrl.errors import DataError
from agentrl.rollout import demonstrate
from agentrl.trainer.config import WarmStartConfig
from agentrl.trainer.warm_start import WarmStart, accuracy, imitation_samples
from agentrl.types import Trajectory
from agentrl.update.optimizer import Optimizer
from tests.agentrl.engines.tiny import build
from tests.agentrl.rollout.toys import Corridor, byte_tokenizer

CONFIG = WarmStartConfig(steps=30, batch_tokens=400, lr=1e-2, warmup_steps=3)


@pytest.fixture(scope="module")
def demonstrations() -> list[Trajectory]:
    context = make_context(byte_tokenizer(), system="")
    tasks = [f"corridor-{n}" for n in (2, 3)] * 6
    return demonstrate(Corridor, tasks, context, seed=0).trajectories


@pytest.fixture(scope="module")
def untrained() -> Any:
    model = build("qwen3", max_positions=512)
    model.resize_token_embeddings(len(byte_tokenizer()), mean_resizing=False)
    return model


def test_actions_are_scored_and_nothing_else(demonstrations: list[Trajectory]) -> None:
    for sample in imitation_samples(demonstrations):
        np.testing.assert_array_equal(np.isfinite(sample.advantages_L), sample.sequence.action_mask_L)
        assert set(sample.advantages_L[sample.sequence.action_mask_L]) == {1.0}


def test_accuracy_rises(untrained: Any, demonstrations: list[Trajectory]) -> None:
    model = copy.deepcopy(untrained)
    samples = imitation_samples(demonstrations)
    before = accuracy(model, samples, 400)
    seen: list[dict[str, float]] = []

    def on_step(step: int, metrics: dict[str, float]) -> bool:
        seen.append(metrics)
        return True

    assert WarmStart(CONFIG, model, Optimizer(model), seed=0).run(demonstrations, on_step=on_step) == 30
    assert before < 0.1
    assert accuracy(model, samples, 400) > 0.6
    assert seen[-1]["loss"] < 0.5 * seen[0]["loss"]
    assert [round(metrics["lr"], 6) for metrics in seen[:3]] == [0.003333, 0.006667, 0.01]


def test_accuracy_is_that_of_the_models_own_logits(untrained: Any, demonstrations: list[Trajectory]) -> None:
    samples = imitation_samples(demonstrations[:3])
    right = tokens = 0
    for sample in samples:
        ids_L = torch.as_tensor(sample.sequence.ids_L, dtype=torch.int64)
        with torch.no_grad():
            guesses = untrained(input_ids=ids_L[None]).logits[0].argmax(-1)
        at = np.flatnonzero(sample.sequence.action_mask_L)
        right, tokens = right + int((guesses[at - 1] == ids_L[at]).sum()), tokens + len(at)
    assert accuracy(untrained, samples, 150) == pytest.approx(right / tokens)


def run(model: Any, demonstrations: list[Trajectory], stops: list[int], **changes: Any) -> tuple[Any, list[Any]]:
    """Train with a stop after each of ``stops``, resuming in between; return the model and what was seen."""
    model = copy.deepcopy(model)
    optimizer = Optimizer(model)
    seen: list[Any] = []
    done = 0

    def until(stop: int) -> Callable[[int, dict[str, float]], bool]:
        def on_step(step: int, metrics: dict[str, float]) -> bool:
            seen.append((step, metrics))
            return step != stop

        return on_step

    config = CONFIG.model_copy(update=changes)
    for stop in [*stops, -1]:
        stage = WarmStart(config, model, optimizer, seed=3)
        done = stage.run(demonstrations, first_step=done, on_step=until(stop))
    return model, seen


def test_resumption_at_any_step_is_the_same(untrained: Any, demonstrations: list[Trajectory]) -> None:
    whole, seen = run(untrained, demonstrations, [], steps=12)
    parts, seen_in_parts = run(untrained, demonstrations, [1, 5, 12], steps=12)
    assert [step for step, _ in seen] == list(range(1, 13))
    assert seen == seen_in_parts
    assert all(a.equal(b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_the_target_ends_the_stage_for_good(untrained: Any, demonstrations: list[Trajectory]) -> None:
    _, seen = run(untrained, demonstrations, [25], target_accuracy=0.05)
    assert [step for step, _ in seen] == list(range(1, 26))
    assert "held_out_accuracy" in seen[-1][1] and not any("held_out_accuracy" in m for _, m in seen[:-1])
    _, seen = run(untrained, demonstrations, [], target_accuracy=1.0, steps=5)
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5] and "held_out_accuracy" in seen[-1][1]


def test_a_single_demonstration_is_enough_and_none_is_an_error(
    untrained: Any, demonstrations: list[Trajectory]
) -> None:
    _, seen = run(untrained, demonstrations[:1], [], steps=2)
    assert len(seen) == 2
    with pytest.raises(DataError, match="no demonstration to imitate"):
        run(untrained, [], [])
