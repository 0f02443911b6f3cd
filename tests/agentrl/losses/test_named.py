"""Losses by name."""

from typing import get_args, get_type_hints

import torch

from agentrl import losses
from agentrl.algorithms.base import LossSettings
from agentrl.losses.named import columns_of


def test_every_name_of_the_settings_is_a_loss_and_the_other_way_round() -> None:
    assert set(get_args(get_type_hints(LossSettings)["kind"])) == losses.NAMED.keys()


def test_each_pulls_towards_good_tokens_on_policy() -> None:
    for name, function in losses.NAMED.items():
        logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
        given = {"sequence_index": torch.arange(2), "generator": torch.Generator()}
        columns = {key: value for key, value in given.items() if key in columns_of(name)}
        loss_L, _ = function(logprobs, logprobs.detach(), torch.tensor([1.0, -1.0]), **columns)
        loss_L.sum().backward()
        assert logprobs.grad is not None
        assert logprobs.grad[0] < 0 < logprobs.grad[1], name
