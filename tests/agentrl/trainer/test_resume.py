"""Interrupted and resumed is the same run as uninterrupted, bit for bit."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch

from agentrl.errors import CheckpointError, ConfigError
from agentrl.trainer.checkpoint import checkpoints, latest_checkpoint, save_checkpoint
from agentrl.trainer.loop import INTERRUPTED, run_training
from agentrl.trainer.run import Run
from tests.agentrl.trainer.tiny import (
    assert_same_run,
    interrupt_at,
    records,
    start_cli,
    stop_at,
    tiny_config,
    tiny_tree,
    weights,
    write_config,
)


def test_whole_run_learns_something_to_compare(whole_run: Path) -> None:
    done = records(whole_run)
    assert [r["index"] for r in done if r["stage"] == "warm_start"] == [10, 20, 30, 40, 50, 60]
    training = [r for r in done if r["stage"] == "reinforce"]
    assert [r["index"] for r in training] == [1, 2, 3, 4, 5]
    assert any(0 < r["success"] < 1 for r in training)
    assert all(r["grad_norm"] > 0 for r in training)


@pytest.mark.parametrize(
    ("stage", "index", "folder"), [("reinforce", 3, "iteration-000003"), ("warm_start", 20, "warm-000020")]
)
def test_interrupted_and_resumed(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, index: int, folder: str
) -> None:
    config = tiny_config(tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_at(patch, stage, index)
        assert run_training(config) == INTERRUPTED
    latest = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert latest is not None and latest.name == folder
    assert run_training(config, resume=True) == 0
    assert_same_run(whole_run, tmp_path / "run")
