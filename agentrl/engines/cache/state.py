"""The sampling state of every slot, kept in tensors so that a decoding step costs the same for one row or a thousand.

Axes: ``_K`` slots, ``_S`` context positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agentrl.engines.base import SamplingParams
from agentrl.engines.sampling import Mix


@dataclass(frozen=True, slots=True)
class TurnStart:
    """A slot that decodes from ``length`` cached positions and a ``pending`` token until it holds ``end``."""

    slot: int
    pending: int
    length: int
    end: int
    rule: int
    params: SamplingParams


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
