"""Codes of stopping tokens and the search for stop strings."""

from typing import Any

import numpy as np
import torch

from agentrl.engines.base import SamplingParams
from agentrl.engines.stopping import END, GO_ON, MAYBE, StopRules


def make(tokenizer: Any) -> StopRules:
    return StopRules(tokenizer, 260, torch.device("cpu"))


def test_rules_are_made_once(tokenizer: Any) -> None:
    rules = make(tokenizer)
    first = rules.index(SamplingParams(stop_token_ids=(7,)))
    assert rules.index(SamplingParams(max_tokens=3, stop_token_ids=(7,))) == first
    assert rules.index(SamplingParams()) != first
    assert rules.codes_RV.shape == (2, 260)


def test_codes(tokenizer: Any) -> None:
    rules = make(tokenizer)
    greater = tokenizer.encode(">")[0]
    row = rules.index(SamplingParams(stop=("</a>",), stop_token_ids=(5,)))
    codes_V = rules.codes_RV[row]
    assert codes_V[5] == END
    assert codes_V[greater] == MAYBE
    assert codes_V[tokenizer.encode("a")[0]] == GO_ON
    assert codes_V[259] == GO_ON  # the model's vocabulary may be wider than the tokenizer's


def test_stop_strings_may_end_in_a_character_of_several_tokens(tokenizer: Any) -> None:
    rules = make(tokenizer)
    text = "fin。"
    ids = np.array(tokenizer.encode(text))
    assert len(ids) > len(text)
    row = rules.index(SamplingParams(stop=("。",)))
    assert rules.codes_RV[row, ids[-1]] == MAYBE
    assert not rules.completed(ids[:-1], ("。",))
    assert rules.completed(ids, ("。",))


def test_a_stop_string_is_found_at_the_end_of_a_long_turn(tokenizer: Any) -> None:
    ids = np.array(tokenizer.encode("x" * 500 + "</action>"))
    rules = make(tokenizer)
    assert rules.completed(ids, ("</action>", "zz"))
    assert not rules.completed(ids[:-1], ("</action>", "zz"))
