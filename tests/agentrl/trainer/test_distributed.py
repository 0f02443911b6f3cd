"""Two processes do what one does with the same samples."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl import seeding
from agentrl.algorithms.base import LossSettings, Recipe
from agentrl.algorithms.grpo import GRPO
from agentrl.errors import DataError
from agentrl.trainer.config import WarmStartConfig
from agentrl.trainer.credit import assign_credit
from agentrl.trainer.directory.checkpoint import check_checkpoint, latest_checkpoint
from agentrl.trainer.launch import launch
from agentrl.trainer.loop import INTERRUPTED, run_training
from agentrl.trainer.warm_start import WarmStart
from agentrl.types import Trajectory
from agentrl.update import distributed
from agentrl.update.optimizer import Optimizer
from agentrl.update.settings import UpdateSettings
from agentrl.update.update import Updater
from tests.agentrl.engines.tiny import build
from tests.agentrl.trainer.tiny import (
    assert_same_run,
    records,
    start_cli,
    stop_at,
    tiny_config,
    tiny_tree,
    write_config,
)
from tests.agentrl.update.samples import samples, sequence, trajectory

ADVANTAGES = ([1.0, -0.5, 2.0], [0.25], [-1.5], [0.7, 0.1, -0.2, 0.4], [1.0])


def played() -> list[Trajectory]:
    """Return six trajectories of two groups, the rewards 0..5."""
    result = []
    for number in range(6):
        one = trajectory(sequence([-1, *[0] * (number + 1), -1, 1], seed=number), name=f"t{number}")
        one.group = f"group {number // 3}"
        one.turns[-1].reward = float(number)
        result.append(one)
    return result


def work(folder: Path) -> None:
    """Do with this process's share what all do together, and keep what came out of it."""
    rank, size = distributed.rank(), distributed.world_size()
    model = build("qwen3").double()
    updater = Updater(model, None, Optimizer(model), UpdateSettings(minibatches=1, epochs=2), LossSettings())
    # The second update has no sample in the second of two processes.
    first = updater.run(samples(*ADVANTAGES)[rank::size], lr=1e-3, rng=seeding.generator(0, "deal"))
    second = updater.run(samples(ADVANTAGES[0])[rank::size], lr=1e-3, rng=seeding.generator(0, "deal"))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    stage = WarmStart(WarmStartConfig(steps=3, batch_tokens=10_000, warmup_steps=0), model, updater.optimizer, seed=0)
    trajectories = played()
    share = trajectories[rank * 6 // size : (rank + 1) * 6 // size]
    losses: list[float] = []
    stage.run(share, on_step=lambda step, metrics: losses.append(metrics["loss"]) is None)
    result = {
        "metrics": [first, second],
        "weights": weights,
        "after": model.state_dict(),
        "credit": torch.as_tensor(assign_credit(recipe(), share)),
        "gathered": distributed.gather(rank),
        "sum": distributed.all_sum([1.0, 0.1 * rank]),
        "losses": losses,
    }
    torch.save(result, folder / f"{size}-{rank}.pt")


def recipe() -> Recipe:
    return GRPO(scale="none")


def fail(error: Exception) -> None:
    """Raise in the second process only."""
    distributed.gather(None)
    if distributed.rank() == 1:
        raise error
    distributed.gather(None)


@pytest.mark.slow
def test_two_processes_and_one(tmp_path: Path) -> None:
    for processes in (1, 2):
        launch(work, (tmp_path,), processes)
    one, first, second = (torch.load(tmp_path / name) for name in ("1-0.pt", "2-0.pt", "2-1.pt"))
    for name, value in first["weights"].items():
        assert first["after"][name].equal(second["after"][name]), "the processes stay together"
        torch.testing.assert_close(value, one["weights"][name], rtol=1e-6, atol=1e-8)
    assert first["metrics"] == second["metrics"]
    for ours, theirs in zip(first["metrics"], one["metrics"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
    torch.testing.assert_close(torch.cat([first["credit"], second["credit"]]), one["credit"])
    assert one["credit"].tolist() == pytest.approx([-1, -1, 0, 0, 1, 1] * 2)
    assert (one["gathered"], second["gathered"]) == ([0], [0, 1])
    assert (one["sum"], first["sum"], second["sum"]) == ([1.0, 0.0], [2.0, 0.1], [2.0, 0.1])
    assert len(first["losses"]) == 3 and first["losses"] == second["losses"] == pytest.approx(one["losses"], rel=1e-6)


@pytest.mark.slow
def test_errors_of_a_process() -> None:
    """One raised on purpose comes back as itself; any other with the process's traceback."""
    with pytest.raises(DataError, match=r"^no such game$"):
        launch(fail, (DataError("no such game"),), 2)
    with pytest.raises(RuntimeError, match=r"(?s)^process 1 failed:.*ZeroDivisionError: by nothing"):
        launch(fail, (ZeroDivisionError("by nothing"),), 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
@pytest.mark.parametrize("request_to_stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_two_processes_interrupted_and_resumed(tmp_path: Path, request_to_stop: signal.Signals) -> None:
    """The signal reaches the parent alone, as `kill -INT` sends it; where that is killed the others save."""
    run = {"processes": 2, "iterations": 4, "checkpoint_every": 9}
    changes: dict[str, Any] = {"run": run, "warm_start": {"steps": 20}}
    assert run_training(tiny_config(tmp_path / "whole", **changes)) == 0
    path = write_config(tmp_path / "run.yaml", tiny_tree(tmp_path / "run", **changes))
    process = start_cli("train", path)
    said = stop_at(process, tmp_path / "run", "reinforce", 1, request_to_stop)
    assert process.returncode == (-signal.SIGKILL if request_to_stop is signal.SIGKILL else INTERRUPTED)
    assert said.count("interrupted: ending this step") == 1
    assert max(record["index"] for record in records(tmp_path / "run") if record["stage"] == "reinforce") < 4
    config = tiny_config(tmp_path / "run", **changes)
    saved = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert saved is not None and check_checkpoint(saved).progress.iteration >= 1
    assert run_training(config, resume=True) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_one_process_needs_no_group() -> None:
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.all_sum([1.5]) == [1.5]
    assert distributed.gather("item") == ["item"]
    parameter = torch.nn.Parameter(torch.ones(2))
    distributed.sum_gradients([parameter])
    assert parameter.grad is None
    ran: list[int] = []
    launch(ran.append, (os.getpid(),), 1)
    assert ran == [os.getpid()] and np.isfinite(ran[0])
