"""When a turn ends: one table row of codes per distinct stopping rule, looked up for a whole batch at once."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from agentrl.engines.base import SamplingParams
from agentrl.errors import EngineError
from agentrl.types import StopReason

GO_ON, END, MAYBE = 0, 1, 2
"""Codes of a sampled token: nothing, ends the turn, may have completed a stop string (the text must be looked at)."""


class StopRules:
    """The stopping rules met so far.

    Args:
      tokenizer: decodes text for stop strings; may be None if none are used.
      vocab_size: width of the logits.
      device: where the table lives.
    """

    def __init__(self, tokenizer: Any, vocab_size: int, device: torch.device) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._rules: dict[tuple[tuple[str, ...], tuple[int, ...]], int] = {}
        self._texts: list[str] | None = None
        self.codes_RV = torch.empty((0, vocab_size), dtype=torch.uint8, device=device)

    def index(self, params: SamplingParams) -> int:
        """Return the row of :attr:`codes_RV` for ``params``, made on first use.

        Raises:
          EngineError: a stop id lies outside the vocabulary, a stop string is empty, or there is no tokenizer.
        """
        key = (params.stop, params.stop_token_ids)
        if key not in self._rules:
            row = self._codes(params)
            self._rules[key] = len(self._rules)
            self.codes_RV = torch.cat([self.codes_RV, row.to(self.codes_RV.device)[None]])
        return self._rules[key]

    def reason(self, code: int, ids: NDArray[Any], params: SamplingParams, *, is_full: bool) -> StopReason | None:
        """Tell why a turn that sampled ``ids``, the last with ``code``, is over; None if it goes on.

        It ``is_full`` where no token more may be sampled, be it for its own limit or for the session's room.
        """
        if code == END:
            return StopReason.END
        if code == MAYBE and self.completed(ids, params.stop):
            return StopReason.STOP_STRING
        if not is_full:
            return None
        return StopReason.MAX_TOKENS if len(ids) == params.max_tokens else StopReason.CONTEXT_FULL

    def completed(self, ids: NDArray[Any], stop: tuple[str, ...]) -> bool:
        """Tell whether the text of ``ids`` (a turn so far, free of stop strings up to its last token) has one now.

        Only the tail is decoded: a string of n bytes spans at most n tokens before the one that completes it.
        """
        reach = max(len(text.encode()) for text in stop) + 1
        text = self._tokenizer.decode(ids[-reach:].tolist())
        return any(string in text for string in stop)

    def _codes(self, params: SamplingParams) -> Tensor:
        codes = torch.full((self._vocab_size,), GO_ON, dtype=torch.uint8)
        if params.stop:
            last = {string[-1:] for string in params.stop}
            if "" in last:
                raise EngineError("an empty stop string would end every turn: remove it from params.stop")
            maybe = [index for index, text in enumerate(self._token_texts()) if _may_complete(text, last)]
            codes[maybe] = MAYBE
        for token in params.stop_token_ids:
            if not 0 <= token < self._vocab_size:
                raise EngineError(f"stop token {token} lies outside the vocabulary of {self._vocab_size}")
            codes[token] = END
        return codes

    def _token_texts(self) -> list[str]:
        if self._tokenizer is None:
            raise EngineError("stop strings need a tokenizer: give the engine one, or use stop_token_ids")
        if self._texts is None:
            size = min(self._vocab_size, len(self._tokenizer))
            self._texts = [self._tokenizer.decode([index]) for index in range(size)]
        return self._texts


def _may_complete(text: str, last: set[str]) -> bool:
    """Tell whether a token with this text can hold the last character of a stop string.

    A token may be a part of a character (shown as U+FFFD) or white space that decoding alone drops.
    """
    if text == "" or ("\N{REPLACEMENT CHARACTER}" in text and any(not char.isascii() for char in last)):
        return True
    return any(char in text for char in last)
