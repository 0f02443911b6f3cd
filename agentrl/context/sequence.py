"""Building a training sequence from what was fed and what was sampled."""

import numpy as np
from numpy.typing import NDArray

from agentrl.engines.base import Completion
from agentrl.types import TokenSequence


class SequenceBuilder:
    """Collects alternating fed and sampled ids; ``len`` is the number of tokens so far."""

    def __init__(self) -> None:
        self._turns: list[tuple[NDArray[np.int32], Completion, int]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, fed: NDArray[np.int32], completion: Completion, turn: int) -> None:
        """Append the ids fed before turn ``turn`` and the ids it sampled."""
        self._turns.append((fed, completion, turn))
        self._length += len(fed) + len(completion.ids)

    def build(self) -> TokenSequence:
        """Return the sequence: ids as they were, the mask True exactly on sampled ids."""
        length = self._length
        sequence = TokenSequence(
            ids_L=np.empty(length, np.int32),
            action_mask_L=np.zeros(length, np.bool_),
            behavior_logprobs_L=np.zeros(length, np.float32),
            entropies_L=np.zeros(length, np.float32),
            turns_L=np.full(length, -1, np.int32),
        )
        at = 0
        for fed, completion, turn in self._turns:
            begin = at + len(fed)
            end = begin + len(completion.ids)
            sequence.ids_L[at:begin] = fed
            sequence.ids_L[begin:end] = completion.ids
            sequence.action_mask_L[begin:end] = True
            sequence.behavior_logprobs_L[begin:end] = completion.logprobs
            sequence.entropies_L[begin:end] = completion.entropies
            sequence.turns_L[begin:end] = turn
            at = end
        return sequence
