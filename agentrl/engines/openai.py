"""Chat with any server that speaks OpenAI's chat-completions protocol. For evaluation only: it returns no ids.

It is therefore no :class:`~agentrl.engines.base.Engine`: what it says cannot be trained on token by token.
"""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from agentrl.engines.base import SamplingParams
from agentrl.errors import EngineError


class ChatEngine:
    """A model behind ``POST {base_url}/chat/completions``.

    Args:
      base_url: up to and including the version, for instance ``http://localhost:8000/v1``.
      model: the name that the server knows it by.
      api_key: sent as a bearer token; None sends none.
      timeout_s: longest wait for one answer.
    """

    def __init__(self, base_url: str, model: str, *, api_key: str | None = None, timeout_s: float = 120.0) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise EngineError(f"base_url {base_url!r} must begin with http:// or https://")
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._model = model
        self._api_key = api_key
        self._timeout_s = timeout_s

    async def chat(self, messages: Sequence[Mapping[str, str]], params: SamplingParams) -> str:
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
        answer = await asyncio.to_thread(self._post, body)
        try:
            text = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            text = None
        if not isinstance(text, str):
            raise EngineError(f"{self._url} answered without a message: {json.dumps(answer)[:200]}")
        return text

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
            raise EngineError(f"{self._url} refused with status {error.code}: {detail}") from error
        except (OSError, ValueError) as error:
            raise EngineError(f"no answer from {self._url}: {error}") from error
