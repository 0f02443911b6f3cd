"""Evaluating a served model against a small server in a thread, at the boundary of the network."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agentrl
from agentrl.context.text import TextChat
from agentrl.engines import openai
from agentrl.engines.text import END_ID, ids_of, text_of
from agentrl.errors import AgentrlError, ConfigError
from agentrl.trainer.config import parse_config
from agentrl.trainer.loop import run_evaluation, run_training
from tests.agentrl.trainer.tiny import tiny_tree

ROOM = "mine/ServedRoom-v0"


class Room(agentrl.TextEnv):
    """Say the word that you were told two turns ago."""

    def __init__(self, **options: Any) -> None:
        from agentrl.tasks import DrawnTasks

        words = DrawnTasks(lambda rng: int(rng.integers(100)), {"train": 4, "valid_unseen": 4})
        super().__init__(words, max_turns=3, **options)

    def _start(self, task: Any, rng: Any) -> str:
        self.number, self.turn = self.tasks.load(task.id), 0
        return f"The number is {self.number}."

    def _advance(self, action: str) -> agentrl.TurnResult:
        self.turn += 1
        if self.turn < 2:
            return agentrl.advance("Wait.")
        right = action == str(self.number)
        return agentrl.finish("Done.", reward=float(right), success=right)

    def _admissible_actions(self) -> list[str]:
        return [str(self.number), "wait"]

    def _anchor_key(self) -> tuple[int, int]:
        return self.number, self.turn

    def _get_state(self) -> tuple[int, int]:
        return self.number, self.turn

    def _set_state(self, state: tuple[int, int]) -> None:
        self.number, self.turn = state

    def _solve(self) -> list[str]:
        return ["wait", str(self.number)][self.turn :]


agentrl.register(ROOM, f"{__name__}:Room")


class Handler(BaseHTTPRequestHandler):
    """Remembers the number of the first message. Every fifth request is refused, once with a wish to wait."""

    asked: list[dict[str, Any]] = []  # noqa: RUF012  of one server at a time
    times: list[float] = []  # noqa: RUF012
    is_down = False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body | {"key": self.headers.get("Authorization")})
        self.times.append(time.monotonic())
        status, content = 200, json.dumps(self.answer(body))
        if self.is_down or len(self.asked) % 5 == 0:
            status, content = 429, "slow down"
        self.send_response(status)
        self.send_header("Retry-After", "0.01")
        self.end_headers()
        self.wfile.write(content.encode())

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        users = [message["content"] for message in body["messages"] if message["role"] == "user"]
        number = users[0].removeprefix("The number is ").rstrip(".")
        text = f"<think>é</think><action>{number}</action> and so on"
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(openai, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(Handler, "times", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def tree(directory: Path, url: str, **engine: Any) -> dict[str, Any]:
    return tiny_tree(
        directory,
        env={"id": ROOM, "kwargs": {}},
        context={"protocol": "tags"},
        engine={"kind": "openai", "base_url": url, "model": "m", "price_in": 1.0, "price_out": 5.0, **engine},
        eval={"tasks": 4},
    )


def test_a_served_model_is_evaluated(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two turns an episode; refusals are asked again; tokens and their price are counted."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    out = tmp_path / "evaluation.json"
    assert run_evaluation(parse_config(tree(tmp_path / "run", url)), None, out=out) == 0
    written = json.loads(out.read_text())
    assert written["policy"] == "m" and written["modes"]["greedy"]["success"] == 1.0
    answered = 4 * 2 * 2  # tasks, turns, sampled and greedy
    refused = len(Handler.asked) - answered
    assert refused == len(Handler.asked) // 5 > 0
    expected = {"requests": answered + refused, "retries": refused, "prompt_tokens": 160, "completion_tokens": 32}
    assert written["usage"] == expected | {"cost": pytest.approx((160 + 5 * 32) / 1e6)}
    last = Handler.asked[-1]
    assert (last["temperature"], last["key"], last["model"]) == (0.0, "Bearer secret", "m")
    assert [message["role"] for message in last["messages"]] == ["system", "user", "assistant", "user"]
    assert last["messages"][2]["content"].endswith("</action>"), "what is behind the action is dropped"
    assert "secret" not in out.read_text() and not (tmp_path / "run").exists()


def test_the_rate_is_kept(url: str, tmp_path: Path) -> None:
    modes = agentrl.evaluate(
        tree(tmp_path, url, requests_per_minute=1200) | {"eval": {"tasks": 2, "greedy": False}}, None
    )
    assert modes["sampled"]["tasks"] == 2
    assert np.diff(sorted(Handler.times)).sum() >= 0.05 * (len(Handler.times) - 1) * 0.8


def test_a_server_that_is_down_is_no_failure_of_the_model(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "is_down", True)
    with pytest.raises(AgentrlError, match="slow down"):
        agentrl.evaluate(tree(tmp_path, url, retries=1) | {"eval": {"tasks": 1, "greedy": False}})


def test_what_a_server_cannot_do_is_refused(tmp_path: Path) -> None:
    config = tree(tmp_path, "http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match="cannot train: a server gives neither token ids nor gradients"):
        run_training(parse_config(config))
    with pytest.raises(ConfigError, match="leave the policy out"):
        run_evaluation(parse_config(config), "folder")
    with pytest.raises(ConfigError, match="use append or window"):
        run_evaluation(parse_config(config | {"context": {"kind": "inline"}}), None)
    with pytest.raises(ConfigError, match="kind openai needs base_url"):
        parse_config(config | {"engine": {"kind": "openai"}})
    with pytest.raises(ConfigError, match="has no use for top_logprobs: remove it, or choose kind vllm"):
        parse_config(config | {"engine": {**config["engine"], "top_logprobs": 5}})
    with pytest.raises(ConfigError, match="has no use for model: remove it, or choose kind openai"):
        parse_config(config | {"engine": {"model": "m"}})


def test_text_as_ids() -> None:
    chat = TextChat("s")
    np.testing.assert_array_equal(chat.opening("é", "!"), [0xC3, 0xA9, ord("!")])
    np.testing.assert_array_equal(chat.following("x", ended=False), [END_ID, ord("x")])
    assert chat.decode(ids_of("né", ended=True)) == "né" and chat.has_ended(ids_of("n", ended=True))
    assert text_of(ids_of("\ud800")) == "?"
