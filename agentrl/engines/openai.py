"""Chat with any server that speaks OpenAI's chat-completions protocol. For evaluation only: it returns no ids.

It is therefore no :class:`~agentrl.engines.base.Engine`: what it says cannot be trained on token by token.
"""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from agentrl.engines.base import SamplingParams
from agentrl.errors import EngineError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses before a request is sent again: twice as long each time, or as the server asks."""

_PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""Refusals that may pass: busy, overloaded, restarted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the server.

    Attributes:
      text: the assistant's message.
      is_cut_off: it ended at ``max_tokens``.
    """

    text: str
    is_cut_off: bool


@dataclass(slots=True)
class Usage:
    """What was asked of a server so far: requests sent again, and tokens as the server counts them."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, price_in: float, price_out: float) -> float:
        """Return the price of the tokens at so much per million read, and per million written."""
        return (self.prompt_tokens * price_in + self.completion_tokens * price_out) / 1e6


class _Refused(EngineError):
    """A request failed in a way that may pass."""

    def __init__(self, message: str, pause_s: float | None) -> None:
        super().__init__(message)
        self.pause_s = pause_s


class ChatEngine:
    """A model behind ``POST {base_url}/chat/completions``.

    Args:
      base_url: up to and including the version, for instance ``http://localhost:8000/v1``.
      model: the name that the server knows it by.
      api_key: sent as a bearer token; None sends none.
      timeout_s: longest wait for one answer.
      retries: how often a request is sent again that got no answer, or one that may pass (429, 5xx).
      requests_per_minute: most that are begun in a minute, evenly spaced; None for no bound.
      connections: most requests at a time.

    Attributes:
      usage: what was asked so far.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        retries: int = 0,
        requests_per_minute: float | None = None,
        connections: int = 32,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise EngineError(f"base_url {base_url!r} must begin with http:// or https://")
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._model = model
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._retries = retries
        self._spacing_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._next_at = 0.0
        self._threads = ThreadPoolExecutor(connections, "agentrl-chat")
        self.usage = Usage()

    async def chat(self, messages: Sequence[Mapping[str, str]], params: SamplingParams) -> str:
        """Return the text of :meth:`reply`."""
        return (await self.reply(messages, params)).text

    async def reply(self, messages: Sequence[Mapping[str, str]], params: SamplingParams) -> Reply:
        """Return the assistant's next message. Requests run in threads, so many can wait at a time.

        Stop strings are the server's to apply; most leave them out of the text.

        Raises:
          EngineError: ``params`` has stop ids (the protocol knows strings only), the server cannot be reached or
            refuses, or its answer holds no text.
        """
        if params.stop_token_ids:
            raise EngineError("a chat server takes stop strings, not stop_token_ids: use params.stop")
        body = {
            "model": self._model,
            "messages": [dict(message) for message in messages],
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            **({"stop": list(params.stop)} if params.stop else {}),
        }
        answer = await self._asked(body)
        try:
            choice = answer["choices"][0]
            text, reason = choice["message"]["content"], choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            text, reason = None, None
        if not isinstance(text, str):
            raise EngineError(f"{self._url} answered without a message: {json.dumps(answer)[:200]}")
        self._count(answer)
        return Reply(text, reason == "length")

    def close(self) -> None:
        """Let go of the threads that wait for answers."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _asked(self, body: dict[str, Any]) -> Any:
        """Send a request, and again after what may pass; return the answer."""
        pause_s = FIRST_PAUSE_S
        for left in reversed(range(self._retries + 1)):
            await self._wait_for_turn()
            self.usage.requests += 1
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._post, body)
            except _Refused as error:
                if not left:
                    raise
                self.usage.retries += 1
                await asyncio.sleep(min(LONGEST_PAUSE_S, pause_s if error.pause_s is None else error.pause_s))
                pause_s *= 2
        raise AssertionError("the last attempt returns or raises")

    async def _wait_for_turn(self) -> None:
        """Keep the rate: each request takes the next free place in time."""
        now = time.monotonic()
        place = max(now, self._next_at)
        self._next_at = place + self._spacing_s
        if place > now:
            await asyncio.sleep(place - now)

    def _count(self, answer: Any) -> None:
        used = answer.get("usage") if isinstance(answer, dict) else None
        if isinstance(used, dict):
            self.usage.prompt_tokens += int(used.get("prompt_tokens") or 0)
            self.usage.completion_tokens += int(used.get("completion_tokens") or 0)

    def _post(self, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                detail = error.read(200).decode(errors="replace")
            message = f"{self._url} refused with status {error.code}: {detail}"
            if error.code in _PASSING:
                raise _Refused(message, _seconds(error.headers.get("Retry-After"))) from error
            raise EngineError(message) from error
        except (OSError, ValueError) as error:
            raise _Refused(f"no answer from {self._url}: {error}", None) from error


def _seconds(text: str | None) -> float | None:
    """Return what a server asks to wait; None where it asks for nothing that is a number."""
    try:
        return max(0.0, float(text or ""))
    except ValueError:
        return None
