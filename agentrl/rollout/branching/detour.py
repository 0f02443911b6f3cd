"""A turn that leaves another one in the middle: its beginning, its rest, and where it must stop."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agentrl.engines.base import Alternatives, Completion, SamplingParams
from agentrl.errors import EngineError
from agentrl.types import StopReason


class PrunedError(Exception):
    """The sampler does not want the turn.

    Attributes:
      after: tokens after which it was too much like the turn that it left.
      num_tokens: sampled for it in vain.
    """

    def __init__(self, after: int, num_tokens: int) -> None:
        super().__init__(f"pruned {after} tokens after the fork")
        self.after = after
        self.num_tokens = num_tokens


@dataclass(frozen=True, slots=True)
class Detour:
    """How a path leaves its parent inside a turn: at ``token`` it says the runner-up of what ``turn`` says there.

    Attributes:
      turn: the parent's, with alternatives.
      token: index of the token that is replaced.
      look: given the whole new turn, tells after how many tokens it is too much like ``turn``; None keeps it.
    """

    turn: Completion
    token: int
    look: Callable[[Completion], int | None]

    def head(self) -> Completion:
        """Return the turn up to the forced token, as if it had been sampled; its stop reason says nothing yet.

        The forced token's log-probability is the policy's, its entropy that of the distribution both tokens belong to,
        its alternative the token it replaces.

        Raises:
          EngineError: the turn has no alternatives.
        """
        turn, k, others = self.turn, self.token, self.turn.alternatives
        if others is None:
            raise EngineError("a fork inside a turn needs the runners-up of its tokens, and the engine reports none")
        return Completion(
            np.append(turn.ids[:k], others.ids[k]),
            np.append(turn.logprobs[:k], others.logprobs[k]),
            turn.entropies[: k + 1],
            StopReason.MAX_TOKENS,
            turn.policy_version,
            Alternatives(np.append(others.ids[:k], turn.ids[k]), np.append(others.logprobs[:k], turn.logprobs[k])),
        )


def reason_to_stop(head: Completion, params: SamplingParams, tokenizer: Any) -> StopReason | None:
    """Tell why a turn is over after its forced token, as an engine would have; None if it goes on."""
    if int(head.ids[-1]) in params.stop_token_ids:
        return StopReason.END
    if _has_stop(head, len(head.ids), params, tokenizer):
        return StopReason.STOP_STRING
    return StopReason.MAX_TOKENS if len(head.ids) >= params.max_tokens else None


def join(head: Completion, rest: Completion, params: SamplingParams, tokenizer: Any) -> Completion:
    """Return the whole turn, which ends where a stop string that begins in the head is completed in the rest.

    The engine looks for stop strings in the rest alone, and so samples on behind one that spans the joint.
    """
    whole = replace(
        rest,
        ids=np.concatenate([head.ids, rest.ids]),
        logprobs=np.concatenate([head.logprobs, rest.logprobs]),
        entropies=np.concatenate([head.entropies, rest.entropies]),
        alternatives=_chain(head.alternatives, rest.alternatives),
    )
    last = min(len(whole.ids), len(head.ids) + _reach(params))
    for length in range(len(head.ids) + 1, last + 1):
        if _has_stop(whole, length, params, tokenizer):
            is_end = length == len(whole.ids) and rest.stop_reason is StopReason.END
            return _cut(whole, length, StopReason.END if is_end else StopReason.STOP_STRING)
    return whole


def _has_stop(turn: Completion, length: int, params: SamplingParams, tokenizer: Any) -> bool:
    """Tell whether the last of the first ``length`` tokens completes a stop string."""
    if not params.stop:
        return False
    text = tokenizer.decode(turn.ids[max(0, length - _reach(params)) : length].tolist())
    return any(string in text for string in params.stop)


def _reach(params: SamplingParams) -> int:
    """Return how many tokens a stop string can span: one more than its bytes, as decoding may need one in front."""
    return max((len(text.encode()) + 1 for text in params.stop), default=0)


def _chain(one: Alternatives | None, other: Alternatives | None) -> Alternatives | None:
    if one is None or other is None:
        return None
    return Alternatives(np.concatenate([one.ids, other.ids]), np.concatenate([one.logprobs, other.logprobs]))


def _cut(turn: Completion, length: int, reason: StopReason) -> Completion:
    others = turn.alternatives
    return Completion(
        turn.ids[:length],
        turn.logprobs[:length],
        turn.entropies[:length],
        reason,
        turn.policy_version,
        others and Alternatives(others.ids[:length], others.logprobs[:length]),
    )
