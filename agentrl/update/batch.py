"""From trajectories and per-turn advantages to packed tensors of sampled tokens.

Axis suffixes: ``_L`` all tokens of a packed row, ``_A`` the sampled tokens of all sequences that are scored, ``_Q`` the
distinct ones among them: where sequences are merged, several may score the same token after the same past.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentrl.types import TokenSequence, Trajectory
from agentrl.update.passes.packed import Packing
from agentrl.update.passes.tree import Trie, common_prefix, lexicographic, num_unique


@dataclass(frozen=True, slots=True)
class Sample:
    """One training sequence with the advantage of each of its tokens; NaN where it is not scored.

    Attributes:
      sequence: the tokens.
      advantages_L: advantage of each token: its turn's, or its own.
      rows_L: row of the turn table that sampled each token, -1 where it was not sampled.
      old_logprobs_L: log-probs of the policy before the update: the sampler's, or recomputed by the trainer.
      group: of the episode.
      trajectory: id of the episode.
      uncertainty_L: how uncertain the policy was of each token, -1 to 1; None where no loss asks for it.
      weight: of each scored token in the loss of its minibatch, see `agentrl.update.weights`.
    """

    sequence: TokenSequence
    advantages_L: NDArray[np.float64]
    rows_L: NDArray[np.int64]
    old_logprobs_L: NDArray[np.float32]
    group: str = ""
    trajectory: str = ""
    uncertainty_L: NDArray[np.float32] | None = None
    weight: float = 1.0

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
    num_turns = sum(len(trajectory.turns) for trajectory in trajectories)
    if num_turns != len(advantages_N):
        raise ValueError(f"{len(advantages_N)} advantages for {num_turns} turns")
    return spread_tokens(trajectories, advantages_N[token_rows(trajectories)])


def spread_tokens(trajectories: Sequence[Trajectory], advantages_A: NDArray[np.float64]) -> list[Sample]:
    """Give every sampled token an advantage of its own; the rest is as in `spread`.

    Args:
      trajectories: in the order of the turn table.
      advantages_A: advantage of each sampled token, in the order of `token_rows`; NaN for not scored.
    """
    samples, rows_A, first = [], token_rows(trajectories), 0
    for trajectory in trajectories:
        for sequence in trajectory.sequences:
            sampled = sequence.action_mask_L
            last = first + int(sampled.sum())
            rows, advantages = np.full(len(sequence), -1), np.full(len(sequence), np.nan)
            rows[sampled], advantages[sampled] = rows_A[first:last], advantages_A[first:last]
            old = sequence.behavior_logprobs_L
            sample = Sample(sequence, advantages, rows, old, trajectory.group, trajectory.id)
            if sample.num_scored:
                samples.append(sample)
            first = last
    return samples


def token_rows(trajectories: Sequence[Trajectory]) -> NDArray[np.int64]:
    """Return the row of the turn table that sampled each token: sequence after sequence, token after token, (A,)."""
    parts, offset = [np.zeros(0, np.int64)], 0
    for trajectory in trajectories:
        for sequence in trajectory.sequences:
            parts.append(sequence.turns_L[sequence.action_mask_L].astype(np.int64) + offset)
        offset += len(trajectory.turns)
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed sequences and their scored tokens.

    Attributes:
      ids_L: token ids.
      packing: where the sequences lie.
      before_Q: index in the row of the token before each distinct scored one: its hidden state predicts it.
      targets_Q: the distinct scored tokens.
      question_A: which of them each scored token is.
      by_question_A: index of the scored tokens in the order of the distinct ones.
      firsts: where each distinct one begins in that order, and where the last one ends; on the CPU, (Q + 1,).
      at_A: index of each scored token in the sequences laid end to end.
      advantages_A: float32.
      old_logprobs_A: float32.
      behavior_logprobs_A: the sampler's own, float32.
      sequence_A: number of the sequence in the batch.
      row_A: number of the turn in the turn table.
      uncertainty_A: float32, 0 where no loss asks for it.
      weight_A: of the token's loss in the total, float64.
    """

    ids_L: Tensor
    packing: Packing
    before_Q: Tensor
    targets_Q: Tensor
    question_A: Tensor
    by_question_A: Tensor
    firsts: NDArray[np.int64]
    at_A: Tensor
    advantages_A: Tensor
    old_logprobs_A: Tensor
    behavior_logprobs_A: Tensor
    sequence_A: Tensor
    row_A: Tensor
    uncertainty_A: Tensor
    weight_A: Tensor

    def of_questions(self, at: slice) -> Tensor:
        """Return the index of the scored tokens that some of the distinct ones are."""
        return self.by_question_A[int(self.firsts[at.start]) : int(self.firsts[at.stop])]

    def scored(self, at_A: Tensor | slice) -> "Batch":
        """Return the batch with only some of its scored tokens."""
        columns: tuple[str, ...] = ("question_A", "at_A", "advantages_A", "old_logprobs_A", "behavior_logprobs_A")
        columns += ("sequence_A", "row_A", "uncertainty_A", "weight_A")
        return replace(self, **{name: getattr(self, name)[at_A] for name in columns})

    @property
    def num_tokens(self) -> int:
        """Tokens in the row, L."""
        return len(self.ids_L)


def pack(samples: Sequence[Sample], device: torch.device | str = "cpu", *, merge: bool = False) -> Batch:
    """Lay samples end to end; with ``merge``, what they share at their beginnings only once.

    The first token of a sequence cannot be scored (nothing predicts it); contexts never sample it.
    """
    lengths = [len(sample) for sample in samples]
    advantages = np.concatenate([sample.advantages_L for sample in samples])
    scored = np.isfinite(advantages)
    scored[np.cumsum([0, *lengths[:-1]])] = False
    at = np.flatnonzero(scored)
    ids = np.concatenate([sample.sequence.ids_L for sample in samples]).astype(np.int64)
    old = np.concatenate([sample.old_logprobs_L for sample in samples])
    behavior = np.concatenate([sample.sequence.behavior_logprobs_L for sample in samples])
    rows = np.concatenate([sample.rows_L for sample in samples])
    marks = [np.zeros(len(one), np.float32) if one.uncertainty_L is None else one.uncertainty_L for one in samples]
    packing, targets, before, question = None, at, at - 1, np.arange(len(at))
    if merge:
        trie = Trie.of([sample.sequence.ids_L for sample in samples], LEAST_SAVED)
        nodes = np.concatenate(trie.nodes)
        targets, first, question = np.unique(nodes[at], return_index=True, return_inverse=True)
        packing, ids, before = Packing.of_trie(trie, device), trie.ids_U, nodes[at[first] - 1]

    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.as_tensor(array, device=device)

    return Batch(
        ids_L=tensor(ids),
        packing=packing or Packing.of(lengths, device),
        before_Q=tensor(before),
        targets_Q=tensor(ids[targets]),
        question_A=tensor(question),
        by_question_A=tensor(np.argsort(question, kind="stable")),
        firsts=np.cumsum(np.bincount(question + 1, minlength=len(targets) + 1)),
        at_A=tensor(at),
        advantages_A=tensor(advantages[at].astype(np.float32)),
        old_logprobs_A=tensor(old[at].astype(np.float32)),
        behavior_logprobs_A=tensor(behavior[at].astype(np.float32)),
        sequence_A=tensor(np.repeat(np.arange(len(lengths)), lengths)[at]),
        row_A=tensor(rows[at]),
        uncertainty_A=tensor(np.concatenate(marks)[at]),
        weight_A=tensor(np.repeat([sample.weight for sample in samples], lengths)[at]),
    )


# A fork has kernels of its own in every layer, whatever it saves: for 0.2 M parameters as long as some twenty tokens.
LEAST_SAVED = 32

# Merging has a few more kernels: for a model of 0.2 M parameters it was not slower from 4 % of tokens saved on.
WORTHWHILE_SHARE = 0.05


def worth_merging(samples: Sequence[Sample], wish: Literal["auto", "always", "never"] = "auto") -> bool:
    """Return whether to merge what samples share at their beginnings: for "auto", if it saves enough tokens."""
    if wish != "auto" or not samples:
        return wish == "always"
    sequences = [sample.sequence.ids_L for sample in samples]
    return num_unique(sequences, LEAST_SAVED) <= (1 - WORTHWHILE_SHARE) * sum(map(len, sequences))


def micro_batches(samples: Sequence[Sample], token_budget: int, *, merge: bool = False) -> Iterator[list[Sample]]:
    """Cut samples into lists of at most ``token_budget`` tokens, long ones first so that lengths are alike.

    With ``merge``, those that begin alike come together instead, and what they share counts once, but for what forks
    that are left out can cost. A sample longer than the budget is a list of its own.
    """
    if merge:
        ordered = [samples[number] for number in lexicographic([sample.sequence.ids_L for sample in samples])]
    else:
        ordered = sorted(samples, key=len, reverse=True)
    chosen: list[Sample] = []
    tokens = 0
    for sample in ordered:
        shared = common_prefix(chosen[-1].sequence.ids_L, sample.sequence.ids_L) if merge and chosen else 0
        added = len(sample) - shared + (LEAST_SAVED - 1 if shared else 0)
        if chosen and tokens + added > token_budget:
            yield chosen
            chosen, tokens, added = [], 0, len(sample)
        chosen.append(sample)
        tokens += added
    if chosen:
        yield chosen
