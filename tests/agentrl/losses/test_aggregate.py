import pytest
import torch
from tokens import random_tokens
from torch.testing import assert_close

from agentrl.errors import ConfigError
from agentrl.losses import aggregate, decision_weights, token_weights

LOSS = torch.tensor([1.0, 2.0, 3.0, 4.0, torch.nan, 6.0])
MASK = torch.tensor([True, True, True, True, False, True])
SEQUENCE = torch.tensor([0, 0, 0, 1, 1, 2])
EPISODE = torch.tensor([0, 0, 0, 0, 1, 2])
GROUP = torch.tensor([0, 0, 0, 0, 0, 1])


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, 16 / 5),
        ({"denominator": 10}, 1.6),
        ({"mode": "sequence_mean", "sequence_index": SEQUENCE}, (2 + 4 + 6) / 3),
        ({"mode": "sequence_mean", "sequence_index": SEQUENCE, "denominator": 6}, (2 + 4 + 6) / 6),
        ({"mode": "episode_mean", "episode_index": EPISODE}, (10 / 4 + 6) / 2),
        ({"mode": "group_mean", "group_index": GROUP}, (10 / 4 + 6) / 2),
        ({"mode": "constant", "denominator": 8}, 2.0),
    ],
)
def test_golden(options, value):
    assert aggregate(LOSS, MASK, **options).item() == pytest.approx(value)


@pytest.mark.parametrize("mode", ["token_mean", "sequence_mean", "group_mean", "constant"])
@pytest.mark.parametrize("seed", range(5))
def test_the_cut_into_micro_batches_does_not_matter(mode, seed):
    batch = random_tokens(seed)
    loss = batch.advantages
    denominator = 100.0 if mode == "constant" else None
    weights = token_weights(
        batch.mask, mode=mode, denominator=denominator, sequence_index=batch.sequence, group_index=batch.group,
        dtype=loss.dtype,
    )  # fmt: skip
    whole = aggregate(
        loss, batch.mask, mode=mode, denominator=denominator, sequence_index=batch.sequence, group_index=batch.group
    )
    cuts = torch.tensor_split(torch.arange(24), [5, 5, 17])
    assert_close(sum((loss[cut] * weights[cut]).sum() for cut in cuts), whole)


@pytest.mark.parametrize(("mode", "count"), [("token_mean", "tokens"), ("sequence_mean", "sequences")])
def test_a_global_denominator_adds_up_over_whole_sequences(mode, count):
    batch = random_tokens(7)
    total = {"tokens": int(batch.mask.sum()), "sequences": len(batch.sequence[batch.mask].unique())}[count]
    parts = torch.tensor_split(torch.arange(24), [6, 18])
    summed = sum(
        aggregate(
            batch.advantages[part], batch.mask[part], mode=mode, denominator=total, sequence_index=batch.sequence[part]
        )
        for part in parts
    )
    assert_close(summed, aggregate(batch.advantages, batch.mask, mode=mode, sequence_index=batch.sequence))


@pytest.mark.parametrize("mode", ["token_mean", "sequence_mean", "group_mean"])
def test_a_constant_loss_keeps_its_value(mode):
    batch = random_tokens(1)
    weights = token_weights(batch.mask, mode=mode, sequence_index=batch.sequence, group_index=batch.group)
    assert weights.sum().item() == pytest.approx(1.0)
    assert (weights[~batch.mask] == 0).all()


@pytest.mark.parametrize("mode", ["token_mean", "sequence_mean", "group_mean"])
@pytest.mark.parametrize("length", [0, 24])
def test_no_token_gives_zero_that_touches_the_parameters(mode, length):
    batch = random_tokens(2, length=length)
    loss = aggregate(
        batch.logprobs, torch.zeros_like(batch.mask), mode=mode, sequence_index=batch.sequence, group_index=batch.group
    )
    loss.backward()
    assert loss.item() == 0.0
    assert (batch.logprobs.grad == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tokenmean"}, "did you mean 'token_mean'"),
        ({"mode": "sequence_mean"}, "needs sequence_index"),
        ({"mode": "group_mean"}, "needs group_index"),
        ({"mode": "constant"}, "needs denominator"),
        ({"denominator": 0}, "denominator is 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        aggregate(LOSS, MASK, **options)


def test_golden_decision_weights():
    decides = torch.tensor([True, False, False, True, True, False])
    # decisions 1 and 4 (the fifth is masked out), the rest 2, 3, 6
    weights = decision_weights(MASK, decides, coefficient=0.1)
    assert torch.nan_to_num(LOSS) @ weights == pytest.approx(0.1 * 5 / 2 + 11 / 3)


def test_decision_weights_add_up_over_parts():
    batch = random_tokens(3)
    decides = torch.arange(24) % 6 == 0
    counts = {"num_decisions": int((batch.mask & decides).sum()), "num_others": int((batch.mask & ~decides).sum())}
    parts = [
        decision_weights(batch.mask[cut], decides[cut], **counts) for cut in torch.arange(24).tensor_split([5, 11])
    ]
    assert_close(torch.cat(parts), decision_weights(batch.mask, decides))
    assert not decision_weights(torch.zeros_like(batch.mask), decides).any()
