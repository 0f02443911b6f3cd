"""Context policies: what is fed, what is trained on."""

from typing import Any

import numpy as np
import pytest

from agentrl.context import AppendContext, Context, Conversation, WindowContext, make_context
from agentrl.engines.base import Completion
from agentrl.env import Info
from agentrl.errors import ConfigError
from agentrl.types import StopReason
from tests.agentrl.rollout.toys import byte_tokenizer


def say(context: Context, text: str, *, ended: bool = True) -> Completion:
    ids = context.chat.message(text, ended=ended)
    noise = np.linspace(0.1, 0.9, len(ids), dtype=np.float32)
    return Completion(ids, -noise, noise, StopReason.END, 1)


def turn(context: Context, talk: Conversation, seen: str, said: str, info: Info | None = None) -> str:
    feed = talk.feed(seen, info or {})
    talk.record(feed, seen, say(context, said), said)
    return str(context.chat.tokenizer.decode(feed.ids.tolist()))


@pytest.fixture
def tokenizer() -> Any:
    return byte_tokenizer()


def test_append_feeds_only_what_is_new(tokenizer: Any) -> None:
    context = make_context(tokenizer)
    talk = context.begin()
    assert turn(context, talk, "room 1", "north") == "<|user|>room 1<|assistant|>"
    assert turn(context, talk, "room 2", "south") == "<|user|>room 2<|assistant|>"
    (sequence,) = talk.sequences()
    text = "<|user|>room 1<|assistant|>north<|end|><|user|>room 2<|assistant|>south<|end|>"
    assert tokenizer.decode(sequence.ids_L.tolist()) == text


def test_append_closes_a_message_that_was_cut_off(tokenizer: Any) -> None:
    context = make_context(tokenizer)
    talk = context.begin()
    feed = talk.feed("room 1", {})
    talk.record(feed, "room 1", say(context, "nor", ended=False), "nor")
    feed = talk.feed("what?", {})
    assert tokenizer.decode(feed.ids.tolist()) == "<|end|><|user|>what?<|assistant|>"
    talk.record(feed, "what?", say(context, "north"), "north")
    (sequence,) = talk.sequences()
    ends = np.flatnonzero(sequence.ids_L == context.chat.end_id)
    assert sequence.action_mask_L[ends].tolist() == [False, True]


def test_the_mask_marks_exactly_what_was_sampled(tokenizer: Any) -> None:
    context = make_context(tokenizer)
    talk = context.begin()
    turn(context, talk, "room 1", "north")
    turn(context, talk, "room 2", "go")
    (sequence,) = talk.sequences()
    mask = sequence.action_mask_L
    assert sequence.ids_L[mask].tolist() == [*context.chat.message("north"), *context.chat.message("go")]
    assert sequence.turns_L[mask].tolist() == [0] * 6 + [1] * 3
    assert np.all(sequence.turns_L[~mask] == -1)
    expected = np.concatenate([say(context, text).logprobs for text in ("north", "go")])
    np.testing.assert_array_equal(sequence.behavior_logprobs_L[mask], expected)
    np.testing.assert_array_equal(sequence.entropies_L[mask], -expected)
    assert not sequence.behavior_logprobs_L[~mask].any()
    assert not sequence.entropies_L[~mask].any()


@pytest.mark.parametrize("kind", ["append", "window"])
def test_feeding_alone_changes_nothing(tokenizer: Any, kind: str) -> None:
    context = make_context(tokenizer, kind)
    talk = context.begin()
    assert talk.sequences() == []
    first = talk.feed("room 1", {})
    np.testing.assert_array_equal(first.ids, talk.feed("room 1", {}).ids)
    assert talk.sequences() == []
    assert first.is_fresh


@pytest.mark.parametrize(
    ("k", "prompt"),
    [
        (0, "room 0\n(earlier turns left out: 3)\nroom 3"),
        (1, "room 0\n(earlier turns left out: 2)\nroom 2\n> go 2\nroom 3"),
        (2, "room 0\n(earlier turns left out: 1)\nroom 1\n> go 1\nroom 2\n> go 2\nroom 3"),
        (3, "room 0\n> go 0\nroom 1\n> go 1\nroom 2\n> go 2\nroom 3"),
        (9, "room 0\n> go 0\nroom 1\n> go 1\nroom 2\n> go 2\nroom 3"),
    ],
)
def test_a_window_shows_the_task_and_the_last_turns(tokenizer: Any, k: int, prompt: str) -> None:
    context = make_context(tokenizer, "window", window=k)
    talk = context.begin()
    texts = [turn(context, talk, f"room {i}", f"go {i}") for i in range(4)]
    assert texts[0] == "<|user|>room 0<|assistant|>"
    assert texts[3] == f"<|user|>{prompt}<|assistant|>"
    assert [sequence.turns_L.max() for sequence in talk.sequences()] == [0, 1, 2, 3]


def test_every_window_prompt_is_fresh(tokenizer: Any) -> None:
    context = make_context(tokenizer, "window")
    talk = context.begin()
    turn(context, talk, "room 1", "north")
    assert talk.feed("room 2", {}).is_fresh


@pytest.mark.parametrize("kind", ["append", "window"])
def test_admissible_actions_are_listed_with_the_current_observation_only(tokenizer: Any, kind: str) -> None:
    context = make_context(tokenizer, kind, show_admissible=True)
    talk = context.begin()
    shown = turn(context, talk, "room 1", "go", {"admissible_actions": ["go", "look"]})
    assert shown == "<|user|>room 1\nPossible actions:\n- go\n- look<|assistant|>"
    later = turn(context, talk, "room 2", "go", {"admissible_actions": ["wait"]})
    assert later.endswith("room 2\nPossible actions:\n- wait<|assistant|>")
    assert "look" not in later
    assert turn(context, talk, "room 3", "go", {"admissible_actions": None}).endswith("room 3<|assistant|>")


def test_both_contexts_train_on_the_same_targets(tokenizer: Any) -> None:
    targets = []
    for kind in ("append", "window"):
        context = make_context(tokenizer, kind)
        talk = context.begin()
        for i in range(4):
            turn(context, talk, f"room {i}", f"go {i}")
        columns = [
            (s.ids_L[s.action_mask_L], s.behavior_logprobs_L[s.action_mask_L], s.turns_L[s.action_mask_L])
            for s in talk.sequences()
        ]
        targets.append([np.concatenate(column) for column in zip(*columns, strict=True)])
    for append, window in zip(*targets, strict=True):
        np.testing.assert_array_equal(append, window)


def test_a_context_is_made_from_words(tokenizer: Any) -> None:
    assert isinstance(make_context(tokenizer, "append"), AppendContext)
    window = make_context(tokenizer, "window", window=4, protocol="tags")
    assert isinstance(window, WindowContext)
    assert (window.k, window.protocol.name) == (4, "tags")
    assert "<action>" in str(window.chat.system)
    assert make_context(tokenizer, protocol="tags", system="Play.").chat.system == "Play."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"kind": "windw"}, "did you mean 'window'"),
        ({"protocol": "json"}, "no action protocol 'json'"),
        ({"kind": "window", "window": -1}, "0 or more"),
    ],
)
def test_words_that_mean_nothing_are_refused(tokenizer: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_context(tokenizer, **words)
