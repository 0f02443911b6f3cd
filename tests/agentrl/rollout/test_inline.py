"""Whole episodes inside one message: a script, a model, demonstrations, branches, the store."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agentrl.context import Context, make_context
from agentrl.engines.base import SamplingParams
from agentrl.engines.scripted import Line, ScriptedEngine
from agentrl.engines.transformers import TransformersEngine
from agentrl.policy import build_model, train_tokenizer
from agentrl.rollout import Rollout, demonstrate, group_specs
from agentrl.rollout.branching import Arpo
from agentrl.store import load_trajectories, save_trajectories
from agentrl.types import StopReason
from tests.agentrl.rollout.calculator import Calculator
from tests.agentrl.rollout.toys import TracedEngine, byte_tokenizer

TOKENIZER = byte_tokenizer()


@pytest.fixture
def context() -> Context:
    return make_context(TOKENIZER, "inline", protocol="tools:calc", system="Add.")


def adder(context: Context, *, errs: float = 0.0) -> Any:
    """Return a script that works a sum out from the text of its session alone, and errs now and then."""

    def script(ids: NDArray[np.int32], rng: np.random.Generator) -> Line:
        text = TOKENIZER.decode(ids.tolist())
        terms = [int(term) for term in re.findall(r"\d+", text.split("What is ")[1].split("?")[0])]
        totals = [terms[0], *map(int, re.findall(r"<result>\n(\d+)\n</result>", text))]
        done = len(totals) == len(terms)
        term = 0 if done else terms[len(totals)] + (rng.random() < errs)
        text = f"It is {totals[-1]}" if done else f"So <calc>{totals[-1]}+{term}</calc>"
        said = context.chat.message(text, ended=done)
        return Line(said.tolist(), (-rng.random(len(said))).tolist(), rng.random(len(said)).tolist())

    return script


def test_a_script_solves_sums_inside_one_message(context: Context) -> None:
    engine = TracedEngine(adder(context), TOKENIZER)
    with Rollout(Calculator, engine, context, SamplingParams(max_tokens=64)) as rollout:
        result = rollout.collect(group_specs(["sum-3", "sum-4"], 2, seed=0, iteration=0))
    assert [(t.success, len(t.turns)) for t in result.trajectories] == [(True, 3)] * 2 + [(True, 4)] * 2
    for trajectory in result.trajectories:
        (sequence,) = trajectory.sequences
        text = TOKENIZER.decode(sequence.ids_L.tolist())
        assert text.count("<|assistant|>") == text.count("<|end|>") == 1
        assert text.count("<result>") == len(trajectory.turns) - 1
        assert [turn.action for turn in trajectory.turns[:-1]] == re.findall("<calc>.*?</calc>", text)
        assert {turn.stop_reason for turn in trajectory.turns[:-1]} == {StopReason.STOP_STRING}
        assert trajectory.turns[-1].stop_reason is StopReason.END
        # Token in, token out: the engine's session is the training sequence.
        assert sequence.ids_L.tolist() in engine.finished


def test_no_token_of_a_result_is_trained_on(context: Context) -> None:
    engine = ScriptedEngine(adder(context), TOKENIZER)
    with Rollout(Calculator, engine, context, SamplingParams(max_tokens=64)) as rollout:
        (trajectory,) = rollout.collect(group_specs(["sum-4"], 1, seed=0, iteration=0)).trajectories
    (sequence,) = trajectory.sequences
    for index, turn in enumerate(trajectory.turns):
        said = sequence.ids_L[sequence.turns_L == index]
        assert TOKENIZER.decode(said.tolist(), skip_special_tokens=True) == turn.response
    fed = TOKENIZER.decode(sequence.ids_L[~sequence.action_mask_L].tolist())
    results = "".join(f" <result>\n{turn.observation}\n</result>" for turn in trajectory.turns[1:])
    assert fed == f"<|system|>Add.<|user|>{trajectory.turns[0].observation}<|assistant|>{results}"


def test_demonstrations_are_recorded_as_the_model_would_play_them(context: Context) -> None:
    (trajectory,) = demonstrate(Calculator, ["sum-4"], context, seed=0).trajectories
    assert trajectory.success and len(trajectory.turns) == 4
    text = TOKENIZER.decode(trajectory.sequences[0].ids_L.tolist())
    assert re.fullmatch(
        r"<\|system\|>Add\.<\|user\|>What is [\d +]+\?<\|assistant\|>"
        r"(<calc>\d+\+\d+</calc> <result>\n\d+\n</result>){3}It is \d+<\|end\|>",
        text,
    )


def test_a_model_plays_and_its_numbers_are_those_of_one_pass() -> None:
    """A random model never calls a tool on purpose: a stop string that it says often makes its turns end inside."""
    texts = ["What is 12 + 34?", "<calc>12+34</calc>", "It is 46"]
    tokenizer = train_tokenizer(texts, vocab_size=290, tags=("<calc>", "</calc>"))
    model = build_model(tokenizer, hidden_size=16, num_layers=2, num_heads=2, max_context=256, seed=0).eval()
    with torch.no_grad():  # more likely than the rest, so that calls are made and messages ended
        for token, share in (("</calc>", 3.0), ("<calc>", 2.0)):
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(token)] *= share
    context = make_context(tokenizer, "inline", protocol="tools:calc")
    engine = TransformersEngine(model, tokenizer, max_sessions=8, max_context=256)
    params = SamplingParams(max_tokens=12)
    with Rollout(lambda: Calculator(max_turns=3), engine, context, params, concurrency=8) as rollout:
        result = rollout.collect(group_specs(["sum-2", "sum-3"], 4, seed=0, iteration=0))
    stops = {turn.stop_reason for trajectory in result.trajectories for turn in trajectory.turns}
    assert StopReason.STOP_STRING in stops
    for trajectory in result.trajectories:
        (sequence,) = trajectory.sequences
        ids = torch.from_numpy(sequence.ids_L.astype(np.int64))
        with torch.inference_mode():
            logprobs = torch.log_softmax(model(ids[None]).logits[0, :-1].float(), -1)
        mask = sequence.action_mask_L
        scores = logprobs.gather(1, ids[1:, None])[:, 0].numpy()
        np.testing.assert_allclose(sequence.behavior_logprobs_L[mask], scores[mask[1:]], atol=1e-4)


def test_branches_inside_a_message(context: Context, tmp_path: Any) -> None:
    """Turns inside a message are branched like any others, and the store gives all back."""
    engine = TracedEngine(adder(context, errs=0.5), TOKENIZER)
    sampler = Arpo(scale="mean", initial=2)
    specs = group_specs(["sum-4"], 6, seed=1, iteration=0)
    with Rollout(Calculator, engine, context, SamplingParams(max_tokens=64), sampler=sampler) as rollout:
        result = rollout.collect(specs)
    assert len(result.trajectories) == 6
    by_id = {trajectory.id: trajectory for trajectory in result.trajectories}
    inside = [t for t in result.trajectories if t.parent is not None and t.parent.turn > 0]
    assert inside
    for branch in inside:
        assert branch.parent is not None
        mine, others = branch.sequences[0], by_id[branch.parent.parent].sequences[0]
        fork = int(np.flatnonzero(mine.turns_L == branch.parent.turn)[0])
        assert mine.ids_L[:fork].tolist() == others.ids_L[:fork].tolist()
        assert TOKENIZER.decode(mine.ids_L[:fork].tolist()).endswith("</result>")
    save_trajectories(tmp_path / "run", result.trajectories)
    for stored, played in zip(load_trajectories(tmp_path / "run"), result.trajectories, strict=True):
        np.testing.assert_array_equal(stored.sequences[0].ids_L, played.sequences[0].ids_L)
        np.testing.assert_array_equal(stored.sequences[0].action_mask_L, played.sequences[0].action_mask_L)
