"""The study of a run's credit: numbers by hand, tables, picture, and clear refusals."""

from pathlib import Path

import numpy as np
import pytest

from agentrl import credit
from agentrl.cli import main
from agentrl.env import Outcome
from agentrl.errors import ConfigError, DataError
from agentrl.lab.credit_study import (
    Study,
    correlation,
    load_episodes,
    plot_study,
    size_shares,
    spread,
    structure,
    study_credit,
    study_tables,
)
from agentrl.store import TrajectoryStore
from agentrl.types import Trajectory, Turn

NAN = float("nan")


def episode(
    name: str, states: str, reward: float, *, group: str = "one", outcome: Outcome = Outcome.FAILURE
) -> Trajectory:
    """Return an episode through states (a letter each) that is rewarded at its end; actions are all alike."""
    last = len(states) - 1
    turns = [
        Turn(t, "seen", "go", "go", True, reward if t == last else 0.0, state, num_tokens=1, mean_entropy=0.5)
        for t, state in enumerate(states)
    ]
    return Trajectory(name, group, "task", 0, turns, [], outcome)


@pytest.fixture
def episodes() -> list[Trajectory]:
    return [
        episode("a", "xyz", 1.0),
        episode("b", "xyw", 0.0),
        episode("c", "xv", 0.0),
        episode("d", "x", 0.0, group="two"),
        episode("e", "u", 0.0, group="two"),
        episode("f", "xy", 0.0, group="three", outcome=Outcome.ENV_ERROR),
    ]


@pytest.fixture
def run(tmp_path: Path, episodes: list[Trajectory]) -> Path:
    store = TrajectoryStore(tmp_path / "run" / "trajectories")
    store.write(0, episodes[3:])
    store.write(4, episodes)
    return tmp_path / "run"


def test_sizes_of_what_meets(episodes: list[Trajectory]) -> None:
    """Group one: x three times, y twice, z, w, v; its transitions x-y twice, the rest once. Group two: x and u."""
    shares = size_shares(study_credit(episodes, ["grpo"]).table)
    np.testing.assert_allclose(shares["anchor state"], [0.5, 0.5, 0, 0, 0])
    np.testing.assert_allclose(shares["transition"], [0.8, 0.2, 0, 0, 0])
    many = [episode(str(number), "x" * (1 + number % 2), 0.0) for number in range(40)]
    assert size_shares(study_credit(many, ["grpo"]).table)["anchor state"].tolist() == [0, 0, 0, 0, 1]


def test_advantages_are_the_trainers(episodes: list[Trajectory]) -> None:
    study = study_credit(episodes, ["grpo", "gigpo", "spo"])
    np.testing.assert_array_equal(study.advantages["grpo"], credit.grpo(study.table))
    np.testing.assert_array_equal(study.advantages["gigpo"], credit.gigpo(study.table))
    assert np.isfinite(study.advantages["spo"]).sum() == 10 and np.isnan(study.advantages["spo"][-2:]).all()


def test_structure_by_hand(episodes: list[Trajectory]) -> None:
    found = structure(study_credit(episodes, []).table)
    assert found == {
        "episodes": 5,
        "turns": 10,
        "groups": 2,
        "smallest group": 2,
        "largest group": 3,
        "groups of equal returns": 0.5,
        "turns in a state met once": 0.5,  # z, w, v in the first group, both of the second
        "turns per anchor state": 10 / 7,
        "SALT merge rate": 0.2,  # the first turns of a and b; where c goes is another state
    }


def test_spread_by_hand() -> None:
    assert spread(np.array([1.0, -1.0, 0.0, 0.0, NAN])) == {
        "mean": 0.0,
        "std": pytest.approx(np.sqrt(0.5)),
        "largest": 1.0,
        "nonzero": 0.5,
        "scored": 0.8,
    }
    assert spread(np.array([NAN]))["scored"] == 0.0


def test_correlation() -> None:
    one = np.array([1.0, 2.0, 4.0, NAN])
    assert correlation(one, one) == pytest.approx(1.0)
    assert correlation(one, np.array([-1.0, -2.0, -4.0, 9.0])) == pytest.approx(-1.0)
    assert np.isnan(correlation(one, np.array([3.0, 3.0, 3.0, 8.0])))
    assert np.isnan(correlation(one, np.full(4, NAN)))


def test_tables(episodes: list[Trajectory]) -> None:
    study = study_credit(episodes, ["grpo", "gigpo"])
    numbers, pairs, found, met = study_tables(study)
    assert list(numbers.columns[0].cells) == list(pairs.columns[0].cells) == ["grpo", "gigpo"]
    assert list(numbers.columns[5].cells) == ["83.3 %", "83.3 %"]
    assert next(iter(pairs.columns[1].cells)) == "1.00"
    assert dict(zip(found.columns[0].cells, found.columns[1].cells, strict=True))["SALT merge rate"] == "20.0 %"
    assert [next(iter(column.cells)) for column in met.columns] == ["anchor state", "50.0 %", "50.0 %", *["0.0 %"] * 3]


@pytest.mark.parametrize("estimators", [["grpo"], ["grpo", "gigpo", "salt", "d3s"]])
def test_picture(episodes: list[Trajectory], estimators: list[str], tmp_path: Path) -> None:
    plot_study(study_credit(episodes, estimators), tmp_path / "credit.png")
    assert (tmp_path / "credit.png").read_bytes().startswith(b"\x89PNG")


def test_picture_of_nothing_scored(episodes: list[Trajectory], tmp_path: Path) -> None:
    table = study_credit(episodes, []).table
    plot_study(Study(table, {"none": np.full(len(table), NAN)}), tmp_path / "credit.png")
    assert (tmp_path / "credit.png").exists()


def test_newest_iteration_unless_told(run: Path) -> None:
    assert [load_episodes(run)[0], load_episodes(run, 0)[0]] == [4, 0]
    assert len(load_episodes(run)[1]) == 6 and len(load_episodes(run, 0)[1]) == 3


def test_refusals(run: Path, episodes: list[Trajectory], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run in .*/rin; did you mean '.*/run'"):
        load_episodes(tmp_path / "rin")
    with pytest.raises(DataError, match=r"iteration 3 .* is not stored; stored: 0, 4"):
        load_episodes(run, 3)
    with pytest.raises(DataError, match=r"holds no trajectories: train with --set run\.save_trajectories_every=1"):
        load_episodes(tmp_path)
    with pytest.raises(DataError, match="no episode has a verdict"):
        study_credit(episodes[5:], ["grpo"])
    with pytest.raises(ConfigError, match="did you mean 'gigpo'"):
        study_credit(episodes, ["gipgo"])
    with pytest.raises(ConfigError, match="ppo has no advantages without a critic"):
        study_credit(episodes, ["ppo"])


def ended(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return int(done.value.code or 0)


def test_command(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert ended("credit", run, "--estimators", "grpo, salt") == 0
    output = capsys.readouterr().out
    assert "iteration 4 of" in output and "salt" in output and "SALT merge rate" in output
    assert (run / "credit.png").stat().st_size > 0
    assert ended("credit", run, "--iteration", "0", "--output", run / "other.png") == 0
    assert (run / "other.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--iteration", "9"], "iteration 9"),
        (["--estimators", "grpo,"], "unknown algorithm ''"),
        (["--output", "nowhere/credit.png"], "no folder nowhere for credit.png"),
    ],
)
def test_command_refuses(run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("credit", run, *options) == 2
    output, errors = capsys.readouterr()
    assert output == "" and message in errors and errors.count("\n") == 1
