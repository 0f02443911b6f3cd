"""The policy update: gradients by hand, and independence of how a batch is cut."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agentrl import losses, seeding
from agentrl.algorithms import AEPO, CISPO, GSPO, LOOP, REC, SAPO
from agentrl.algorithms.base import LossSettings
from agentrl.errors import DivergedError, MismatchError
from agentrl.update import head_loss
from agentrl.update.batch import Sample, pack
from agentrl.update.objective import policy_term
from agentrl.update.optimizer import Optimizer
from agentrl.update.settings import UpdateSettings
from agentrl.update.update import MISMATCH, Updater, score
from tests.agentrl.engines.tiny import build
from tests.agentrl.update.samples import NAN, samples

PLAIN = LossSettings(dual_clip=None)


class Recorder(Optimizer):
    """Keeps the gradients and leaves the weights."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.gradients: list[list[Tensor]] = []

    def step(self, lr: float) -> float:
        self.gradients.append([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.parameters])
        for parameter in self.parameters:
            parameter.grad = None
        return 1.0


@pytest.fixture(scope="module")
def model() -> Any:
    return build("qwen3").double()


@pytest.fixture
def batch() -> list[Sample]:
    return samples([1.0, -0.5, 2.0], [NAN, 0.25], [-1.5], [0.7, 0.1, -0.2, 0.4])


def update(
    model: Any,
    batch: Sequence[Sample],
    loss: LossSettings = PLAIN,
    reference: Any = None,
    **config: Any,
) -> tuple[list[list[Tensor]], dict[str, float]]:
    """Return the gradients of the updates and the metrics."""
    recorder = Recorder(model)
    settings = UpdateSettings(**({"minibatches": 1} | config))
    metrics = Updater(model, reference, recorder, settings, loss).run(batch, lr=0.1, rng=seeding.generator(0, "deal"))
    return recorder.gradients, metrics


def logprobs_by_hand(model: Any, sample: Sample, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return log-prob and entropy at each scored token from the model's own full logits."""
    ids_L = torch.as_tensor(sample.sequence.ids_L, dtype=torch.int64)
    logp_LV = torch.log_softmax(model(input_ids=ids_L[None]).logits[0] / temperature, dim=-1)
    at = np.flatnonzero(np.isfinite(sample.advantages_L))
    return logp_LV[at - 1, ids_L[at]], -(logp_LV.exp() * logp_LV).sum(-1)[at - 1]


def on_policy(model: Any, batch: Sequence[Sample]) -> list[Sample]:
    """Return the samples as if the model had sampled them."""
    result = []
    for sample in batch:
        old_L = np.zeros(len(sample), np.float32)
        with torch.no_grad():
            old_L[np.isfinite(sample.advantages_L)] = logprobs_by_hand(model, sample)[0].numpy()
        result.append(replace(sample, old_logprobs_L=old_L))
    return result


def assert_close(ones: Sequence[Tensor], others: Sequence[Tensor], tolerance: float = 1e-9) -> None:
    size = max(float(other.abs().max()) for other in others)
    for one, other in zip(ones, others, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_score(model: Any, batch: list[Sample], temperature: float) -> None:
    with torch.no_grad():
        logprobs_A, entropies_A = score(model, pack(batch), temperature)
        by_hand = [logprobs_by_hand(model, sample, temperature) for sample in batch]
    torch.testing.assert_close(logprobs_A, torch.cat([logprobs for logprobs, _ in by_hand]))
    torch.testing.assert_close(entropies_A, torch.cat([entropies for _, entropies in by_hand]))


@pytest.mark.parametrize(
    "loss",
    [
        PLAIN,
        LossSettings(ratio_level="turn"),
        LossSettings(ratio_level="sequence", aggregation="sequence_mean"),
        LossSettings(kind="sapo", aggregation="constant"),
        LossSettings(entropy_advantage=0.2, keep_high_gradient=True, token_share=0.5),
        LossSettings(clip_low=None, detached=True, dual_clip=None),
    ],
)
@pytest.mark.parametrize("old_logprobs", ["behavior", "recompute"])
def test_the_cut_into_micro_batches_does_not_matter(
    model: Any, batch: list[Sample], loss: LossSettings, old_logprobs: str
) -> None:
    loss = replace(loss, kl_coef=0.1, entropy_coef=0.01)
    reference = build("qwen3", num_kv_heads=1).double()
    results = [
        update(model, batch, loss, reference, token_budget=budget, old_logprobs=old_logprobs)
        for budget in (10_000, 20, 1)
    ]
    [whole], numbers = results[0]
    for [cut], same_numbers in results[1:]:
        assert_close(cut, whole)
        assert same_numbers == pytest.approx(numbers)


@pytest.mark.parametrize("merge", ["never", "always"])
@pytest.mark.parametrize("level", ["token", "turn", "sequence"])
def test_the_cut_into_chunks_of_the_head_does_not_matter(
    model: Any, batch: list[Sample], level: Any, merge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token by token the loss is formed chunk by chunk, otherwise after a first pass; some score the same tokens."""
    loss = LossSettings(ratio_level=level, aggregation="sequence_mean", kl_coef=0.1, entropy_coef=0.2)
    batch = [*batch, replace(batch[0], advantages_L=-0.3 * batch[0].advantages_L)]
    reference = build("qwen3", num_kv_heads=1).double()
    [whole], numbers = update(model, batch, loss, reference, merge_prefixes=merge)
    for chunk in (1, 3):
        monkeypatch.setattr(head_loss, "chunk_of", lambda head, chunk=chunk: chunk)
        [cut], same_numbers = update(model, batch, loss, reference, merge_prefixes=merge)
        assert_close(cut, whole)
        assert same_numbers == pytest.approx(numbers)


def test_on_policy_gradient_is_that_of_advantage_times_log_probability(model: Any, batch: list[Sample]) -> None:
    loss = torch.zeros((), dtype=torch.float64)
    for sample in batch:
        advantages_A = torch.as_tensor(sample.advantages_L[np.isfinite(sample.advantages_L)])
        loss = loss - (advantages_A.float() * logprobs_by_hand(model, sample)[0]).sum()
    tokens = sum(sample.num_scored for sample in batch)
    expected = torch.autograd.grad(loss / tokens, list(model.parameters()))
    [gradient], metrics = update(model, on_policy(model, batch))
    assert_close(gradient, expected, tolerance=1e-6)
    assert metrics["loss"] == pytest.approx(
        -sum(float(np.nansum(sample.advantages_L)) for sample in batch) / tokens, abs=1e-6
    )
    assert metrics["ratio_mean"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "function"),
    [
        (PLAIN, lambda *tensors: losses.policy_loss(*tensors, dual_clip=None)),
        (CISPO.loss, losses.cispo),
        (LOOP.loss, losses.loop),
        (SAPO.loss, losses.sapo),
        (AEPO.loss, losses.aepo),
        (REC.loss, losses.rec),
        (LossSettings(kind="opmd", options={"coefficient": 3.0}), lambda *t: losses.opmd(*t, coefficient=3.0)),
    ],
    ids=["ppo", "cispo", "loop", "sapo", "aepo", "rec", "opmd"],
)
def test_named_losses(model: Any, batch: list[Sample], loss: LossSettings, function: Any) -> None:
    packed = pack(batch)
    logprobs_A, _ = score(model, packed)
    logprobs_A = logprobs_A.detach().requires_grad_()
    ours, metrics = policy_term(loss, logprobs_A, packed)
    expected = function(logprobs_A, packed.old_logprobs_A, packed.advantages_A)
    assert ours.equal(expected.loss_L) and metrics.keys() == expected.metrics.keys()
    gradients = [torch.autograd.grad(value.sum(), logprobs_A)[0] for value in (ours, expected.loss_L)]
    assert gradients[0].equal(gradients[1]) and gradients[0].abs().sum() > 0


def test_gspo_has_one_ratio_per_sequence(model: Any, batch: list[Sample]) -> None:
    packed = pack(batch)
    logprobs_A, _ = score(model, packed)
    ours, _ = policy_term(GSPO.loss, logprobs_A, packed)
    expected = losses.gspo(logprobs_A, packed.old_logprobs_A, packed.advantages_A, sequence_index=packed.sequence_A)
    assert ours.equal(expected.loss_L)


def test_aggregation_by_hand(model: Any, batch: list[Sample]) -> None:
    batch = on_policy(model, batch)
    terms = []
    for sample in batch:
        advantages_A = torch.as_tensor(sample.advantages_L[np.isfinite(sample.advantages_L)]).float()
        terms.append(-advantages_A * logprobs_by_hand(model, sample)[0])
    names = [("a", "x"), ("b", "x"), ("a", "x"), ("c", "y")]  # the first and the third are turns of one episode
    batch = [replace(s, trajectory=name, group=group) for s, (name, group) in zip(batch, names, strict=True)]
    means = [part.mean() for part in (torch.cat([terms[0], terms[2]]), terms[1], terms[3], torch.cat(terms[:3]))]
    expected = {
        "token_mean": torch.cat(terms).mean(),
        "sequence_mean": torch.stack([term.mean() for term in terms]).mean(),
        "episode_mean": torch.stack(means[:3]).mean(),
        "group_mean": torch.stack(means[2:]).mean(),
        "constant": torch.cat(terms).sum() / (len(terms) * 7),
        "constant by turns": torch.cat(terms).sum() / (3 * 10),
    }
    for aggregation, total in expected.items():
        recorder = Recorder(model)
        loss = LossSettings(
            dual_clip=None, aggregation=aggregation.split()[0], divisor=10 if " " in aggregation else None
        )
        updater = Updater(model, None, recorder, UpdateSettings(minibatches=1, token_budget=20), loss, most_tokens=7)
        updater.run(batch, lr=0.1, rng=seeding.generator(0, "deal"))
        gradient = torch.autograd.grad(total, list(model.parameters()), retain_graph=True)
        assert_close(recorder.gradients[0], gradient, tolerance=1e-6)


def test_divergence_from_oneself_is_nothing(model: Any, batch: list[Sample]) -> None:
    [plain], _ = update(model, batch)
    loss = replace(PLAIN, kl_coef=5.0)
    [at_reference], metrics = update(model, batch, loss, copy.deepcopy(model))
    assert metrics["ref_kl"] == 0
    assert_close(at_reference, plain)
    [elsewhere], metrics = update(model, batch, loss, build("qwen3", num_kv_heads=1).double())
    assert metrics["ref_kl"] > 0
    assert any(not one.equal(other) for one, other in zip(elsewhere, plain, strict=True))


def test_entropy_bonus(model: Any, batch: list[Sample]) -> None:
    zero = [replace(sample, advantages_L=sample.advantages_L * 0) for sample in batch]
    [gradient], metrics = update(model, zero, replace(PLAIN, entropy_coef=0.5))
    entropies = torch.cat([logprobs_by_hand(model, sample)[1] for sample in batch])
    expected = torch.autograd.grad(-0.5 * entropies.mean(), list(model.parameters()))
    assert_close(gradient, expected)
    assert metrics["entropy"] == pytest.approx(float(entropies.detach().mean()))


def test_recomputed_log_probs_agree_with_right_ones_and_replace_wrong_ones(model: Any, batch: list[Sample]) -> None:
    right = on_policy(model, batch)
    [by_sampler], numbers = update(model, right, old_logprobs="behavior")
    [recomputed], same_numbers = update(model, right, old_logprobs="recompute")
    assert_close(recomputed, by_sampler, tolerance=1e-6)
    assert same_numbers == pytest.approx(numbers, abs=1e-6)
    wrong = [replace(sample, old_logprobs_L=sample.old_logprobs_L + 1.0) for sample in right]
    [replaced], _ = update(model, wrong, old_logprobs="recompute")
    assert_close(replaced, recomputed)
    [misled], numbers = update(model, wrong, old_logprobs="behavior")
    assert numbers["ratio_mean"] == pytest.approx(math.exp(-1), rel=1e-5)
    assert any(not one.equal(other) for one, other in zip(misled, by_sampler, strict=True))


@pytest.mark.parametrize("old_logprobs", ["behavior", "recompute"])
def test_mismatch_is_of_the_first_minibatch_whatever_the_update_calls_old(
    model: Any, batch: list[Sample], old_logprobs: str
) -> None:
    def distances(sample: Sample) -> Tensor:
        at = np.isfinite(sample.advantages_L)
        behavior_A = torch.as_tensor(sample.sequence.behavior_logprobs_L[at])
        return (logprobs_by_hand(model, sample)[0].detach() - behavior_A).abs()

    every = float(torch.cat([distances(sample) for sample in batch]).mean())
    _, metrics = update(model, batch, old_logprobs=old_logprobs)
    assert metrics["engine/mismatch"] == pytest.approx(every)
    _, metrics = update(model, batch, minibatches=4, epochs=2, token_budget=1, old_logprobs=old_logprobs)
    of_one = [float(distances(sample).mean()) for sample in batch]
    assert sum(metrics["engine/mismatch"] == pytest.approx(one) for one in of_one) == 1


def test_epochs_and_minibatches(model: Any, batch: list[Sample]) -> None:
    gradients, _ = update(model, batch, minibatches=2, epochs=3)
    assert len(gradients) == 6
    fewer, _ = update(model, batch[:1], minibatches=4)
    assert len(fewer) == 1, "an empty minibatch is no update"


def test_nothing_to_learn_from_leaves_the_weights() -> None:
    model = build("qwen3")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = Optimizer(model)
    for old_logprobs in ("behavior", "recompute"):
        config = UpdateSettings(minibatches=2, old_logprobs=old_logprobs)
        metrics = Updater(model, None, optimizer, config, PLAIN).run([], lr=0.1, rng=seeding.generator(0, "deal"))
        assert metrics == {"grad_norm": 0.0}
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_an_update_makes_good_turns_likelier_and_bad_ones_less() -> None:
    model = build("qwen3")
    batch = on_policy(model, samples([1.0], [-1.0]))
    before = [float(logprobs_by_hand(model, sample)[0].detach().mean()) for sample in batch]
    Updater(model, None, Optimizer(model), UpdateSettings(minibatches=1), PLAIN).run(
        batch, lr=1e-3, rng=seeding.generator(0, "deal")
    )
    after = [float(logprobs_by_hand(model, sample)[0].detach().mean()) for sample in batch]
    assert after[0] > before[0] and after[1] < before[1]


def test_a_loss_that_is_not_finite_leaves_the_weights(batch: list[Sample]) -> None:
    model = build("qwen3")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    spoiled = [replace(sample, old_logprobs_L=sample.old_logprobs_L * np.float32(NAN)) for sample in batch]
    updater = Updater(model, None, Optimizer(model), UpdateSettings(minibatches=1), PLAIN)
    with pytest.raises(DivergedError, match=r"^the loss is nan in update 1: "):
        updater.run(spoiled, lr=0.1, rng=seeding.generator(0, "deal"))
    assert all(parameter.equal(kept) for parameter, kept in zip(model.parameters(), before, strict=True))


def test_a_sampler_with_other_log_probs_is_refused_before_any_step(batch: list[Sample]) -> None:
    model = build("qwen3")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    _, metrics = update(model, batch)
    found = metrics[MISMATCH]
    for limit, refused in ((found * 0.9, True), (found * 1.1, False), (None, False)):
        updater = Updater(model, None, Recorder(model), UpdateSettings(minibatches=1, max_mismatch=limit), PLAIN)
        if refused:
            with pytest.raises(MismatchError, match=rf"^engine/mismatch is {found:.2g} nats a token, more than"):
                updater.run(batch, lr=0.1, rng=seeding.generator(0, "deal"))
        else:
            updater.run(batch, lr=0.1, rng=seeding.generator(0, "deal"))
    assert all(parameter.equal(kept) for parameter, kept in zip(model.parameters(), before, strict=True))
