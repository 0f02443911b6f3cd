"""The record of an episode, token by token, and the words used for it.

Vocabulary, one meaning each:

- *turn* t in 0..T-1: one policy message and the environment's reply; one call of ``TextEnv.step``.
- *update*: one optimiser step. *Iteration*: collect, assign credit, update.
- *trajectory*: the recorded data of one episode. *Rollout*: the act of producing trajectories.
- *group*: trajectories started from the same task and the same initial state.
- *anchor state*: a state that occurs in two or more turns of one group.
- *behavior log-probs*: the sampler's; *old*: before this update's first pass; *ref*: of a frozen reference.
- *action mask*: True on tokens that the policy sampled.

Axis suffixes: ``_N`` turns flattened over a batch, ``_T`` turns of one trajectory, ``_L`` token positions.
"""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.env import Outcome


class StopReason(StrEnum):
    """Why the engine stopped sampling."""

    END = "end"
    """An end-of-message token was sampled; it is part of the completion."""
    STOP_STRING = "stop_string"
    """The text ends with one of the stop strings."""
    MAX_TOKENS = "max_tokens"
    """The turn's token budget is spent."""
    CONTEXT_FULL = "context_full"
    """The session has no room for another token."""


@dataclass(slots=True)
class TokenSequence:
    """One training sequence: exactly the ids the engine saw and produced, never decoded and encoded again.

    All arrays have shape (L,). A trajectory has one sequence (context `append`) or one per turn (`window`).
    """

    ids_L: NDArray[np.int32]
    action_mask_L: NDArray[np.bool_]
    behavior_logprobs_L: NDArray[np.float32]
    """Natural-log probability of each sampled token under the sampling distribution; 0 elsewhere."""
    entropies_L: NDArray[np.float32]
    """Entropy (nats) of the distribution that each sampled token was drawn from; 0 elsewhere."""
    turns_L: NDArray[np.int32]
    """Turn that sampled the token; -1 where the token was not sampled."""

    def __len__(self) -> int:
        return len(self.ids_L)

    def common_prefix(self, other: "TokenSequence") -> int:
        """Return how many tokens at the start are the same in both, bit for bit in every column."""
        length = min(len(self), len(other))
        differs_L = np.zeros(length, np.bool_)
        for column in fields(self):
            one, two = (np.ascontiguousarray(getattr(sequence, column.name)[:length]) for sequence in (self, other))
            bits = f"u{one.itemsize}"  # so that NaN is NaN, and 0 is not -0
            differs_L |= one.view(bits) != two.view(bits)
        return int(differs_L.argmax()) if differs_L.any() else length


@dataclass(slots=True)
class Turn:
    """One policy message and the environment's reply."""

    index: int
    observation: str
    """What the policy saw before acting."""
    response: str
    """The policy's whole message, decoded for reading only."""
    action: str
    """What was sent to the environment."""
    action_valid: bool
    """False if the message could not be parsed or the environment found the action impossible."""
    reward: float
    anchor: str
    """Digest of the state before the action: equal iff the environment's anchor keys are equal."""
    terminated: bool = False
    truncated: bool = False
    stop_reason: StopReason = StopReason.END
    num_tokens: int = 0
    """Tokens sampled in this turn."""
    mean_entropy: float = 0.0
    policy_version: int = 0


@dataclass(frozen=True, slots=True)
class BranchPoint:
    """Where a trajectory was forked from another: its turns before ``turn`` are the parent's."""

    parent: str
    turn: int


@dataclass(slots=True)
class Trajectory:
    """The recorded data of one episode."""

    id: str
    group: str
    """Trajectories with equal group started from the same task and the same initial state."""
    task_id: str
    seed: int
    turns: list[Turn] = field(default_factory=list)
    sequences: list[TokenSequence] = field(default_factory=list)
    outcome: Outcome = Outcome.TRUNCATED
    outcome_reason: str = ""
    success: bool = False
    score: float = 0.0
    parent: BranchPoint | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """JSON-serialisable notes of samplers and environments."""
    final_observation: str = ""
    """What the world said last, to which nobody answered; "" in records of earlier versions."""
    final_anchor: str = ""
    """Digest of the state in which the episode ended, as in turns; "" where it is not known."""
    answer: str | None = None
    """The right answer, where the environment tells it (`agentrl.env.Info`); the policy did not see it."""
    kept_turns: int = 0
    """Turns at the beginning that were taken over: a parent's, or those of an attempt that an accident ended."""

    @property
    def own_turns(self) -> list[Turn]:
        """The turns that were played for this record: over the records of a rollout, each once.

        A branch's begin where it was forked.
        """
        return self.turns[max(self.kept_turns, 0 if self.parent is None else self.parent.turn) :]

    @property
    def env_steps(self) -> int:
        """Environment steps (tool calls) that this record cost."""
        return len(self.own_turns)

    @property
    def total_reward(self) -> float:
        """Undiscounted sum of the rewards."""
        return float(sum(turn.reward for turn in self.turns))

    @property
    def num_tokens(self) -> int:
        """Tokens the policy sampled."""
        return sum(turn.num_tokens for turn in self.turns)
