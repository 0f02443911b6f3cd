"""The chat client against a small server in a thread."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentrl.engines.base import SamplingParams
from agentrl.engines.openai import ChatEngine
from agentrl.errors import EngineError


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked; the model's name picks a way to fail."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = json.dumps({"path": self.path, "key": self.headers.get("Authorization"), "body": body})
        answers: dict[str, tuple[int, str]] = {
            "echo": (200, json.dumps({"choices": [{"message": {"content": said}}]})),
            "empty": (200, json.dumps({"choices": []})),
            "garbled": (200, "<html>"),
            "busy": (503, "try later"),
        }
        status, text = answers[body["model"]]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


MESSAGES = [{"role": "user", "content": "look"}]


def test_sends_the_conversation_and_returns_the_message(url: str) -> None:
    engine = ChatEngine(url + "/", "echo", api_key="k")

    async def run() -> list[str]:
        params = [SamplingParams(7, 0.5, 0.9, ("</action>",)), SamplingParams(8)]
        return await asyncio.gather(*(engine.chat(MESSAGES, p) for p in params))

    first, second = (json.loads(text) for text in asyncio.run(run()))
    assert (first["path"], first["key"]) == ("/v1/chat/completions", "Bearer k")
    assert first["body"] == {
        "model": "echo",
        "messages": MESSAGES,
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["</action>"],
    }
    assert "stop" not in second["body"]


@pytest.mark.parametrize(
    ("model", "match"), [("empty", "without a message"), ("garbled", "no answer"), ("busy", "status 503: try later")]
)
def test_failures_are_told(url: str, model: str, match: str) -> None:
    with pytest.raises(EngineError, match=match):
        asyncio.run(ChatEngine(url, model).chat(MESSAGES, SamplingParams()))


def test_an_absent_server_is_told() -> None:
    with pytest.raises(EngineError, match="no answer from"):
        asyncio.run(ChatEngine("http://127.0.0.1:9", "echo", timeout_s=2).chat(MESSAGES, SamplingParams()))


def test_misuse_is_refused() -> None:
    with pytest.raises(EngineError, match="must begin with"):
        ChatEngine("localhost:8000", "echo")
    with pytest.raises(EngineError, match="stop strings"):
        asyncio.run(ChatEngine("http://127.0.0.1:9", "m").chat(MESSAGES, SamplingParams(stop_token_ids=(1,))))
