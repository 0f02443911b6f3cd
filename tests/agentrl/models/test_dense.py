"""Attention with windows, soft caps and sinks, by hand and against brute force."""

import math

import pytest
import torch

from agentrl.errors import ModelError
from agentrl.models.dense import Extras, dense_attention


def one_head(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[None, None, :, None]


def test_a_sink_by_hand() -> None:
    # scores 0 and log 3, the sink log 4: weights 1/8 and 3/8, the rest goes nowhere
    key, value = one_head(0.0, math.log(3)), one_head(1.0, 2.0)
    extras = Extras(sinks_H=torch.tensor([math.log(4)], dtype=torch.float64))
    visible = torch.ones(1, 1, 1, 2, dtype=torch.bool)
    out = dense_attention(one_head(1.0), key, value, visible, 1.0, extras)
    assert out.item() == pytest.approx(1 / 8 + 6 / 8)


def test_a_soft_cap_by_hand() -> None:
    # 2 tanh(x / 2) = log 3 at x = 2 atanh(log 3 / 2)
    key = one_head(0.0, 2 * math.atanh(math.log(3) / 2))
    visible = torch.ones(1, 1, 1, 2, dtype=torch.bool)
    out = dense_attention(one_head(1.0), key, one_head(0.0, 1.0), visible, 1.0, Extras(softcap=2.0))
    assert out.item() == pytest.approx(0.75)


def test_what_is_not_visible_has_no_weight() -> None:
    visible = torch.tensor([[[[True, False]]]])
    for extras in (Extras(), Extras(softcap=5.0)):
        out = dense_attention(one_head(1.0), one_head(0.0, 9.0), one_head(1.0, 2.0), visible, 1.0, extras)
        assert out.item() == 1.0


def test_extras_are_read_from_the_arguments() -> None:
    assert Extras.of({"scaling": 0.5, "softcap": None}) == Extras()
    assert Extras.of({"sliding_window": 4, "softcap": 2.0}) == Extras(4, 2.0)
    assert not Extras(window=8).needed(8)
    assert Extras(window=8).needed(9) and Extras(softcap=1.0).needed(1)
    with pytest.raises(ModelError, match="uses position_bias"):
        Extras.of({"position_bias": torch.zeros(1)})
