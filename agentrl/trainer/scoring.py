"""Passes of the policy between playing and credit: what it thinks of its turns once it knows more.

Axis suffixes: ``_L`` token positions of a sequence that is scored, ``_N`` turns of this process's trajectories.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agentrl.algorithms.base import Need
from agentrl.context.base import Context
from agentrl.types import TokenSequence, Trajectory
from agentrl.update.batch import Sample

LogProbs = Callable[[Sequence[Sample]], list[NDArray[np.float32]]]
"""The policy's log-prob of each scored token, 0 elsewhere, for each sample."""

NOTE = "(The episode will end like this: {observation})\n"
"""What hindsight tells the policy, before the first words of the world. The wording of HCAPO is not published."""


class Scorer:
    """Fills the columns of the turn table that need a pass of the policy; each process does its own turns.

    Args:
      context: how conversations are written.
      logprobs: scores samples by the policy as it is.
      max_context: most tokens of a sequence; a note is cut to it, an answer that goes beyond is not asked for.
    """

    def __init__(self, context: Context, logprobs: LogProbs, max_context: int) -> None:
        self._context, self._logprobs, self._max_context = context, logprobs, max_context

    def columns(self, trajectories: Sequence[Trajectory], needs: frozenset[Need]) -> dict[str, list[float]]:
        """Return the columns that an algorithm of these needs asks for, a value per turn, trajectory after trajectory.

        An algorithm that needs none costs nothing.
        """
        columns = {}
        if "hindsight" in needs:
            columns["hindsight"] = self.hindsight(trajectories).tolist()
        if "answers" in needs:
            columns["step_reward"] = self.information_gains(trajectories).tolist()
        return columns

    def hindsight(self, trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
        """Return each turn's mean token log-prob under the policy, told the last observation before the first, (N,).

        NaN where the episode has no verdict, and for a turn without sampled tokens.
        """
        samples, turns, firsts = [], [], turn_offsets(trajectories)
        for trajectory, first in zip(trajectories, firsts[:-1], strict=True):
            for sequence in trajectory.sequences if trajectory.outcome.is_verdict else ():
                note = NOTE.format(observation=trajectory.final_observation)
                room = self._max_context - len(sequence)
                ids_L, told = self._context.chat.foretold(sequence.ids_L, note, room)
                said_L = sequence.action_mask_L & (sequence.turns_L < len(trajectory.turns))
                samples.append(asked(ids_L, np.insert(said_L, told.start, [False] * (told.stop - told.start))))
                turns.append(first + sequence.turns_L[said_L].astype(np.int64))
        return means_by(turns, self._scored(samples), firsts[-1])

    def information_gains(self, trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
        """Return how much each turn adds to the probability of the right answer, (N,); 0 for last turns.

        The answer is what would be said instead of the next turn; its probability the exponential of the mean log-prob
        of its tokens, without what the protocol puts around it (IGPO, arXiv:2510.14967). 0 too where it is not known:
        the environment tells no answer, or there is no room for it.
        """
        samples, turns, firsts = [], [], turn_offsets(trajectories)
        for trajectory, first in zip(trajectories, firsts[:-1], strict=True):
            for turn, sample in self._answered(trajectory):
                samples.append(sample)
                turns.append(np.full(sample.num_scored, first + turn))
        likely_N: NDArray[np.float64] = np.exp(means_by(turns, self._scored(samples), firsts[-1]))
        gain_N = np.append(likely_N[1:], np.nan)[: len(likely_N)] - likely_N
        gain_N[[after - 1 for before, after in pairwise(firsts) if after > before]] = 0.0
        gain_N[~np.isfinite(gain_N)] = 0.0
        return gain_N

    def _answered(self, trajectory: Trajectory) -> Iterator[tuple[int, Sample]]:
        """Yield the turns of a judged episode whose answer is known, and what was fed before each with the answer."""
        if not trajectory.outcome.is_verdict or not trajectory.answer:
            return
        encode = self._context.chat.encode
        before, _, _ = self._context.protocol.write(trajectory.answer).partition(trajectory.answer)
        opening, answer = encode(before), encode(trajectory.answer)
        for sequence in trajectory.sequences:
            begun, starts = np.unique(sequence.turns_L, return_index=True)
            for turn, start in zip(begun.tolist(), starts.tolist(), strict=True):
                ids_L = np.concatenate([sequence.ids_L[:start], opening, answer])
                if 0 <= turn < len(trajectory.turns) and len(ids_L) <= self._max_context:
                    yield turn, asked(ids_L, np.arange(len(ids_L)) >= len(ids_L) - len(answer))

    def _scored(self, samples: Sequence[Sample]) -> list[NDArray[np.float64]]:
        """Return the log-probs of the scored tokens of each sample."""
        rows = self._logprobs(samples)
        return [
            row_L[sample.sequence.action_mask_L].astype(np.float64) for sample, row_L in zip(samples, rows, strict=True)
        ]


def asked(ids_L: NDArray[np.int32], scored_L: NDArray[np.bool_]) -> Sample:
    """Return a sequence whose marked tokens are to be scored, and nothing else of it."""
    size = len(ids_L)
    nothing_L = np.zeros(size, np.float32)
    sequence = TokenSequence(ids_L, scored_L, nothing_L, nothing_L, np.full(size, -1, np.int32))
    return Sample(sequence, np.where(scored_L, 0.0, np.nan), np.full(size, -1), nothing_L)


def turn_offsets(trajectories: Sequence[Trajectory]) -> list[int]:
    """Return the row of each trajectory's first turn in the turn table, and the number of turns."""
    return [0, *np.cumsum([len(trajectory.turns) for trajectory in trajectories], dtype=np.int64).tolist()]


def means_by(
    rows: Sequence[NDArray[np.int64]], values: Sequence[NDArray[np.float64]], size: int
) -> NDArray[np.float64]:
    """Return the mean of the values of each row, shape (size,), NaN where there is none."""
    row_A = np.concatenate([np.zeros(0, np.int64), *rows])
    count = np.bincount(row_A, minlength=size)[:size]
    total = np.bincount(row_A, np.concatenate([np.zeros(0), *values]), size)[:size]
    mean = np.full(size, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
