"""How a run's policy plays: where its messages end, and what its evaluations sample from."""

from pathlib import Path
from typing import Any

import pytest

from agentrl.algorithms.base import make_recipe
from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.policy import end_ids, load_policy
from agentrl.trainer.playing.player import Player
from tests.agentrl.trainer.tiny import tiny_config


def test_every_end_that_the_model_names_ends_a_turn_in_training_and_evaluation(
    tmp_path: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tmp_path, eval={"tasks": 2, "top_p": 0.5})
    model, tokenizer = load_policy(str(whole_run / "policy"))
    assert end_ids(model) == (tokenizer.eos_token_id,)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, 7]
    assert end_ids(model) == (tokenizer.eos_token_id, 7)
    seen: set[SamplingParams] = set()
    generate = TransformersEngine.generate

    async def spy(self: Any, session: int, new_ids: Any, params: SamplingParams) -> Any:
        seen.add(params)
        return await generate(self, session, new_ids, params)

    monkeypatch.setattr(TransformersEngine, "generate", spy)
    player = Player(config, make_recipe(config.algorithm), model, tokenizer, tmp_path)
    try:
        player.collector.collect(0)
        for greedy in (False, True):
            player.scores(greedy=greedy)
    finally:
        player.close()
    assert all(set(params.stop_token_ids) == {tokenizer.eos_token_id, 7} for params in seen)
    assert {(params.temperature, params.top_p) for params in seen} == {(1.0, 1.0), (1.0, 0.5), (0.0, 1.0)}


def test_a_model_without_generation_settings() -> None:
    assert end_ids(object()) == ()
