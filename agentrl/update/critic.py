"""The critic: what the states before sampled tokens are worth, learned beside the policy.

Axis suffixes: ``_L`` tokens of a packed row, ``_A`` sampled tokens of all trajectories in the order of `token_rows`
(in a batch: its scored ones), ``_B`` sampled tokens of a batch.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentrl.losses import value_loss
from agentrl.types import Trajectory
from agentrl.update import distributed
from agentrl.update.batch import (
    Batch,
    Sample,
    micro_batches,
    pack,
    spread_tokens,
    token_rows,
    worth_merging,
)
from agentrl.update.dealing import exchange, mini_batches, own_share
from agentrl.update.optimizer import Optimizer, check_finite
from agentrl.update.passes.forward import hidden_states
from agentrl.update.settings import CriticSettings, Precision, UpdateSettings


@dataclass(frozen=True, slots=True)
class TokenCredit:
    """What sampled tokens earned.

    Attributes:
      advantages_A: for the policy, NaN where it is not trained.
      values_A: the critic's, before the update; NaN where there is none.
      targets_A: what the critic is to learn; NaN where there is no value. Groups that a filter keeps from the policy
        have them: values of the groups that differ alone would not be those of the policy.
    """

    advantages_A: NDArray[np.float64]
    values_A: NDArray[np.float64]
    targets_A: NDArray[np.float64]


class ValueModel(torch.nn.Module):
    """A copy of a policy's trunk with a head of one number, which begins at 0.

    Args:
      policy: a causal language model; it shares nothing with the copy.
      precision: of the trunk's passes; the head's are in float32 at least, for bfloat16 cannot tell 0.998 from 1.
    """

    def __init__(self, policy: Any, precision: Precision = "float32") -> None:
        super().__init__()
        self.precision = precision
        self.trunk = copy.deepcopy(policy.base_model)
        weight_VH = policy.get_output_embeddings().weight
        dtype = torch.promote_types(weight_VH.dtype, torch.float32)
        self.head = torch.nn.Linear(weight_VH.shape[1], 1, dtype=dtype, device=weight_VH.device)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def get_output_embeddings(self) -> torch.nn.Linear:
        """Return the head, which Muon leaves to AdamW as it does a policy's."""
        return self.head

    def forward(self, batch: Batch) -> Tensor:
        """Return the value of the state before each scored token, shape (A,)."""
        hidden_QH = hidden_states(self.trunk, batch.ids_L, batch.packing, batch.before_Q, self.precision)
        value_Q: Tensor = self.head(hidden_QH.to(self.head.weight.dtype)).squeeze(-1)
        return value_Q.index_select(0, batch.question_A)


@dataclass(slots=True)
class Critic:
    """Evaluates the states of trajectories, and learns from what they turned out to be worth.

    Attributes:
      model: its weights, none of which the policy has.
      optimizer: steps them.
      config: minibatches, epochs, learning rate, clip.
      packing: how the policy's update packs sequences; values are computed alike.
    """

    model: ValueModel
    optimizer: Optimizer
    config: CriticSettings
    packing: UpdateSettings

    @classmethod
    def of(cls, policy: Any, config: CriticSettings, packing: UpdateSettings) -> "Critic":
        """Return a critic that begins as the policy does."""
        model = ValueModel(policy, packing.dtype)
        optimizer = Optimizer(
            model, kind=config.optimizer, weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm
        )
        return cls(model, optimizer, config, packing)

    @torch.no_grad()
    def evaluate(self, trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
        """Return the value of the state before each sampled token, shape (A,).

        It is NaN where the episode has no verdict, and at the first token of a sequence, which has no state before it.
        """
        judged = [trajectory.outcome.is_verdict for trajectory in trajectories for _ in trajectory.turns]
        is_judged_A = np.array(judged, dtype=bool)[token_rows(trajectories)]
        values_A = np.full(len(is_judged_A), np.nan)
        for numbers_B, batch in self._batches(_numbered(trajectories, is_judged_A)):
            values_A[numbers_B] = self.model(batch).double().cpu().numpy()
        return values_A

    def fit(
        self, trajectories: Sequence[Trajectory], credit: TokenCredit, *, rng: np.random.Generator
    ) -> dict[str, float]:
        """Make ``epochs x minibatches`` updates towards the targets; return metrics over all processes.

        Every process must call it, with or without trajectories, and with the same state of ``rng``: minibatches are
        dealt over all processes, and do not depend on their number. The loss is the mean over a minibatch's tokens.
        ``explained_variance`` is 1 - Var(R - V) / Var(R) of the values before the update; it is left out where all
        targets R are equal, and there is nothing to explain.

        Raises:
          DivergedError: a loss, a gradient or the weights are not finite, in every process alike.
        """
        before = sum(distributed.gather(len(credit.targets_A))[: distributed.rank()])
        samples = exchange(_numbered(trajectories, np.isfinite(credit.targets_A), before))
        columns = [np.concatenate(distributed.gather(column_A)) for column_A in (credit.targets_A, credit.values_A)]
        norms, total_loss, total_tokens = [], 0.0, 0.0
        for _ in range(self.config.epochs):
            for minibatch in mini_batches(samples, self.config.minibatches, rng):
                tokens = float(sum(sample.num_scored for sample in minibatch))
                if tokens == 0:
                    continue
                own = [self._backward(*part, columns, tokens) for part in self._batches(own_share(minibatch))]
                (loss,) = distributed.all_sum([sum(own)])
                total_loss += check_finite("critic's loss", loss)
                norms.append(self.optimizer.step(self.config.lr))
                total_tokens += tokens
        return {
            "value_loss": total_loss / max(total_tokens, 1.0),
            "value_grad_norm": float(np.mean(norms)) if norms else 0.0,
            **_fit_before(credit),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return weights and moments."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state from `state_dict`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _backward(
        self, numbers_B: NDArray[np.int64], batch: Batch, columns: Sequence[NDArray[np.float64]], tokens: float
    ) -> float:
        """Add the gradient of a part of a minibatch of ``tokens``, given all targets and values; return its loss."""
        values_B = self.model(batch)
        targets_B, old_values_B = (
            torch.as_tensor(column_A[numbers_B], dtype=values_B.dtype, device=values_B.device) for column_A in columns
        )
        loss = value_loss(values_B, targets_B, old_values_B, clip=self.config.clip).sum()
        (loss / tokens).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _batches(self, samples: Sequence[Sample]) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Cut and pack samples made by `_numbered`; yield the numbers of each part's tokens, and the part."""
        merge = worth_merging(samples, self.packing.merge_prefixes)
        device = self.model.head.weight.device
        for part in micro_batches(samples, self.packing.token_budget, merge=merge):
            batch = pack(part, device, merge=merge)
            numbers_L = np.concatenate([sample.advantages_L for sample in part])
            yield numbers_L[batch.at_A.cpu().numpy()].astype(np.int64), batch


def _numbered(trajectories: Sequence[Trajectory], chosen_A: NDArray[np.bool_], first: int = 0) -> list[Sample]:
    """Return samples whose chosen tokens carry, for an advantage, their number, so that they find their columns."""
    return spread_tokens(trajectories, np.where(chosen_A, np.arange(float(first), first + len(chosen_A)), np.nan))


def _fit_before(credit: TokenCredit) -> dict[str, float]:
    """Return mean value, mean target and explained variance, over all processes."""
    has_target_A = np.isfinite(credit.targets_A)
    targets_A, values_A = credit.targets_A[has_target_A], credit.values_A[has_target_A]
    target, spread = distributed.moments(targets_A)
    error, left = distributed.moments(targets_A - values_A)
    metrics = {"value_mean": target - error, "value_target": target}
    return metrics | ({"explained_variance": 1.0 - left / spread} if spread > 0 else {})
