"""Interrupted and resumed is the same run as uninterrupted, bit for bit."""

import errno
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from agentrl.cli import main
from agentrl.errors import CheckpointError, ConfigError, DivergedError, LockedError, StoppedError
from agentrl.policy import load_policy
from agentrl.store import TrajectoryStore
from agentrl.trainer.directory.checkpoint import check_checkpoint, choose_checkpoint, latest_checkpoint
from agentrl.trainer.directory.lock import RunLock
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
        raise InterruptedError("no more")

    config = tiny_config(tmp_path / "run", run={"checkpoint_every": 2})
    with monkeypatch.context() as patch:
        interrupt_at(patch, "warm_start", 50)
        assert run_training(config) == INTERRUPTED
    with monkeypatch.context() as patch:
        patch.setattr(Run, "checkpoint", die)
        with pytest.raises(
            StoppedError, match=r"InterruptedError: no more; the last good state is .*/warm-000050: --res"
        ):
            run_training(config, resume=True)
    assert "in die" in (tmp_path / "run" / "error.txt").read_text()
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
    """It goes on after an interruption, and leaves the run's policy and optimiser as they were without it."""
    changes = {"warm_start": {"steps": 10, "optimizer": "muon"}, "run": {"iterations": 1}}
    with_control = changes | {"warm_start": changes["warm_start"] | {"control_steps": 20}}
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
    last, plain = latest_checkpoint(one / "checkpoints"), latest_checkpoint(without / "checkpoints")
    assert last is not None and plain is not None
    assert (last / "optimizer.pt").read_bytes() == (plain / "optimizer.pt").read_bytes()
    for folder in (one / "policy", last):
        saved = load_file(folder / "model.safetensors")
        assert all(value.equal(saved[name]) for name, value in weights(without).items())


def test_a_complete_run_is_prolonged(whole_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is then the run that it would have been, evaluated once more on the way."""
    directory = tmp_path / "run"
    assert run_training(tiny_config(directory, run={"iterations": 3}, eval={"tasks": 4})) == 0
    assert run_training(tiny_config(directory), resume=True) == 0
    said = capsys.readouterr().out
    assert "changed: eval.tasks: 4 → 8" in said and "changed: run.iterations: 3 → 5" in said
    training = [[record for record in records(run) if record["stage"] == "reinforce"] for run in (whole_run, directory)]
    assert training[0] == training[1]
    assert all(value.equal(weights(directory)[name]) for name, value in weights(whole_run).items())
    done = latest_checkpoint(directory / "checkpoints")
    assert done is not None and {"iteration 3", "result"} < check_checkpoint(done).progress.results.keys()
    assert run_training(tiny_config(directory), resume=True) == 0
    assert "is complete: see" in capsys.readouterr().out


def test_a_diverged_run_stops_at_its_last_sound_state(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", update={"lr": 1e38}, warm_start={"steps": 5})
    with pytest.raises(
        DivergedError, match=r"^iteration 1: .* has diverged; .*; the last good state is .*iteration-000000"
    ):
        run_training(config)
    assert not (tmp_path / "run" / "policy").exists() and not (tmp_path / "run" / "report.md").exists()
    kept = choose_checkpoint(tmp_path / "run" / "checkpoints")
    load_policy(str(kept))
    with pytest.raises(DivergedError, match=r"^iteration 1: "):
        run_training(config, resume=True)


def test_a_diverged_warm_start(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"has diverged; .*; nothing of it was saved; nothing was saved before"):
        run_training(tiny_config(tmp_path / "run", warm_start={"lr": 1e38, "warmup_steps": 0}))


def test_a_live_run_has_one_writer(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    for how in ({}, {"resume": True}, {"fresh": True}):
        with pytest.raises(LockedError, match=r"run is being written by process \d+ on"):
            run_training(tiny_config(tmp_path / "run"), **how)
    lock.release()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["lock", "metrics.jsonl", "run"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    config = tiny_config(tmp_path / "run", warm_start={"steps": 0})
    with monkeypatch.context() as patch:
        patch.setattr(TrajectoryStore, "write", full)
        with pytest.raises(StoppedError, match=r"No space left on device; make room on the disk; the last good state"):
            run_training(config)
    assert run_training(config, resume=True) == 0
