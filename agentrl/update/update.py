"""The policy update: from scored samples to new weights."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentrl.algorithms.base import LossSettings
from agentrl.errors import MismatchError
from agentrl.losses import token_logprobs
from agentrl.update import distributed
from agentrl.update.batch import Batch, Sample, micro_batches, pack, worth_merging
from agentrl.update.dealing import exchange, mini_batches, own_share, worth_keeping
from agentrl.update.grouped import weigh_groups
from agentrl.update.head import head_of
from agentrl.update.head_loss import chunk_of, head_loss
from agentrl.update.objective import is_per_token, token_losses
from agentrl.update.optimizer import Optimizer, check_finite
from agentrl.update.passes.forward import hidden_states
from agentrl.update.settings import Precision, UpdateSettings
from agentrl.update.shaping import shape_tokens
from agentrl.update.weights import weigh_samples

EXTREMES: dict[str, Callable[..., float]] = {"ratio_max": max, "ratio_min": min}
"""Metrics that are not averaged over tokens."""

MISMATCH = "engine/mismatch"
"""Mean absolute difference of sampler's and trainer's log-probs, nats: over the first minibatch, before any step."""


def score(model: Any, batch: Batch, temperature: float = 1.0, dtype: Precision = "float32") -> tuple[Tensor, Tensor]:
    """Return log-probability and entropy (nats) of the model at each scored token, shapes (A,).

    Both are of the temperature-scaled distribution, the one the engine samples from. They are computed in ``dtype``,
    and float32 themselves (float64 of a model in float64).
    """
    hidden_QH = hidden_states(model, batch.ids_L, batch.packing, batch.before_Q, dtype)
    head = head_of(model)
    both_Q = token_logprobs(hidden_QH, head, batch.targets_Q, temperature=temperature, chunk=chunk_of(head))
    logprobs_A, entropies_A = (one_Q.index_select(0, batch.question_A) for one_Q in both_Q)
    return logprobs_A, entropies_A


def _count(totals: dict[str, float], metrics: dict[str, Tensor], tokens: int) -> None:
    """Add means over ``tokens`` to sums, and keep extremes."""
    totals["tokens"] = totals.get("tokens", 0.0) + tokens
    for key, value in metrics.items():
        if key in EXTREMES:
            totals[key] = EXTREMES[key](totals.get(key, float(value)), float(value))
        else:
            totals[key] = totals.get(key, 0.0) + float(value) * tokens


@dataclass(slots=True)
class Updater:
    """Applies the loss of an algorithm to samples.

    Attributes:
      model: the policy being trained.
      reference: frozen policy of the KL term; None without one.
      optimizer: steps the weights.
      config: minibatches, epochs, token budget.
      loss: the algorithm's loss settings.
      temperature: that the samples were drawn at.
      most_tokens: that a sequence can have sampled; the "constant" aggregation divides by it.
      keep_groups: make minibatches of whole groups, so that what their members share is computed once; None where that
        saves enough. A loss over groups has it so anyway.
    """

    model: Any
    reference: Any | None
    optimizer: Optimizer
    config: UpdateSettings
    loss: LossSettings
    temperature: float = 1.0
    most_tokens: int = 1
    keep_groups: bool | None = False

    def run(self, samples: Sequence[Sample], *, lr: float, rng: np.random.Generator) -> dict[str, float]:
        """Make ``epochs x minibatches`` updates from the samples of all processes; return means over them.

        Every process must call it, with or without samples, and with the same state of ``rng``: minibatches are dealt
        over all processes, and do not depend on their number. Each update is normalised by what its minibatch holds
        (scored tokens, sequences, episodes or groups), so that the result does not depend on how it was cut. The
        first minibatch meets the weights that sampled it, so there the log-probs of engine and trainer are compared.

        Raises:
          DivergedError: a loss, a gradient or the weights are not finite, in every process alike.
          MismatchError: the sampler's log-probs differ from the trainer's by more than ``config.max_mismatch``: in
            every process alike, and before any step.
        """
        if self.config.old_logprobs == "recompute":
            samples = self._old(samples)
        samples = shape_tokens(exchange(samples), self.loss)
        keeps_groups = worth_keeping(samples) if self.keep_groups is None else self.keep_groups
        over_groups = self.loss.group_loss is not None
        totals: dict[str, float] = {}
        norms: list[float] = []
        for _ in range(self.config.epochs):
            for minibatch in mini_batches(
                samples, self.config.minibatches, rng, keep_groups=keeps_groups or over_groups
            ):
                if not minibatch:
                    continue
                share = own_share(weigh_samples(minibatch, self.loss, self.most_tokens))
                if over_groups:
                    share = self._weigh_groups(share)
                own = [self._backward(batch, totals, compare=not norms) for _, batch in self._batches(share)]
                check_finite("loss", distributed.all_sum([sum(own)])[0], f" in update {len(norms) + 1}")
                if not norms:
                    self._check_mismatch(totals)
                norms.append(self.optimizer.step(lr))
        return self._means(totals, norms)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(iter(self.model.parameters())).device  # type: ignore[no-any-return]

    def logprobs(self, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
        """Return the policy's log-prob of each scored token, 0 elsewhere, for each sample in order; nothing is learned.

        A process does so for its own samples: no other has to call it.
        """
        return self._logprobs(self.model, samples)

    def _check_mismatch(self, totals: dict[str, float]) -> None:
        limit = self.config.max_mismatch
        distance, compared = distributed.all_sum([totals.get(key, 0.0) for key in (MISMATCH, "compared")])
        found = distance / max(1.0, compared)
        if limit is not None and not found <= limit:
            raise MismatchError(
                f"{MISMATCH} is {found:.2g} nats a token, more than update.max_mismatch {limit:g}: engine and trainer "
                "do not compute the same policy, and training on the difference would spoil it; look at engine.kind, "
                "engine.dtype and policy.dtype (raise the limit only for a difference that you can explain)"
            )

    def _score(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        return score(model, batch, self.temperature, self.config.dtype)

    def _batches(self, samples: Sequence[Sample]) -> Iterator[tuple[list[Sample], Batch]]:
        """Cut and pack samples; merge those that begin alike where it pays."""
        merge = worth_merging(samples, self.config.merge_prefixes)
        for part in micro_batches(samples, self.config.token_budget, merge=merge):
            yield part, pack(part, self.device, merge=merge)

    def _backward(self, batch: Batch, totals: dict[str, float], *, compare: bool) -> float:
        """Add the gradient of this part of a minibatch, and return its loss.

        Its sums are added to ``totals``, with ``compare`` MISMATCH too.
        """
        ref_logprobs_A = None
        if self.reference is not None and self.loss.kl_coef:
            with torch.no_grad():
                ref_logprobs_A, _ = self._score(self.reference, batch)
        hidden_QH = hidden_states(self.model, batch.ids_L, batch.packing, batch.before_Q, self.config.dtype)
        generator = torch.Generator().manual_seed(int(batch.ids_L.sum()))  # the same when it is computed again
        weight_A = batch.weight_A.to(torch.promote_types(hidden_QH.dtype, torch.float32))

        def loss(logprobs_A: Tensor, entropies_A: Tensor, at_A: Tensor | slice) -> Tensor:
            ref_A = None if ref_logprobs_A is None else ref_logprobs_A[at_A]
            loss_A, metrics = token_losses(self.loss, logprobs_A, entropies_A, batch.scored(at_A), ref_A, generator)
            _count(totals, metrics, len(loss_A))
            return loss_A * weight_A[at_A]

        total, logprobs_A, _ = head_loss(
            hidden_QH,
            head_of(self.model),
            batch,
            loss,
            temperature=self.temperature,
            is_per_token=is_per_token(self.loss),
        )
        total.backward()  # type: ignore[no-untyped-call]
        if compare:
            distance = float((logprobs_A - batch.behavior_logprobs_A).abs().sum())
            totals[MISMATCH] = totals.get(MISMATCH, 0.0) + distance
            totals["compared"] = totals.get("compared", 0.0) + len(logprobs_A)
        return float(total.detach())

    def _old(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples with old log-probs computed by the trainer, in the same order."""
        olds = self._logprobs(self.model, samples)
        return [replace(sample, old_logprobs_L=old_L) for sample, old_L in zip(samples, olds, strict=True)]

    def _weigh_groups(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples with what the loss over groups wants of each token in place of its return."""
        logprobs = self._logprobs(self.model, samples)
        references = None if self.reference is None else self._logprobs(self.reference, samples)
        return weigh_groups(samples, logprobs, references, self.loss, self.most_tokens)

    def _logprobs(self, model: Any, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
        """Return a model's log-prob of each scored token, 0 elsewhere, for each sample in order."""
        rows: dict[int, NDArray[np.float32]] = {}
        for part, batch in self._batches(samples):
            with torch.no_grad():
                logprobs_A, _ = self._score(model, batch)
            row = np.zeros(sum(map(len, part)), dtype=np.float32)
            row[batch.at_A.cpu().numpy()] = logprobs_A.cpu().numpy()
            cuts = np.cumsum([len(sample) for sample in part])[:-1]
            rows |= {id(sample): row_L for sample, row_L in zip(part, np.split(row, cuts), strict=True)}
        return [rows[id(sample)] for sample in samples]

    @staticmethod
    def _means(totals: dict[str, float], norms: list[float]) -> dict[str, float]:
        """Token means and extremes over all processes, and the gradient norm of the updates."""
        parts = distributed.gather(totals)
        tokens, compared = (max(1.0, sum(part.get(key, 0.0) for part in parts)) for key in ("tokens", "compared"))
        numbers = {}
        for key in sorted({key for part in parts for key in part} - {"tokens", "compared"}):
            values = [part[key] for part in parts if key in part]
            count = compared if key == MISMATCH else tokens
            numbers[key] = EXTREMES[key](values) if key in EXTREMES else sum(values) / count
        numbers["grad_norm"] = float(np.mean(norms)) if norms else 0.0
        return numbers
