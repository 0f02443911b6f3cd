"""From trajectories and per-turn advantages to packed tensors of sampled tokens.

Axis suffixes: ``_L`` all tokens of a packed row, ``_A`` the sampled tokens among them that are scored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentrl.trainer.packed import Packing
from agentrl.types import TokenSequence, Trajectory


@dataclass(frozen=True, slots=True)
class Sample:
    """One training sequence with the advantage of each of its tokens; NaN where it is not scored.

    Attributes:
      sequence: the tokens.
      advantages_L: advantage of the turn that sampled each token.
      rows_L: row of the turn table that sampled each token, -1 where it was not sampled.
      old_logprobs_L: log-probs of the policy before the update: the sampler's, or recomputed by the trainer.
    """

    sequence: TokenSequence
    advantages_L: NDArray[np.float64]
    rows_L: NDArray[np.int64]
    old_logprobs_L: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def num_scored(self) -> int:
        """Tokens that enter the loss."""
        return int(np.isfinite(self.advantages_L).sum())


def spread(trajectories: Sequence[Trajectory], advantages_N: NDArray[np.float64]) -> list[Sample]:
    """Give every sampled token the advantage of its turn.

    Args:
      trajectories: in the order of the turn table.
      advantages_N: advantage of each turn, trajectory after trajectory, turn after turn; NaN for not scored.

    Returns:
      One sample per sequence; sequences without a scored token are left out.
    """
    samples, offset = [], 0
    for trajectory in trajectories:
        for sequence in trajectory.sequences:
            sampled = sequence.action_mask_L
            rows = np.where(sampled, sequence.turns_L + offset, -1).astype(np.int64)
            advantages = np.where(sampled, advantages_N[rows], np.nan)
            sample = Sample(sequence, advantages, rows, sequence.behavior_logprobs_L)
            if sample.num_scored:
                samples.append(sample)
        offset += len(trajectory.turns)
    if offset != len(advantages_N):
        raise ValueError(f"{len(advantages_N)} advantages for {offset} turns")
    return samples


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed sequences and their scored tokens.

    Attributes:
      ids_L: token ids.
      packing: where the sequences lie.
      before_A: index in the row of the token before each scored one: its hidden state predicts it.
      targets_A: the scored tokens.
      advantages_A: float32.
      old_logprobs_A: float32.
      sequence_A: number of the sequence in the batch.
      row_A: number of the turn in the turn table.
    """

    ids_L: Tensor
    packing: Packing
    before_A: Tensor
    targets_A: Tensor
    advantages_A: Tensor
    old_logprobs_A: Tensor
    sequence_A: Tensor
    row_A: Tensor

    @property
    def num_tokens(self) -> int:
        """Tokens in the row, L."""
        return len(self.ids_L)


def pack(samples: Sequence[Sample], device: torch.device | str = "cpu") -> Batch:
    """Lay samples end to end.

    The first token of a sequence cannot be scored (nothing predicts it); contexts never sample it.
    """
    lengths = [len(sample) for sample in samples]
    advantages = np.concatenate([sample.advantages_L for sample in samples])
    scored = np.isfinite(advantages)
    scored[np.cumsum([0, *lengths[:-1]])] = False
    at = np.flatnonzero(scored)
    ids = np.concatenate([sample.sequence.ids_L for sample in samples]).astype(np.int64)
    old = np.concatenate([sample.old_logprobs_L for sample in samples])
    rows = np.concatenate([sample.rows_L for sample in samples])

    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.as_tensor(array, device=device)

    return Batch(
        ids_L=tensor(ids),
        packing=Packing.of(lengths, device),
        before_A=tensor(at - 1),
        targets_A=tensor(ids[at]),
        advantages_A=tensor(advantages[at].astype(np.float32)),
        old_logprobs_A=tensor(old[at].astype(np.float32)),
        sequence_A=tensor(np.repeat(np.arange(len(lengths)), lengths)[at]),
        row_A=tensor(rows[at]),
    )


def micro_batches(samples: Sequence[Sample], token_budget: int) -> Iterator[list[Sample]]:
    """Cut samples into lists of at most ``token_budget`` tokens, long ones first so that lengths are alike.

    A sample longer than the budget is a list of its own.
    """
    chosen: list[Sample] = []
    tokens = 0
    for sample in sorted(samples, key=len, reverse=True):
        if chosen and tokens + len(sample) > token_budget:
            yield chosen
            chosen, tokens = [], 0
        chosen.append(sample)
        tokens += len(sample)
    if chosen:
        yield chosen


def mini_batches(samples: Sequence[Sample], count: int, rng: np.random.Generator) -> list[list[Sample]]:
    """Deal shuffled samples into ``count`` parts of almost equal size (some empty if there are fewer samples)."""
    order = rng.permutation(len(samples))
    return [[samples[i] for i in order[part::count]] for part in range(count)]
