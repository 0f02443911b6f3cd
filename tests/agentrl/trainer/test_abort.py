"""A request to stop gives up what is being played; resumed, the run is the uninterrupted one, bit for bit."""

import signal
from pathlib import Path
from typing import Any

import pytest

from agentrl.cli import main
from agentrl.errors import AbortedError
from agentrl.rollout import jobs
from agentrl.trainer.interrupts import Interrupts, unless_aborted
from agentrl.trainer.loop import INTERRUPTED, run_training
from agentrl.update import distributed
from agentrl_envs.maze import MazeEnv
from tests.agentrl.trainer.tiny import assert_same_run, tiny_config, tiny_tree, write_config

CHANGES: dict[str, Any] = {
    "warm_start": {"demonstrations": 20, "steps": 20, "target_accuracy": 0.3},
    "eval": {"every": 2, "tasks": 4, "greedy": True},
    "run": {"iterations": 3, "checkpoint_every": 9},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run that nothing interrupted, and how many episodes it began."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        begun = interrupt_episode(patch, -1)
        assert run_training(tiny_config(directory, **CHANGES)) == 0
    return directory, len(begun)


def interrupt_episode(patch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Send this process an interrupt as the run begins its episode ``number``; return those that were begun."""
    begun: list[int] = []
    enter, reset = Interrupts.__enter__, MazeEnv.reset
    is_running = False

    def entered(self: Interrupts) -> Interrupts:
        nonlocal is_running
        is_running = True
        return enter(self)

    def counted(self: MazeEnv, **kwargs: Any) -> Any:
        if is_running:
            begun.append(len(begun))
            if begun[-1] == number:
                signal.raise_signal(signal.SIGINT)
        return reset(self, **kwargs)

    patch.setattr(jobs, "POLL_S", 0.0)
    patch.setattr(Interrupts, "__enter__", entered)
    patch.setattr(MazeEnv, "reset", counted)
    return begun


# Demonstrator's evaluation 4, demonstrations 20, evaluation 4 sampled and 4 greedy, iterations of 16, after the second
# of them another evaluation of 8, the third, and the result's 8.
PLACES = {
    "demonstrator": (2, "warm-000000"),
    "demonstrations": (12, "warm-000000"),
    "evaluation of the warm start": (30, "warm-0000"),
    "first iteration": (40, "iteration-000000"),
    "second iteration": (56, "iteration-000001"),
    "evaluation between": (66, "iteration-000002"),
    "third iteration": (80, "iteration-000002"),
    "result": (90, "iteration-000003"),
}


QUICK = ("evaluation of the warm start", "second iteration", "evaluation between")


@pytest.mark.parametrize(
    "place", [place if place in QUICK else pytest.param(place, marks=pytest.mark.slow) for place in PLACES]
)
def test_what_is_played_is_given_up(
    whole: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    number, checkpoint = PLACES[place]
    assert whole[1] == 4 + 20 + 8 + 16 + 16 + 8 + 16 + 8
    config = tiny_config(tmp_path / "run", **CHANGES)
    with monkeypatch.context() as patch:
        begun = interrupt_episode(patch, number)
        assert run_training(config) == INTERRUPTED
    assert len(begun) <= number + 16, "only what was under way, and what was begun with it"
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names[-1].startswith("warm" if checkpoint.startswith("warm") else checkpoint)
    assert run_training(config, resume=True) == 0
    assert_same_run(whole[0], tmp_path / "run")


def test_an_evaluation_of_a_policy_too(
    whole: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path / "run.yaml", tiny_tree(tmp_path / "run", **CHANGES))
    with monkeypatch.context() as patch:
        interrupt_episode(patch, 1)
        with pytest.raises(SystemExit) as ended:
            main(["eval", str(path), "--policy", str(whole[0] / "policy")])
    assert ended.value.code == INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


def test_the_processes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unless_aborted(lambda: 3) == 3
    monkeypatch.setattr(distributed, "all_sum", lambda values: [value + 1 for value in values])
    with pytest.raises(AbortedError, match="another process"):
        unless_aborted(lambda: 3)

    def give_up() -> int:
        raise AbortedError("own")

    with pytest.raises(AbortedError, match="own"):
        unless_aborted(give_up)
