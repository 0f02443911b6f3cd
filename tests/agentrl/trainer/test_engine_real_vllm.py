"""Training by the real vLLM on CPU: run by `make test-vllm`."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.policy import load_policy
from agentrl.store import TrajectoryStore
from agentrl.trainer.loop import run_training
from agentrl.trainer.run import Run
from agentrl.trainer.setup import check_algorithm
from agentrl.types import TokenSequence
from tests.agentrl.trainer.tiny import records, run_in_two_parts, tiny_config

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed: make test-vllm"),
    # Others' code: vLLM and what it imports warn of deprecations.
    pytest.mark.filterwarnings("ignore"),
]

BY_VLLM: dict[str, Any] = {
    # vLLM's attention on CPU wants heads of 32 and blocks of a multiple of 32 tokens.
    "policy": {
        "build": {"hidden_size": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 400, "tokenizer_episodes": 20}
    },
    "engine": {"kind": "vllm", "settings": {"enforce_eager": True, "block_size": 32}},
    "run": {"iterations": 2, "save_trajectories_every": 1, "checkpoint_every": 1, "keep_checkpoints": 9},
}


def logprobs(model: Any, sequence: TokenSequence) -> np.ndarray[Any, Any]:
    """Return the model's log-prob of each sampled token."""
    ids_L = torch.from_numpy(sequence.ids_L.astype(np.int64))
    with torch.no_grad():
        scores = model(input_ids=ids_L[None]).logits[0, :-1].log_softmax(-1).gather(1, ids_L[1:, None])[:, 0]
    return np.asarray(scores.numpy()[sequence.action_mask_L[1:]])


def check_run(run: Path) -> None:
    """What an iteration sampled is scored the same by the policy that the checkpoint before it holds."""
    updates = [record for record in records(run) if record["stage"] == "reinforce"]
    assert [record["index"] for record in updates] == [1, 2]
    for record in updates:
        assert record["grad_norm"] > 0
        assert 0 < record["engine/sync_difference"] < 1e-4
        assert 0 < record["engine/mismatch"] < 1e-4
    store = TrajectoryStore(run / "trajectories")
    for iteration in (0, 1):
        model, _ = load_policy(str(run / "checkpoints" / f"iteration-{iteration:06d}"))
        played = store.read(iteration)
        assert len(played) == 16
        assert {turn.policy_version for one in played for turn in one.turns} == {iteration}
        for sequence in (sequence for one in played for sequence in one.sequences):
            recorded = sequence.behavior_logprobs_L[sequence.action_mask_L]
            np.testing.assert_allclose(recorded, logprobs(model, sequence), atol=1e-4)


def test_interrupted_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines one after the other: vLLM frees what it has when it is closed."""
    run_in_two_parts(tmp_path / "run", monkeypatch, 1, **BY_VLLM)
    check_run(tmp_path / "run")


def test_two_processes_have_an_engine_each(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", **BY_VLLM | {"run": BY_VLLM["run"] | {"processes": 2}})
    assert run_training(config) == 0
    check_run(tmp_path / "run")


@pytest.mark.parametrize("algorithm", ["arpo", "latr"])
def test_forks_are_decided_by_what_it_reports(tmp_path: Path, algorithm: str) -> None:
    """By entropies from the top log-probs, or by runners-up; an update follows them."""
    config = tiny_config(tmp_path / "run", **BY_VLLM | {"algorithm": {"name": algorithm}, "warm_start": {"steps": 30}})
    check_algorithm(config)
    with Run(config) as run:
        run.warm_start()
        rollout = run.collect()
        metrics = run.update(rollout.trajectories, run.assign_credit(rollout.trajectories))
    assert any(trajectory.parent is not None for trajectory in rollout.trajectories)
    assert metrics["engine/mismatch"] < 1e-4 and metrics["engine/sync_difference"] < 1e-4
    assert metrics["grad_norm"] > 0
