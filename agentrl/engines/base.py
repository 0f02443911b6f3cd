"""The engine protocol: token ids in, token ids with log-probs and entropies out, state kept across turns."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agentrl.errors import ConfigError, EngineError
from agentrl.types import StopReason


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to sample one turn.

    Attributes:
      max_tokens: most tokens to sample in the turn.
      temperature: softmax temperature; 0 is greedy.
      top_p: nucleus mass; 1 samples from the full distribution.
      stop: strings that end the turn once the sampled text holds one of them; the token that completes it is kept
        whole, so the text may go on behind it.
      stop_token_ids: ids that end the turn (the end-of-message token, usually).
      alternatives: report for each token the best one that was not sampled.

    Raises:
      ConfigError: a value is out of range.
    """

    max_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    alternatives: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if not self.temperature >= 0:
            raise ConfigError(f"temperature must not be negative, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be in (0, 1], got {self.top_p}")


@dataclass(frozen=True, slots=True)
class Alternatives:
    """For each sampled token the most probable token that was not sampled in its place.

    The most probable of all is therefore that token or the sampled one, whichever has the higher log-probability.

    Attributes:
      ids: shape (K,).
      logprobs: under the distribution that the sampled tokens' log-probabilities belong to, shape (K,).
    """

    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Completion:
    """What one turn sampled.

    Attributes:
      ids: sampled ids, the stopping token included, shape (K,).
      logprobs: natural log-probability of each under the temperature-scaled full distribution (before top-p),
        the distribution whose gradient the trainer takes, shape (K,).
      entropies: exact entropy of that distribution in nats, shape (K,).
      stop_reason: why sampling stopped.
      policy_version: version of the weights that sampled it.
      alternatives: the runners-up, where ``SamplingParams.alternatives`` asked for them; else None.
    """

    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    entropies: NDArray[np.float32]
    stop_reason: StopReason
    policy_version: int
    alternatives: Alternatives | None = None


class Engine(Protocol):
    """A language model that keeps the state of many conversations (sessions) across turns.

    Sessions are independent: what a session samples depends on its ids and its seed alone, not on what else is
    being served (up to floating-point differences between batch shapes).
    """

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer (``transformers.PreTrainedTokenizerBase``)."""

    @property
    def max_context(self) -> int:
        """Most tokens one session can hold."""

    def open(self, seed: int) -> int:
        """Begin an empty session whose sampling is seeded by ``seed``; return its handle."""

    def fork(self, session: int, seed: int, *, length: int | None = None) -> int:
        """Begin a session that continues from the first ``length`` ids of ``session``, with a seed of its own.

        ``length`` counts every id fed or sampled so far; None takes all of them. So whether to branch can be decided
        after a turn was sampled: ``length`` is then what the session held right after the observation was fed. With
        the seed of ``session`` the fork samples the same tokens.

        Raises:
          EngineError: unknown session, or ``length`` is not in 1 to the number of ids held.
        """

    def release(self, session: int) -> None:
        """Forget a session."""

    async def generate(self, session: int, new_ids: NDArray[np.int32], params: SamplingParams) -> Completion:
        """Append ``new_ids`` (the observation) to the session and sample a turn.

        Everything fed or sampled before is kept: only ``new_ids`` is computed.

        Raises:
          EngineError: unknown session, empty prompt, or no room to sample a token after ``new_ids``.
        """


def check_fork_length(length: int | None, held: int) -> int:
    """Return how many of the ``held`` ids of a session its fork takes.

    Raises:
      EngineError: ``length`` is not in 1 to ``held``.
    """
    if length is None:
        return held
    if not 1 <= length <= held:
        raise EngineError(f"cannot fork after {length} ids: the session holds {held}, so length is from 1 to {held}")
    return length
