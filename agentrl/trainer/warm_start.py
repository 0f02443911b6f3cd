"""Supervised warm start: imitate demonstrations, token by token."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agentrl import seeding
from agentrl.errors import DataError
from agentrl.trainer.config import WarmStartConfig
from agentrl.types import Trajectory
from agentrl.update import distributed
from agentrl.update.batch import Batch, Sample, pack, spread
from agentrl.update.dealing import exchange, own_share
from agentrl.update.head import head_of
from agentrl.update.optimizer import Optimizer, check_finite, cosine
from agentrl.update.passes.forward import hidden_states
from agentrl.update.settings import Precision

HELD_OUT = 0.05
"""Share of the demonstrations kept aside to measure accuracy."""

CHECK_EVERY = 25
"""Steps between measurements of accuracy on them."""


@dataclass(slots=True)
class WarmStart:
    """The stage, resumable at any step: the batch of step s depends on (seed, s) alone.

    Attributes:
      config: steps, learning rate, batch size.
      model: the policy.
      optimizer: its AdamW.
      seed: of the order of the demonstrations.
      dtype: of the forward and backward passes.
    """

    config: WarmStartConfig
    model: Any
    optimizer: Optimizer
    seed: int
    dtype: Precision = "float32"

    def run(
        self,
        demonstrations: Sequence[Trajectory],
        *,
        first_step: int = 0,
        on_step: Callable[[int, dict[str, float]], bool] = lambda step, metrics: True,
    ) -> int:
        """Train from ``first_step`` on; return the number of steps made in all.

        Args:
          demonstrations: this process's share.
          on_step: called after each step with its number (from 1) and metrics; False ends the stage.

        Raises:
          DataError: there is nothing to imitate.
          DivergedError: a loss, a gradient or the weights are not finite, in every process alike.
        """
        samples = exchange(imitation_samples(demonstrations))
        if not samples:
            raise DataError("there is no demonstration to imitate: raise warm_start.demonstrations, or keep failures")
        held_out = samples[: max(1, int(len(samples) * HELD_OUT))]
        training = samples[len(held_out) :] or held_out
        budget = self.config.batch_tokens
        target = self.config.target_accuracy
        # The run may have been interrupted just as it reached the target.
        checks = target is not None and first_step > 0 and first_step % CHECK_EVERY == 0
        if checks and accuracy(self.model, held_out, budget, self.dtype) >= (target or 0.0):
            return first_step
        for step, batch in enumerate(_batches(training, budget, self.seed, first_step), start=first_step):
            if step >= self.config.steps:
                return step
            metrics = self._step(batch, step)
            last = step + 1 == self.config.steps
            if target is not None and ((step + 1) % CHECK_EVERY == 0 or last):
                metrics["held_out_accuracy"] = accuracy(self.model, held_out, budget, self.dtype)
            go_on = on_step(step + 1, metrics)
            if not go_on or metrics.get("held_out_accuracy", 0.0) >= (target or math.inf):
                return step + 1
        return first_step

    def _step(self, samples: list[Sample], step: int) -> dict[str, float]:
        tokens = float(sum(sample.num_scored for sample in samples))
        own_loss, own_correct = self._backward(own_share(samples), tokens)
        loss, correct = distributed.all_sum([own_loss, own_correct])
        check_finite("loss", loss, f" in step {step + 1} of the warm start")
        config = self.config
        lr = cosine(step, config.steps, config.lr, config.warmup_steps, config.final_lr_share)
        norm = self.optimizer.step(lr)
        return {"loss": loss, "accuracy": correct / tokens, "lr": lr, "grad_norm": norm}

    def _backward(self, samples: list[Sample], tokens: float) -> tuple[float, float]:
        """Add the gradient of a share of a batch of ``tokens``; return its loss and how many are the first choice."""
        if not samples:
            return 0.0, 0.0
        logits_AV, batch = _logits(self.model, samples, self.dtype)
        loss = torch.nn.functional.cross_entropy(logits_AV, batch.targets_Q, reduction="sum") / tokens
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), float((logits_AV.detach().argmax(-1) == batch.targets_Q).sum())


def imitation_samples(demonstrations: Sequence[Trajectory]) -> list[Sample]:
    """Return the demonstrations with every action token scored alike."""
    return spread(demonstrations, np.ones(sum(len(trajectory.turns) for trajectory in demonstrations)))


@torch.no_grad()
def accuracy(model: Any, samples: Sequence[Sample], token_budget: int, dtype: Precision = "float32") -> float:
    """Return the share of demonstrated tokens that are the model's first choice; all processes have the samples."""
    correct = tokens = 0
    for part in _in_budget(own_share(samples), token_budget // distributed.world_size()):
        logits_AV, batch = _logits(model, part, dtype)
        correct += int((logits_AV.argmax(-1) == batch.targets_Q).sum())
        tokens += len(batch.targets_Q)
    all_correct, all_tokens = distributed.all_sum([float(correct), float(tokens)])
    return all_correct / max(1.0, all_tokens)


def _logits(model: Any, samples: Sequence[Sample], dtype: Precision) -> tuple[Tensor, Batch]:
    """Return the logits before each demonstrated token, (A, V), and the packed samples."""
    batch = pack(samples, next(iter(model.parameters())).device)
    hidden_AH = hidden_states(model, batch.ids_L, batch.packing, batch.before_Q, dtype)
    return head_of(model).logits(hidden_AH), batch


def _batches(samples: Sequence[Sample], token_budget: int, seed: int, first: int) -> Iterator[list[Sample]]:
    """Yield batches for ever, from number ``first`` on: each epoch is a new shuffle, cut by tokens."""
    number = epoch = 0
    while True:
        order = seeding.generator(seed, "warm_start", epoch).permutation(len(samples))
        for batch in _in_budget([samples[i] for i in order], token_budget):
            if number >= first:
                yield batch
            number += 1
        epoch += 1


def _in_budget(samples: Sequence[Sample], token_budget: int) -> Iterator[list[Sample]]:
    chosen: list[Sample] = []
    tokens = 0
    for sample in samples:
        if chosen and tokens + len(sample) > token_budget:
            yield chosen
            chosen, tokens = [], 0
        chosen.append(sample)
        tokens += len(sample)
    if chosen:
        yield chosen
