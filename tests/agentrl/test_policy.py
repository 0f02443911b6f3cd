"""Policies from nothing: a tokenizer that can write everything, a small model, and folders that are checked."""

import functools
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import agentrl
from agentrl import seeding
from agentrl.context import make_context
from agentrl.errors import DataError
from agentrl.policy import (
    ASSISTANT,
    END,
    ENTITY,
    PAD,
    PHRASES,
    SYSTEM,
    USER,
    WORDS,
    build_model,
    load_policy,
    num_parameters,
    save_policy,
    train_tokenizer,
)
from agentrl.rollout import demonstrate
from agentrl.storage.policy_check import check_policy_folder

TEXTS = [
    f"You are in room {room}. Ways: {', '.join(ways)}." for room in range(9) for ways in itertools.permutations("abc")
] + ["go north", "go south", "take red key", "unlock red door"] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS, vocab_size=600)


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    ids = SHARED.encode(text, add_special_tokens=False)
    assert SHARED.decode(ids) == text


SHARED = train_tokenizer(TEXTS, vocab_size=600)


def test_the_environments_text_is_short(tokenizer: Any) -> None:
    text = "You are in room 7. Ways: c, a, b."
    assert len(tokenizer.encode(text)) < len(text) / 2.5
    assert [tokenizer.decode(i) for i in tokenizer.encode("go north")] in (["go north"], ["go", " north"])


def test_special_tokens_and_tags_are_single() -> None:
    tokenizer = train_tokenizer(TEXTS, vocab_size=600, tags=["<action>", "</action>"])
    for token in (PAD, END, SYSTEM, USER, ASSISTANT, "<action>", "</action>"):
        assert len(tokenizer.encode(token)) == 1
    assert (tokenizer.eos_token, tokenizer.pad_token) == (END, PAD)
    kept = tokenizer.decode(tokenizer.encode(f"<action>go north</action>{END}"), skip_special_tokens=True)
    assert kept == "<action>go north</action>", "tags are text, the end of a message is not"


@pytest.mark.parametrize("vocab_size", [300, 520, 700])
@pytest.mark.parametrize("tags", [[], ["<think>", "</think>"]])
def test_vocabulary_size_is_kept(vocab_size: int, tags: list[str]) -> None:
    rng = seeding.generator(0, "words")
    words = ["".join(rng.choice(list("abcdefgh"), size=5)) for _ in range(300)]
    texts = [" ".join(rng.choice(words, size=6)) for _ in range(300)]
    tokenizer = train_tokenizer(texts * 2, vocab_size=vocab_size, tags=tags)
    assert len(tokenizer) <= vocab_size
    assert len(tokenizer) > 0.9 * vocab_size


def test_training_is_deterministic(tokenizer: Any) -> None:
    again = train_tokenizer(iter(TEXTS), vocab_size=600)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_chat_template(tokenizer: Any) -> None:
    messages = [
        {"role": "system", "content": "Act."},
        {"role": "user", "content": "You are in room 1."},
        {"role": "assistant", "content": "go north"},
        {"role": "user", "content": "Done."},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == f"{SYSTEM}Act.{USER}You are in room 1.{ASSISTANT}go north{END}{USER}Done.{ASSISTANT}"
    both = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = np.array(both["input_ids"]), np.array(both["assistant_masks"], bool)
    assert tokenizer.decode(ids[mask]) == f"go north{END}"


def test_demonstrations_can_be_written(tokenizer: Any) -> None:
    """What is not in the tokenizer's training text is written all the same."""
    make = functools.partial(agentrl.make, "agentrl/Maze-v0")
    [played] = demonstrate(make, ["train/0"], make_context(tokenizer), seed=0).trajectories
    assert played.success


def test_build_model(tokenizer: Any) -> None:
    before = torch.random.get_rng_state()
    options = {"hidden_size": 32, "num_layers": 2, "num_heads": 4}
    model, same = (build_model(tokenizer, **options, seed=3) for _ in range(2))
    other = build_model(tokenizer, **options, seed=4, num_kv_heads=2)
    assert torch.random.get_rng_state().equal(before), "the global generator is not touched"
    assert all(a.equal(b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    weights = model.get_input_embeddings().weight
    assert weights is model.get_output_embeddings().weight
    assert not weights.equal(other.get_input_embeddings().weight)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert num_parameters(other) == num_parameters(model) - 2 * 2 * 32 * 16
    with pytest.raises(ValueError, match="hidden_size 30 is not a multiple of num_heads 4"):
        build_model(tokenizer, hidden_size=30)


def test_default_model_has_about_a_million_weights() -> None:
    tokenizer = train_tokenizer(TEXTS)
    model = build_model(tokenizer)
    without_embeddings = num_parameters(model) - model.get_input_embeddings().weight.numel()
    assert 0.5e6 < without_embeddings + 2048 * 128 < 1.5e6


def test_round_trip(tokenizer: Any, tmp_path: Path) -> None:
    model = build_model(tokenizer, hidden_size=16, num_layers=1, num_heads=2)
    save_policy(tmp_path / "a" / "b", model, tokenizer)
    loaded, its_tokenizer = load_policy(str(tmp_path / "a" / "b"))
    assert all(value.equal(loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert its_tokenizer.get_vocab() == tokenizer.get_vocab()
    assert its_tokenizer.chat_template == tokenizer.chat_template
    text = "You are in room 3. Ways: b, a, c."
    assert its_tokenizer.encode(text) == tokenizer.encode(text)
    half, _ = load_policy(str(tmp_path / "a" / "b"), dtype="bfloat16")
    assert next(half.parameters()).dtype == torch.bfloat16


def test_folders_that_are_no_policy(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json is missing"):
        check_policy_folder(str(tmp_path))
    check_policy_folder("owner/model")
    build_model(tokenizer, hidden_size=16, num_layers=1, num_heads=2).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="model without a tokenizer"):
        load_policy(str(tmp_path))
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="cannot load a policy") as caught:
        load_policy(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_words_without_end_are_not_searched_for_entities_from_every_letter() -> None:
    """The bound changes nothing about words that there are; without it, time grows with the square of the length."""
    endless = "a" * 200 + " 12"
    assert re.findall(PHRASES, endless) == ["a" * 160, "a" * 40 + " 12"]
    unbounded = ENTITY.replace("{1,40}", "+")
    text = (
        "You open the Donaudampfschifffahrtsgesellschaft's cabinet 12 and see a mug 3, 4 o'clock; drawer 1\n\nis shut."
    )
    for pattern in (WORDS, PHRASES):
        assert re.findall(pattern, text) == re.findall(pattern.replace(ENTITY, unbounded), text)
