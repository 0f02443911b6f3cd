"""The critic's loss by hand, and what its clip does to the gradient."""

import pytest
import torch

from agentrl.losses import value_loss


def test_without_a_clip_it_is_half_the_squared_distance() -> None:
    values, targets, old = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([0.0, 0.5, 1.0]), torch.zeros(3)
    assert value_loss(values, targets, old).tolist() == [0.5, 0.125, 4.5]
    assert value_loss(values, targets, old, clip=10.0).tolist() == [0.5, 0.125, 4.5]


@pytest.mark.parametrize(
    ("value", "loss", "gradient"),
    [
        (0.1, 0.405, -0.9),  # inside the clip
        (0.5, 0.32, 0.0),  # beyond it and nearer to the target: nothing more is gained
        (-0.5, 1.125, -1.5),  # beyond it on the wrong side: pulled back in full
    ],
)
def test_a_value_gains_nothing_beyond_the_clip(value: float, loss: float, gradient: float) -> None:
    values = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    found = value_loss(values, one, zero, clip=0.2)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert [found.item(), values.grad.item()] == pytest.approx([loss, gradient])
