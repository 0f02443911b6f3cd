"""The reference policy: a copy, or the average of two."""

from pathlib import Path
from typing import Any

import pytest
import torch

from agentrl.algorithms.base import make_recipe
from agentrl.errors import ConfigError, DataError
from agentrl.trainer.reference import begin_reference, mix_weights
from agentrl.trainer.setup import check_algorithm
from tests.agentrl.engines.tiny import build
from tests.agentrl.trainer.tiny import tiny_config


class NoTokenizer:
    """There is nothing to save."""

    def save_pretrained(self, folder: str) -> None:
        pass


@pytest.fixture
def two() -> tuple[Any, Any]:
    one, other = build("qwen3"), build("qwen3")
    with torch.no_grad():
        for weight in other.parameters():
            weight += torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    return one, other


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_average(two: tuple[Any, Any], share: float) -> None:
    one, other = two
    before = [weight.clone() for weight in one.parameters()]
    mix_weights(one, other, share)
    for mixed, own, others in zip(one.parameters(), before, other.parameters(), strict=True):
        torch.testing.assert_close(mixed, (1 - share) * own + share * others)


def test_a_reference_is_a_frozen_copy_and_comes_back(two: tuple[Any, Any], tmp_path: Path) -> None:
    model, _ = two
    reference = begin_reference(model, NoTokenizer(), tmp_path, save=False)
    assert not any(weight.requires_grad for weight in reference.parameters())
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    assert not next(model.parameters()).equal(next(reference.parameters()))
    assert all(weight.requires_grad for weight in model.parameters()) and not list(tmp_path.iterdir())


def test_other_architectures_are_refused(two: tuple[Any, Any]) -> None:
    with pytest.raises(DataError, match="is not the same in both policies"):
        mix_weights(two[0], build("qwen3", num_kv_heads=1), 0.5)


def test_salsa_needs_a_second_policy(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, algorithm={"name": "salsa"})
    with pytest.raises(ConfigError, match=r"salsa needs second_policy: give algorithm\.other"):
        check_algorithm(config)
    recipe = make_recipe({"name": "salsa", "other": "folder", "share": 0.25})
    assert recipe.soup() == ("folder", 0.25) and not recipe.required()
    assert make_recipe({"name": "grpo"}).soup() is None
