"""A run small enough for a test, and what is compared between runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from torch import Tensor

from agentrl.trainer import interrupts
from agentrl.trainer.config import Config, parse_config
from agentrl.trainer.directory.checkpoint import latest_checkpoint
from agentrl.trainer.directory.log import RunLog
from agentrl.trainer.directory.metrics import read_metrics
from agentrl.trainer.loop import INTERRUPTED, run_training

ROOT = Path(__file__).parents[3]
TREE: dict[str, Any] = {
    "env": {"id": "agentrl/Maze-v0", "kwargs": {"size": 2, "max_turns": 6}},
    "policy": {
        "build": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 400, "tokenizer_episodes": 20}
    },
    "context": {"max_turn_tokens": 6, "max_context": 192},
    "warm_start": {
        "demonstrations": 60,
        "demonstrator": {"wander": 0.2},
        "steps": 60,
        "batch_tokens": 1024,
        "lr": 1e-2,
        "warmup_steps": 5,
    },
    "algorithm": {"name": "gigpo", "invalid_penalty": 0.1},  # few episodes succeed: a signal all the same
    "rollout": {"tasks_per_iteration": 4, "group_size": 4, "concurrency": 16},
    "engine": {},
    "curriculum": {},
    "filter": {},
    "loss": {},
    "update": {"minibatches": 2},
    "critic": {},
    "eval": {"tasks": 8},
    "run": {"iterations": 5, "processes": 1, "checkpoint_every": 2, "save_trajectories_every": 2},
}


def tiny_tree(directory: Path, **changes: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as plain data, with keys of sections changed, or with another algorithm."""
    tree = {section: dict(values) for section, values in TREE.items()}
    tree["run"]["directory"] = str(directory)
    for section, values in changes.items():
        is_another = section == "algorithm" and "name" in values  # its options are its own
        tree[section] = dict(values) if is_another else tree[section] | values
    return tree


def tiny_config(directory: Path, **changes: dict[str, Any]) -> Config:
    """Return the configuration of a run in ``directory``."""
    return parse_config(tiny_tree(directory, **changes))


def records(directory: Path) -> list[dict[str, Any]]:
    """Return the metrics without what the clock decides: seconds."""
    kept = read_metrics(directory)
    return [{key: value for key, value in record.items() if not key.endswith("_s")} for record in kept]


def weights(directory: Path) -> dict[str, Tensor]:
    """Return the weights of the final policy."""
    return load_file(directory / "policy" / "model.safetensors")


def assert_same_run(one: Path, other: Path) -> None:
    """Check that two finished runs gave the same numbers, bit for bit."""
    assert records(one) == records(other)
    ones, others = weights(one), weights(other)
    assert ones.keys() == others.keys()
    assert all(ones[name].equal(others[name]) for name in ones)
    stored = [sorted((run / "trajectories").glob("*.zip")) for run in (one, other)]
    assert [path.name for path in stored[0]] == [path.name for path in stored[1]]
    assert all(left.read_bytes() == right.read_bytes() for left, right in zip(*stored, strict=True))


def interrupt_at(monkeypatch: pytest.MonkeyPatch, stage: str, index: int, times: int = 1) -> None:
    """Send this process an interrupt as soon as a record is written, the first time."""
    written, sent = RunLog.record, []
    monkeypatch.setattr(interrupts, "REPEAT_S", 0.0)

    def record(self: RunLog, stage_now: str, index_now: int, metrics: dict[str, float]) -> None:
        written(self, stage_now, index_now, metrics)
        if (stage_now, index_now) == (stage, index) and not sent:
            sent.append(True)
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunLog, "record", record)


def run_in_two_parts(directory: Path, monkeypatch: pytest.MonkeyPatch, index: int, **changes: Any) -> Path:
    """Interrupt a run after iteration ``index`` and resume it; return the checkpoint between."""
    config = tiny_config(directory, **changes)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "reinforce", index)
        assert run_training(config) == INTERRUPTED
    checkpoint = latest_checkpoint(directory / "checkpoints")
    assert checkpoint is not None
    assert run_training(config, resume=True) == 0
    return checkpoint


def start_cli(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "envs"))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "agentrl.cli", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def stop_at(process: subprocess.Popen[str], directory: Path, stage: str, index: int, signum: signal.Signals) -> str:
    """Signal a running process once its metrics have come so far, and return its output when it has ended."""
    deadline = time.monotonic() + 120
    while not any(record["stage"] == stage and record["index"] >= index for record in read_metrics(directory)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.01)
    process.send_signal(signum)
    output, errors = process.communicate(timeout=120)
    return output + errors


def write_config(path: Path, tree: dict[str, Any]) -> Path:
    """Write a configuration file."""
    path.write_text(yaml.safe_dump(tree))
    return path
