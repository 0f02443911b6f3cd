"""The sampling state of every slot, kept in tensors so that a decoding step costs the same for one row or a thousand.

Axes: ``_K`` slots, ``_S`` context positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentrl.engines.base import Alternatives, Completion, SamplingParams
from agentrl.engines.cache.slots import Rows
from agentrl.engines.sampling import Mix, Sampled
from agentrl.types import StopReason


@dataclass(frozen=True, slots=True)
class TurnStart:
    """A slot that decodes from ``length`` cached positions and a ``pending`` token until it holds ``end``."""

    slot: int
    pending: int
    length: int
    end: int
    rule: int
    params: SamplingParams


@dataclass(frozen=True, slots=True)
class Record:
    """What slots sampled from position ``first`` on, one row a slot, read from the device.

    Attributes:
      first: see above.
      ids_RS: the tokens, int32.
      stats_RS2: log-probability and entropy of each.
      others_RS: the runner-up of each; None where nobody asks for it.
    """

    first: int
    ids_RS: NDArray[np.int32]
    stats_RS2: NDArray[np.float32]
    others_RS: Alternatives | None

    def ids(self, row: int, start: int, end: int) -> NDArray[np.int32]:
        """Return the tokens sampled at positions ``start`` to ``end``."""
        return self.ids_RS[row, start - self.first : end - self.first].copy()

    def completion(
        self, row: int, start: int, end: int, reason: StopReason, version: int, *, alternatives: bool
    ) -> Completion:
        """Return the turn that was sampled at positions ``start`` to ``end``."""
        span = slice(start - self.first, end - self.first)
        logprobs, entropies = self.stats_RS2[row, span].T.copy()
        others = None
        if alternatives and self.others_RS is not None:
            others = Alternatives(self.others_RS.ids[row, span].copy(), self.others_RS.logprobs[row, span].copy())
        return Completion(self.ids(row, start, end), logprobs, entropies, reason, version, others)


class SlotState:
    """What the decoding step needs to know about each slot.

    A token is indexed by the position whose output it was sampled from. ``lengths`` is kept twice: on the device for
    the forward pass, on the host for the scheduler, so that neither waits for the other.

    Args:
      num_slots: K.
      max_context: S.
      device: where the model runs.
    """

    def __init__(self, num_slots: int, max_context: int, device: torch.device) -> None:
        def column(dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.zeros((num_slots, *shape), dtype=dtype, device=device)

        self.pending_K = column(torch.int64)
        """The session's last token, whose keys and values are not computed yet."""
        self.lengths_K = column(torch.int64)
        self.running_K = column(torch.int64)
        self.temperature_K = column(torch.float32)
        self.top_p_K = column(torch.float32)
        self.rule_K = column(torch.int64)
        self.uniforms_KS = column(torch.float32, max_context)
        self.ids_KS = column(torch.int64, max_context)
        self.stats_KS2 = column(torch.float32, max_context, 2)
        """Log-probability and entropy of each sampled token."""
        self.alternative_ids_KS = column(torch.int32, max_context)
        self.alternative_logprobs_KS = column(torch.float32, max_context)
        self.host_lengths_K = np.zeros(num_slots, np.int64)
        self.host_ends_K = np.zeros(num_slots, np.int64)
        self.host_running_K = np.zeros(num_slots, np.bool_)
        self.host_temperature_K = np.zeros(num_slots)
        self.host_top_p_K = np.ones(num_slots)
        self.host_alternatives_K = np.zeros(num_slots, np.bool_)

    def start(self, turns: Sequence[TurnStart]) -> None:
        """Let the slots of ``turns`` decode."""
        slots = np.array([turn.slot for turn in turns])
        self.host_lengths_K[slots] = [turn.length for turn in turns]
        self.host_ends_K[slots] = [turn.end for turn in turns]
        self.host_temperature_K[slots] = [turn.params.temperature for turn in turns]
        self.host_top_p_K[slots] = [turn.params.top_p for turn in turns]
        self.host_alternatives_K[slots] = [turn.params.alternatives for turn in turns]
        self.host_running_K[slots] = True
        where = torch.from_numpy(slots).to(self.pending_K.device)
        for column, values in (
            (self.pending_K, np.array([turn.pending for turn in turns])),
            (self.rule_K, np.array([turn.rule for turn in turns])),
            (self.lengths_K, self.host_lengths_K[slots]),
            (self.temperature_K, self.host_temperature_K[slots]),
            (self.top_p_K, self.host_top_p_K[slots]),
            (self.running_K, np.ones_like(slots)),
        ):
            column[where] = torch.from_numpy(values).to(column)

    def place(self, slot: int, length: int) -> None:
        """Say that ``slot`` holds ``length`` positions, so that idle it is written to behind them only."""
        self.lengths_K[slot] = length
        self.host_lengths_K[slot] = length

    def write(self, rows: Rows, slots_B: Tensor, positions_B: Tensor, sampled: Sampled) -> None:
        """Take in the token that each row sampled from a position; rows that do not run write where nobody reads."""
        # That is behind the tokens of their last turn.
        self.ids_KS[slots_B, positions_B] = sampled.ids_B
        self.stats_KS2[slots_B, positions_B] = torch.stack([sampled.logprobs_B, sampled.entropies_B], dim=1)
        if sampled.alternative_ids_B is not None and sampled.alternative_logprobs_B is not None:
            self.alternative_ids_KS[slots_B, positions_B] = sampled.alternative_ids_B.int()
            self.alternative_logprobs_KS[slots_B, positions_B] = sampled.alternative_logprobs_B
        self.pending_K[rows] = sampled.ids_B
        self.lengths_K[rows] += self.running_K[rows]

    def read(self, slots: NDArray[np.int64], first: int, *, alternatives: bool) -> Record:
        """Return what ``slots`` have sampled from position ``first`` on."""
        last = int(self.host_lengths_K[slots].max())
        where = torch.from_numpy(slots).to(self.pending_K.device)

        def rows(tensor: Tensor) -> NDArray[Any]:
            return tensor[where, first:last].cpu().numpy()

        others = None
        if alternatives:
            others = Alternatives(rows(self.alternative_ids_KS), rows(self.alternative_logprobs_KS))
        return Record(first, rows(self.ids_KS).astype(np.int32), rows(self.stats_KS2), others)

    def stop(self, slot: int) -> None:
        """Let ``slot`` decode no more."""
        self.running_K[slot] = 0
        self.host_running_K[slot] = False

    def mix(self) -> Mix:
        """Return which kinds of sampling the running slots ask for."""
        temperature = self.host_temperature_K[self.host_running_K]
        top_p = self.host_top_p_K[self.host_running_K]
        drawn = temperature > 0
        alternatives = self.host_alternatives_K[self.host_running_K]
        return Mix(bool((~drawn).any()), bool(drawn.any()), bool((drawn & (top_p < 1)).any()), bool(alternatives.any()))

    def move(self, source: int, target: int) -> None:
        """Carry everything about slot ``source`` to ``target``; ``source`` no longer runs."""
        for column in vars(self).values():
            column[target] = column[source]
        self.stop(source)
