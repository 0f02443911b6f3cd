"""The update of a loss over groups has the gradient of that loss, however the batch is cut."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agentrl import seeding
from agentrl.algorithms import DRPO, P3O, TRPA
from agentrl.algorithms.base import LossSettings
from agentrl.errors import ConfigError
from agentrl.losses import Members
from agentrl.losses.grouped import GROUPED
from agentrl.update import distributed
from agentrl.update.batch import Sample, spread
from agentrl.update.dealing import mini_batches
from agentrl.update.grouped import weigh_groups
from agentrl.update.settings import UpdateSettings
from agentrl.update.update import Updater
from tests.agentrl.engines.tiny import build
from tests.agentrl.update.samples import sequence, trajectory
from tests.agentrl.update.test_update import Recorder, assert_close, logprobs_by_hand

RETURNS = {"a": [1.0, 0.0, 2.0], "b": [0.0, 1.0], "c": [1.0, 1.0]}


@pytest.fixture(scope="module")
def model() -> Any:
    return build("qwen3").double()


@pytest.fixture(scope="module")
def reference() -> Any:
    return build("qwen3", num_kv_heads=1).double()


@pytest.fixture
def batch() -> list[Sample]:
    """Episodes of one to three turns in three groups; one of them as a sequence per turn."""
    played, earned = [], []
    for name, returns in RETURNS.items():
        for member, value in enumerate(returns):
            turns = [[-1, -1, 0, 0], [-1, -1, 0, 0, -1, 1], [-1, -1, 0, -1, 1, 1, -1, 2, 2]][member]
            parts = [sequence(turns, seed=len(played))]
            if name == "b" and member == 1:
                parts = [sequence([-1, 0, 0], seed=50), sequence([-1, -1, 1], seed=51)]
            episode = replace(trajectory(*parts, name=f"{name}/{member}"), group=name)
            played.append(episode)
            earned += [value] * len(episode.turns)
    return spread(played, np.array(earned))


def by_autograd(model: Any, reference: Any, batch: Sequence[Sample], loss: LossSettings) -> list[Tensor]:
    """Return the gradient of the loss, all episodes in one graph."""
    names = list(dict.fromkeys(sample.trajectory for sample in batch))
    groups = list(dict.fromkeys(sample.group for sample in batch))
    means: dict[str, list[Tensor]] = {"now": [], "old": [], "ref": []}
    tokens, returns, group = [], [], []
    for name in names:
        mine = [sample for sample in batch if sample.trajectory == name]
        scored = [np.isfinite(sample.advantages_L) for sample in mine]
        means["now"].append(torch.cat([logprobs_by_hand(model, sample)[0] for sample in mine]).mean())
        means["ref"].append(torch.cat([logprobs_by_hand(reference, sample)[0] for sample in mine]).mean().detach())
        old = np.concatenate([sample.old_logprobs_L[at] for sample, at in zip(mine, scored, strict=True)])
        means["old"].append(torch.as_tensor(old.astype(np.float64).mean()))
        tokens.append(float(sum(at.sum() for at in scored)))
        returns.append(float(mine[0].advantages_L[scored[0]][0]))
        group.append(groups.index(mine[0].group))
    now, old_I, ref = (torch.stack(column) for column in means.values())
    f64 = torch.float64
    members = Members(
        now, old_I, ref, torch.tensor(returns, dtype=f64), torch.tensor(tokens, dtype=f64), torch.tensor(group), 12
    )
    assert loss.group_loss is not None
    value = GROUPED[loss.group_loss](members, **loss.group_options)
    return list(torch.autograd.grad(value, list(model.parameters()), materialize_grads=True))


@pytest.mark.parametrize(
    "loss",
    [DRPO().loss_at(0), replace(TRPA().loss_at(0), options={}), P3O(clip=0.9).loss_at(0), P3O(joint=True).loss_at(0)],
    ids=["drpo", "trpa", "p3o", "p3o-joint"],
)
@pytest.mark.parametrize("budget", [10_000, 1])
def test_gradient(model: Any, reference: Any, batch: list[Sample], loss: LossSettings, budget: int) -> None:
    with torch.no_grad():  # near the policy, so that no clip hides a gradient
        near = []
        for sample in batch:
            old_L = np.zeros(len(sample), np.float32)
            at = np.isfinite(sample.advantages_L)
            old_L[at] = logprobs_by_hand(model, sample)[0].numpy() + 0.01
            near.append(replace(sample, old_logprobs_L=old_L))
    recorder = Recorder(model)
    config = UpdateSettings(minibatches=1, token_budget=budget)
    updater = Updater(model, reference, recorder, config, loss, most_tokens=12)
    updater.run(near, lr=0.1, rng=seeding.generator(0, "deal"))
    [ours] = recorder.gradients
    assert max(float(gradient.abs().max()) for gradient in ours) > 0
    assert_close(ours, by_autograd(model, reference, near, loss), tolerance=1e-5)  # first pass in float32


def test_minibatches_keep_groups_together(batch: list[Sample]) -> None:
    for seed in range(5):
        parts = mini_batches(batch, 2, seeding.generator(seed, "deal"), keep_groups=True)
        where = [{sample.group for sample in part} for part in parts]
        assert not where[0] & where[1] and where[0] | where[1] == set(RETURNS)
        assert sum(map(len, parts)) == len(batch)
    assert sum(map(len, mini_batches(batch, 9, seeding.generator(0, "deal"), keep_groups=True))) == len(batch)


def test_processes_share_groups(batch: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    loss = DRPO().loss_at(0)
    rows = [sample.old_logprobs_L - 0.1 for sample in batch]
    whole = weigh_groups(batch, rows, rows, loss, 12)
    shares = [slice(0, 2), slice(2, 2), slice(2, None)]
    sent: list[Any] = []
    monkeypatch.setattr(distributed, "gather", lambda own: sent.append(own) or [own])
    for share in shares:
        weigh_groups(batch[share], rows[share], rows[share], loss, 12)
    monkeypatch.setattr(distributed, "gather", lambda own: sent)
    ours = []
    for rank, share in enumerate(shares):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        ours += weigh_groups(batch[share], rows[share], rows[share], loss, 12)
    for one, other in zip(ours, whole, strict=True):
        np.testing.assert_allclose(one.advantages_L, other.advantages_L, rtol=1e-12)


def test_other_aggregations_are_refused() -> None:
    with pytest.raises(ConfigError, match="drpo is a loss over groups"):
        DRPO().loss_at(0).override({"aggregation": "sequence_mean"})
