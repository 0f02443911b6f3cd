"""The engine's own dtype: it shares the policy's weights, or has them rounded after each update."""

from pathlib import Path
from typing import Any

import pytest
import torch

from agentrl.trainer.engine import PolicyEngine, engine_dtype
from agentrl.trainer.loop import run_training
from tests.agentrl.engines.tiny import build
from tests.agentrl.trainer.tiny import assert_same_run, run_in_two_parts, tiny_config, weights

DTYPES = {  # policy.dtype, engine.dtype -> of the engine's weights
    ("float32", None): "float32",
    ("bfloat16", None): "bfloat16",
    ("bfloat16", "float32"): "float32",
    ("float32", "bfloat16"): "bfloat16",
}


@pytest.mark.parametrize(("policy", "engine"), DTYPES)
def test_what_is_served(tmp_path: Path, policy: str, engine: str | None) -> None:
    config = tiny_config(tmp_path, policy={"dtype": policy}, engine={"dtype": engine})
    assert engine_dtype(config) == DTYPES[policy, engine]
    model = build("qwen3", max_positions=256)
    served: Any = PolicyEngine(config, model, None, tmp_path)
    own = dict(served._served.named_parameters())
    for version in range(2):
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.1
        served.sync(version)
        for name, weight in model.named_parameters():
            shares = engine_dtype(config) == "float32"
            assert (own[name] is weight) is shares
            assert own[name].equal(weight if shares else weight.bfloat16())
    frequencies = [dict(one.named_buffers())["model.rotary_emb.inv_freq"] for one in (model, served._served)]
    assert frequencies[0].dtype == frequencies[1].dtype == torch.float32
    assert served.engine.policy_version == 1


def test_a_run_in_bfloat16_keeps_float32_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"policy": {"dtype": "bfloat16"}, "run": {"iterations": 3}, "loss": {"kl_coef": 0.1}}
    assert run_training(tiny_config(tmp_path / "whole", **changes)) == 0
    run_in_two_parts(tmp_path / "parts", monkeypatch, 1, **changes)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    kept = weights(tmp_path / "parts")
    assert {weight.dtype for weight in kept.values()} == {torch.float32}
    assert any(not weight.equal(weight.bfloat16().float()) for weight in kept.values())
