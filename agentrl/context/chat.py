"""The token pieces of a chat template, so that a conversation grows by appending ids and is never re-encoded."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.context.memory import Memory
from agentrl.errors import DataError

# Plain letters and digits: no template escapes, trims or interprets them.
_SENTINELS = tuple(f"qzSentinel{i}zq" for i in range(5))

MEMORY_BYTES = 128 * 2**20
"""Bound of what a chat format remembers: observations and actions repeat a lot."""


class ChatFormat:
    """How a tokenizer's chat template joins messages, as ids.

    A conversation is ``opening(u0) + a0 + following(u1) + a1 + following(u2) + ...`` where ``u`` are the users' (the
    environment's) texts and ``a`` the sampled ids. Each piece is tokenised on its own and the ids are concatenated:
    what was sampled stays as it was sampled. Special tokens that occur inside an environment's text are encoded as
    plain text, so that a world cannot forge the end of a message.

    Args:
      tokenizer: a ``transformers.PreTrainedTokenizerBase`` with a chat template.
      system: the system message; None leaves it to the template.
      memory_bytes: bound of what is remembered of texts and their ids, half of it for reading, half for writing.

    Attributes:
      end_id: the token that ends an assistant's message.

    Raises:
      DataError: the tokenizer has no chat template, or the template is not prefix-preserving: a conversation that
        goes on does not begin with the conversation so far (some templates rewrite earlier messages).
    """

    def __init__(self, tokenizer: Any, system: str | None = None, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.tokenizer = tokenizer
        self.system = system
        prefix, to_assistant, to_user = template_pieces(tokenizer, system)
        self._prefix = self._template_ids(prefix)
        self._to_assistant = self._template_ids(to_assistant)
        self.end_id, self._to_user = self._split_end(self._template_ids(to_user))
        self._end = _frozen([self.end_id])
        self._encode = Memory(self._encode_text, memory_bytes // 2)
        self._decode = Memory(self._decode_bytes, memory_bytes // 2)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Ids that end a sampled turn."""
        return (self.end_id,)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the ids of a piece of plain text, read-only, shape (L,). Remembered."""
        return self._encode(text)

    def decode(self, ids: NDArray[np.int32]) -> str:
        """Return the text of sampled ids without special tokens: for parsing and reading, never to be encoded."""
        return self._decode(np.asarray(ids, np.int32).tobytes())

    def opening(self, *pieces: str) -> NDArray[np.int32]:
        """Return the ids of a conversation's first user message (``pieces``, joined), up to where sampling begins."""
        return np.concatenate([self._prefix, *map(self._encode, pieces), self._to_assistant])

    def following(self, *pieces: str, ended: bool) -> NDArray[np.int32]:
        """Return the ids between a sampled message and the next: its end, and the next user message.

        Args:
          pieces: the user's text, in pieces tokenised separately.
          ended: whether the sampled message already ends with the end-of-message token.
        """
        end = () if ended else (self._end,)
        return np.concatenate([*end, self._to_user, *map(self._encode, pieces), self._to_assistant])

    def foretold(self, ids: NDArray[np.int32], text: str, room: int) -> tuple[NDArray[np.int32], slice]:
        """Return a conversation's ids with ``text`` put before the first user's words, and where it stands in them.

        No more than ``room`` tokens of it; nothing else is changed.
        """
        at, told = len(self._prefix), self._encode(text)[: max(0, room)]
        return np.concatenate([ids[:at], told, ids[at:]]), slice(at, at + len(told))

    def message(self, text: str, *, ended: bool = True) -> NDArray[np.int32]:
        """Return the ids a policy would sample to say ``text``, with the end-of-message token if ``ended``."""
        return np.concatenate([self._encode(text), self._end]) if ended else self._encode(text)

    def has_ended(self, ids: NDArray[np.int32]) -> bool:
        """True if sampled ids end with the end-of-message token."""
        return len(ids) > 0 and int(ids[-1]) == self.end_id

    def _encode_text(self, text: str) -> NDArray[np.int32]:
        return _frozen(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def _decode_bytes(self, raw: bytes) -> str:
        ids = np.frombuffer(raw, np.int32).tolist()
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _template_ids(self, text: str) -> NDArray[np.int32]:
        return _frozen(self.tokenizer.encode(text, add_special_tokens=False) if text else [])

    def _split_end(self, ids: NDArray[np.int32]) -> tuple[int, NDArray[np.int32]]:
        """Return the end-of-message id and the rest of the glue from the assistant's text to the next user's."""
        added = self.tokenizer.added_tokens_decoder.items()
        special = {*self.tokenizer.all_special_ids, *(i for i, token in added if token.special)}
        first = next((i for i, token in enumerate(ids) if int(token) in special), None)
        if first is None or self.tokenizer.decode(ids[:first].tolist()).strip():
            raise DataError(
                "the chat template ends an assistant's message with "
                f"{self.tokenizer.decode(ids.tolist())!r}, which does not begin with a special token: "
                "sampling could not stop there. Mark the end-of-message token as special"
            )
        return int(ids[first]), ids[first + 1 :]


def template_pieces(tokenizer: Any, system: str | None = None) -> tuple[str, str, str]:
    """Return a chat template's text before the first user text, from user to assistant, and from assistant to user.

    Found by rendering conversations of sentinel texts of one and three user messages.

    Raises:
      DataError: as for :class:`ChatFormat`.
    """
    long = _render(tokenizer, system, 3)
    parts = re.split("|".join(_SENTINELS), long)
    found = re.findall("|".join(_SENTINELS), long)
    if tuple(found) != _SENTINELS:
        raise DataError(f"the chat template drops, repeats or reorders messages: it renders {long!r}")
    prefix, to_assistant, to_user = parts[:3]
    short = _render(tokenizer, system, 1)
    if parts != [prefix, *(to_assistant, to_user) * 2, to_assistant] or short != prefix + _SENTINELS[0] + to_assistant:
        raise DataError(
            "the chat template is not prefix-preserving: one message renders as "
            f"{short!r}, and five as {long!r}. Give the tokenizer a template that leaves earlier messages as they are"
        )
    return prefix, to_assistant, to_user


def strips_thoughts(tokenizer: Any) -> bool:
    """Return whether a chat template drops ``<think>…</think>`` from messages that others follow.

    Then who serves the model by that template shows it fewer of its own words than a conversation that grows token by
    token does.
    """
    first, thought, said, last = _SENTINELS[:4]
    messages = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": f"<think>\n{thought}\n</think>\n\n{said}"},
        {"role": "user", "content": last},
    ]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except Exception:  # a template is a program: another message says what it cannot do
        return False
    return said in text and thought not in text


def _render(tokenizer: Any, system: str | None, num_user: int) -> str:
    messages = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    messages += [{"role": roles[i % 2], "content": _SENTINELS[i]} for i in range(2 * num_user - 1)]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except Exception as error:  # a template is a program: it may raise anything
        held, cure = ("without", "") if system is None else ("with", _cure(tokenizer, num_user))
        raise DataError(
            f"the tokenizer cannot render a conversation of {num_user} user messages {held} a system message: "
            f"{error}{cure}"
        ) from error


def _cure(tokenizer: Any, num_user: int) -> str:
    """Return what to do about a system message that a template refuses, as those of Gemma and early Mistrals do."""
    try:
        _render(tokenizer, None, num_user)
    except DataError:
        return ""
    return (
        ". Its template has no system role: set context.system='' to send none, and let the environment's first "
        "observation say what the protocol's instructions would"
    )


def _frozen(ids: Any) -> NDArray[np.int32]:
    array = np.asarray(ids, np.int32)
    array.flags.writeable = False
    return array
