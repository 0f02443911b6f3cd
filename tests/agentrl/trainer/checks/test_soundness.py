"""Tiny random models of many families: trainer and engine equal the model's own forward pass, or it is refused."""

import asyncio
import math
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.errors import ModelError
from agentrl.lab.families import CONTEXT, FAMILIES, WINDOW, build, judge
from agentrl.models.dense import Extras
from agentrl.models.plain import plain_logprobs
from agentrl.seeding import generator
from agentrl.trainer.checks.soundness import check_engine, check_soundness, check_trainer, prompt_of, random_probe
from agentrl.update.head import head_of
from agentrl.update.passes.packed import Packing, packed_hidden_states

REFUSED = {
    "phi3-longrope": "rotates positions by 'longrope' scaling",
    "hyperclovax": "packed sequences differ from HyperCLOVAXForCausalLM's own forward pass",
    "stablelm": "cannot compute packed sequences",
    "nemotron": "cannot compute packed sequences",
    "gpt_neo": "its turns in two sequences differ",
    "falcon": "cannot compute packed sequences",
    "bloom": "the engine cannot sample",
    "mpt": "cannot compute packed sequences",
    "doge": "the engine cannot sample",
    "llama4": "layers of kind chunked_attention",
    "rwkv": "its turns in two sequences differ",
    "mamba": "layers of kind linear_attention",
    "bamba": "layers of kind linear_attention",
    "falcon_h1": "layers of kind hybrid",
    "jamba": "layers of kind linear_attention",
    "granitemoehybrid": "layers of kind linear_attention",
    "qwen3_next": "layers of kind linear_attention",
    "qwen3_5": "layers of kind linear_attention",
    "minimax": "layers of kind linear_attention",
    "lfm2": "layers of kind conv",
}
QUICK = {
    *("llama", "qwen2", "qwen2-sliding", "qwen3", "qwen3_moe", "mistral", "mixtral", "gemma2", "gemma3", "gpt_oss"),
    *("olmo3", "granite", "cohere2", "phi", "phi3", "gpt2", "gpt_neox", "deepseek_v3"),
    *("hyperclovax", "bloom", "rwkv", "bamba", "qwen3_next", "qwen3_5"),
}


def some(name: str) -> Any:
    model = build(name)
    if model is None:
        pytest.skip(f"transformers has no {FAMILIES[name].kind}")
    if name == "gemma2" and model._supports_sdpa:
        pytest.skip("this transformers itself computes Gemma2 without its soft cap: runs refuse it")
    return model


def judged(name: str) -> None:
    verdict = judge(some(name))
    if name in REFUSED:
        assert REFUSED[name] in verdict.reason
        assert math.isnan(verdict.trainer) and "\n" not in verdict.reason
    else:
        assert verdict.reason == ""
        assert max(verdict.trainer, verdict.engine) < 1e-5


@pytest.mark.parametrize("name", sorted(QUICK))
def test_exact_or_refused(name: str) -> None:
    judged(name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # deprecations of old families
@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - QUICK))
def test_exact_or_refused_the_others(name: str) -> None:
    judged(name)


@pytest.mark.parametrize("name", ["mistral", "gemma2", "gpt_oss", "cohere2", "phi"])
def test_gradients_are_those_of_the_models_own_forward_pass(name: str) -> None:
    model, lengths = some(name), (21, 5, 13)
    ids = torch.as_tensor(generator(0, "gradients").integers(3, 64, sum(lengths)))
    weights = torch.linspace(-1, 1, sum(lengths) * 64).view(-1, 64)
    packed = head_of(model).logits(packed_hidden_states(model, ids, Packing.of(lengths)))
    alone = torch.cat([model(input_ids=part[None], use_cache=False).logits[0] for part in ids.split(lengths)])
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    ours, theirs = (
        torch.autograd.grad((logits.log_softmax(-1) * weights).sum(), parameters, allow_unused=True)
        for logits in (packed, alone)
    )
    for name_, one, other in zip(dict(model.named_parameters()), ours, theirs, strict=True):
        assert (one is None) == (other is None), name_
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("hidden", ["sliding_window", "softcap", "s_aux"])
def test_what_is_left_out_is_found(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = some({"sliding_window": "mistral", "softcap": "gemma2", "s_aux": "gpt_oss"}[hidden])
    probe, read = random_probe(prompt_of(model.config, CONTEXT), 64), Extras.of
    assert check_trainer(model, probe) < 1e-5
    monkeypatch.setattr(Extras, "of", lambda given: read({k: v for k, v in given.items() if k != hidden}))
    with pytest.raises(ModelError, match=r"trainer's log-probs of two packed sequences differ .* nats, more than"):
        check_trainer(model, probe)
    engine = TransformersEngine(model, None, max_sessions=2, max_context=CONTEXT)
    with pytest.raises(ModelError, match="engine's log-probs"):
        check_soundness(model, engine, max_context=CONTEXT)


def test_a_window_longer_than_the_usual_prompt_is_exceeded() -> None:
    config = FAMILIES["mistral"].config()
    config.sliding_window = 70
    assert len(prompt_of(config, CONTEXT)) == 78
    assert len(prompt_of(config, 70)) == 24, "the context does not exceed the window"
    assert len(prompt_of(config, 80)) == 80 - 16
    assert WINDOW < 24


def test_bfloat16_is_allowed_its_own_noise_and_no_more() -> None:
    model = some("qwen3")
    probe = random_probe(prompt_of(model.config, CONTEXT), 64)
    check_trainer(model, probe, "bfloat16")
    own = [plain_logprobs(model, ids) for ids in probe.sequences]
    check_engine(model, model, type(probe)(probe.sequences, [one + 5e-5 for one in own]), "float32")
    off = type(probe)(probe.sequences, [one + 0.2 for one in own])
    for dtype in ("float32", "bfloat16"):
        with pytest.raises(ModelError, match="differ"):
            check_engine(model, None, off, dtype)


def test_one_slot_is_enough_and_all_are_free_afterwards() -> None:
    model = some("llama")
    engine = TransformersEngine(model, None, max_sessions=1, max_context=CONTEXT)
    assert set(check_soundness(model, engine, max_context=CONTEXT, fork=False)) == {"engine", "trainer"}
    assert engine.open(0) is not None


def test_evaluation_asks_nothing_of_the_trainer() -> None:
    model = some("stablelm")
    engine = TransformersEngine(model, None, max_sessions=2, max_context=CONTEXT)
    assert set(check_soundness(model, engine, max_context=CONTEXT, trained=None)) == {"engine"}


def test_the_check_leaves_the_engine_as_it_was() -> None:
    model, ids = some("qwen3"), np.arange(3, 12, dtype=np.int32)
    turns = []
    for checked in (False, True):
        engine = TransformersEngine(model, None, max_sessions=4, max_context=CONTEXT)
        if checked:
            check_soundness(model, engine, max_context=CONTEXT)
        turns.append(asyncio.run(engine.generate(engine.open(5), ids, SamplingParams(8))))
    assert turns[0].ids.tolist() == turns[1].ids.tolist()
    assert turns[0].logprobs.tolist() == turns[1].logprobs.tolist()
