"""Interrupted and resumed is the same run as uninterrupted, bit for bit."""

import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from agentrl.cli import main
from agentrl.errors import CheckpointError, ConfigError
from agentrl.trainer.checkpoint import latest_checkpoint
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


def test_interrupted_as_the_warm_start_reaches_its_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that the first measurement meets: what was interrupted there has nothing left to imitate."""
    changes = {"warm_start": {"target_accuracy": 0.2}, "run": {"iterations": 1}}
    one, other = tmp_path / "one", tmp_path / "other"
    assert run_training(tiny_config(one, **changes)) == 0
    assert [r["index"] for r in records(one) if r["stage"] == "warm_start"] == [10, 20, 25]
    with monkeypatch.context() as patch:
        interrupt_at(patch, "warm_start", 25)
        assert run_training(tiny_config(other, **changes)) == INTERRUPTED
    assert run_training(tiny_config(other, **changes), resume=True) == 0
    assert_same_run(one, other)


@pytest.mark.parametrize("index", [0, 5])
def test_interrupted_while_evaluating(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """An interruption during the last evaluation comes too late: the run ends as it would have."""
    config = tiny_config(tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "eval", index)
        code = run_training(config)
    assert code == (INTERRUPTED if index == 0 else 0)
    if code:
        assert run_training(config, resume=True) == 0
    assert_same_run(whole_run, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("request_to_stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_and_kill_from_outside(whole_run: Path, tmp_path: Path, request_to_stop: signal.Signals) -> None:
    """Ctrl-C is exit code 130 and loses nothing; a kill loses what came after the last checkpoint, for a while."""
    directory = tmp_path / "run"
    path = write_config(tmp_path / "run.yaml", tiny_tree(directory))
    process = start_cli("train", path)
    said = stop_at(process, directory, "reinforce", 1, request_to_stop)
    assert process.returncode == INTERRUPTED
    assert "interrupted: ending this step, then saving" in said
    assert "continue with --resume" in said
    process = start_cli("train", path, "--resume")
    stop_at(process, directory, "reinforce", 3, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert run_training(tiny_config(directory), resume=True) == 0
    assert_same_run(whole_run, directory)


def test_killed_after_records_that_no_checkpoint_holds(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation after the warm start is written before its checkpoint: it must not be there twice."""

    def die(self: Run) -> None:
        raise InterruptedError

    config = tiny_config(tmp_path / "run", run={"checkpoint_every": 2})
    with monkeypatch.context() as patch:
        interrupt_at(patch, "warm_start", 50)
        assert run_training(config) == INTERRUPTED
    with monkeypatch.context() as patch:
        patch.setattr(Run, "checkpoint", die)
        with pytest.raises(InterruptedError):
            run_training(config, resume=True)
    assert run_training(config, resume=True) == 0
    assert_same_run(whole_run, tmp_path / "run")


def test_reference_policy_is_the_one_that_reinforcement_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"run": {"iterations": 3}, "warm_start": {"steps": 5}, "loss": {"kl_coef": 0.5}}
    one, other = tmp_path / "one", tmp_path / "other"
    assert run_training(tiny_config(one, **changes)) == 0
    assert all(r["ref_kl"] > 0 for r in records(one) if r["stage"] == "reinforce")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "reinforce", 2)
        assert run_training(tiny_config(other, **changes)) == INTERRUPTED
    assert run_training(tiny_config(other, **changes), resume=True) == 0
    assert_same_run(one, other)


def test_a_second_interrupt_stops_at_once(whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came after the last checkpoint is lost, and played again."""
    path = write_config(tmp_path / "run.yaml", tiny_tree(tmp_path / "run"))
    with monkeypatch.context() as patch:
        interrupt_at(patch, "reinforce", 3, times=2)
        with pytest.raises(SystemExit) as ended:
            main(["train", str(path)])
    assert ended.value.code == INTERRUPTED
    latest = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert latest is not None and latest.name == "iteration-000002"
    assert run_training(tiny_config(tmp_path / "run"), resume=True) == 0
    assert_same_run(whole_run, tmp_path / "run")


def test_interrupted_before_anything_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "eval", 0, times=2)
        with pytest.raises(KeyboardInterrupt):
            run_training(config)
    with pytest.raises(CheckpointError, match=r"nothing to resume: .* --fresh"):
        run_training(config, resume=True)
    with pytest.raises(ConfigError, match="holds a run already"):
        run_training(config)


def test_other_ways_through_the_loop_resume_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sequence per turn, Muon, several epochs, recomputed log-probs, evaluations in between, another algorithm."""
    changes = {
        "context": {"kind": "window", "window": 1},
        "warm_start": {"steps": 12, "optimizer": "muon", "lr": 2e-3},
        "algorithm": {"name": "grpo", "scale": "none"},
        "update": {"optimizer": "muon", "epochs": 2, "old_logprobs": "recompute", "lr": 1e-3},
        "eval": {"every": 1, "samples": 2, "tasks": 4},
        "run": {"iterations": 3},
    }
    one, other = tmp_path / "one", tmp_path / "other"
    assert run_training(tiny_config(one, **changes)) == 0
    for stage, index, resume in (("warm_start", 10, False), ("reinforce", 1, True), ("eval", 2, True)):
        with monkeypatch.context() as patch:
            interrupt_at(patch, stage, index)
            assert run_training(tiny_config(other, **changes), resume=resume) == INTERRUPTED
    assert run_training(tiny_config(other, **changes), resume=True) == 0
    assert_same_run(one, other)


def test_supervised_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made anew after an interruption, and leaves the run's policy as it was without it."""
    changes = {"warm_start": {"steps": 10}, "run": {"iterations": 1}}
    with_control = changes | {"warm_start": {"steps": 10, "control_steps": 10}}
    without, one, other = tmp_path / "without", tmp_path / "one", tmp_path / "other"
    assert run_training(tiny_config(without, **changes)) == 0
    assert run_training(tiny_config(one, **with_control)) == 0
    for index in (1, 10):  # while the result is evaluated; in the middle of the control
        with monkeypatch.context() as patch:
            interrupt_at(patch, "eval" if index == 1 else "control", index)
            assert run_training(tiny_config(other, **with_control), resume=index == 10) == INTERRUPTED
    assert run_training(tiny_config(other, **with_control), resume=True) == 0
    assert_same_run(one, other)
    assert [r for r in records(one) if r["stage"] != "control"][: len(records(without))] == records(without)
    last = latest_checkpoint(one / "checkpoints")
    assert last is not None
    for folder in (one / "policy", last):
        saved = load_file(folder / "model.safetensors")
        assert all(value.equal(saved[name]) for name, value in weights(without).items())
