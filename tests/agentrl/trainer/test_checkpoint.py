"""Checkpoints: whole or not at all, and damage is said."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from agentrl.errors import CheckpointError, DataError
from agentrl.policy import load_policy
from agentrl.trainer.checkpoint import (
    Progress,
    checkpoints,
    latest_checkpoint,
    load_progress,
    load_state,
    save_checkpoint,
)
from agentrl.trainer.loop import run_training
from agentrl.update.optimizer import Optimizer
from tests.agentrl.engines.tiny import build
from tests.agentrl.rollout.toys import byte_tokenizer
from tests.agentrl.trainer.tiny import records, tiny_config


@pytest.fixture(scope="module")
def model() -> Any:
    return build("qwen3", num_kv_heads=1)


@pytest.fixture(scope="module")
def optimizer(model: Any) -> Optimizer:
    optimizer = Optimizer(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step(1e-3)
    return optimizer


def save(directory: Path, progress: Progress, model: Any, optimizer: Optimizer, keep: int = 2) -> Path:
    return save_checkpoint(directory, progress, model, byte_tokenizer(), optimizer, "digest", keep)


def test_round_trip(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    progress = Progress("reinforce", 7, 3, 3, 100, 20, 1.5, 9, {"warm start": {"greedy": {"success": 0.25}}})
    folder = save(tmp_path, progress, model, optimizer)
    assert folder.name == "iteration-000003" and latest_checkpoint(tmp_path) == folder
    assert load_progress(folder, "digest") == progress
    loaded, tokenizer = load_policy(str(folder))
    assert tokenizer.get_vocab() == byte_tokenizer().get_vocab()
    assert all(value.equal(loaded.state_dict()[name]) for name, value in model.state_dict().items())
    restored = Optimizer(loaded)
    load_state(folder, "optimizer", restored)
    for ours, theirs in zip(restored.state_dict()["parts"], optimizer.state_dict()["parts"], strict=True):
        assert ours["state"].keys() == theirs["state"].keys() != set()
        for key, state in theirs["state"].items():
            assert all(value.equal(ours["state"][key][name]) for name, value in state.items())


def test_the_newest_are_kept_in_the_order_of_the_run(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    assert latest_checkpoint(tmp_path / "nowhere") is None and latest_checkpoint(tmp_path) is None
    for step in (10, 20):
        save(tmp_path, Progress(step=step), model, optimizer)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["warm-000010", "warm-000020"]
    for iteration in (0, 5):
        save(tmp_path, Progress("reinforce", 20, iteration), model, optimizer)
    save(tmp_path, Progress("done", 20, 5), model, optimizer)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["iteration-000000", "iteration-000005"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iteration-000000", "iteration-000005"]
    latest = latest_checkpoint(tmp_path)
    assert latest is not None and load_progress(latest, "digest").stage == "done"


def test_a_half_written_one_does_not_count(
    tmp_path: Path, model: Any, optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save(tmp_path, Progress(step=10), model, optimizer)

    def full(*arguments: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space"):
            save(tmp_path, Progress(step=20), model, optimizer)
    assert latest_checkpoint(tmp_path) == first
    assert save(tmp_path, Progress(step=20), model, optimizer) == latest_checkpoint(tmp_path)


def test_another_configuration(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    folder = save(tmp_path, Progress(), model, optimizer)
    with pytest.raises(CheckpointError, match=r"another configuration .*: resume with the config.yaml of its run"):
        load_progress(folder, "other")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"progress": asdict(Progress())}),
        json.dumps({"progress": {"stag": 1}, "config_digest": "digest"}),
    ],
)
def test_a_damaged_state_is_said(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "iteration-000001"
    folder.mkdir()
    (folder / "state.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"000001 is damaged .*: remove it to resume from the one before"):
        load_progress(folder, "digest")


def test_damaged_files_are_said(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    folder = save(tmp_path, Progress(), model, optimizer)
    for name in ("optimizer.pt", "model.safetensors"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_state(folder, "optimizer", optimizer)
    with pytest.raises(DataError, match=r"model\.safetensors is not as it was written"):
        load_policy(str(folder))
    (folder / "optimizer.pt").unlink()
    with pytest.raises(CheckpointError, match="is damaged"):
        load_state(folder, "optimizer", optimizer)


def test_the_optimizer_of_another_model_does_not_fit(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    folder = save(tmp_path, Progress(), model, optimizer)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_state(folder, "optimizer", Optimizer(build("qwen2")))


def test_a_damaged_checkpoint_is_removed_to_go_on_from_the_one_before(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", warm_start={"steps": 0}, run={"iterations": 2, "checkpoint_every": 1})
    assert run_training(config) == 0
    whole = records(tmp_path / "run")
    first, last = checkpoints(tmp_path / "run" / "checkpoints")
    (last / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="remove it to resume from the one before"):
        run_training(config, resume=True)
    for path in (*last.iterdir(),):
        path.unlink()
    last.rmdir()
    assert load_progress(first, json.loads((first / "state.json").read_text())["config_digest"]).iteration == 1
    assert run_training(config, resume=True) == 0
    assert records(tmp_path / "run") == whole
