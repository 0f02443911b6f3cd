"""Every algorithm trains an iteration on the maze, or is refused with the reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from agentrl.algorithms import BUILTIN
from agentrl.algorithms.base import Need, Recipe
from agentrl.algorithms.grpo import GRPO
from agentrl.env import SnapshotLevel
from agentrl.errors import ConfigError
from agentrl.policy import load_policy, save_policy
from agentrl.trainer.checks.composition import UNMET
from agentrl.trainer.directory.checkpoint import check_checkpoint, latest_checkpoint
from agentrl.trainer.loop import run_training
from agentrl.trainer.run import Run
from agentrl.trainer.setup import check_algorithm, most_tokens
from tests.agentrl.trainer.tiny import tiny_config

# The maze has no answers: tests/agentrl/trainer/test_scoring.py trains where there are some.
RUNNABLE = [recipe for recipe in BUILTIN if not recipe().required() & {*UNMET, "answers"}]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a model is slower on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that sometimes finds the way out."""
    directory = tmp_path_factory.mktemp("algorithms") / "warm"
    config = tiny_config(
        directory, run={"iterations": 0, "save_trajectories_every": 0}, eval={"tasks": 1, "greedy": False}
    )
    assert run_training(config) == 0
    return directory / "policy"


def config_for(directory: Path, policy: Path | None = None, **changes: Any) -> Any:
    changes = {
        "warm_start": {"steps": 0, "demonstrations": 0},
        "eval": {"tasks": 1, "greedy": False},
        "run": {"iterations": 1, "save_trajectories_every": 0},
        "update": {"minibatches": 2, "token_budget": 2048},
    } | changes
    if policy is not None:
        changes["policy"] = {"path": str(policy)}
    return tiny_config(directory, **changes)


@pytest.mark.parametrize("recipe", RUNNABLE, ids=lambda recipe: recipe.name)
def test_an_iteration(recipe: type[Recipe], policy: Path, tmp_path: Path) -> None:
    # So few groups may all be too one-sided for brpo, which then scores none of them.
    options = {"max_skew": 1.0} if recipe.name == "brpo" else {}
    config = config_for(tmp_path / "run", policy, algorithm={"name": recipe.name} | options)
    check_algorithm(config)
    with Run(config) as run:
        run.warm_start()
        before = {name: weight.clone() for name, weight in run.model.state_dict().items()}
        rollout = run.collect()
        credit = run.assign_credit(rollout.trajectories, run.evaluate_states(rollout.trajectories))
        advantages = credit.advantages_N
        metrics = run.update(rollout.trajectories, credit)
        run.record(rollout, credit, metrics)
        changed = any(not weight.equal(before[name]) for name, weight in run.model.state_dict().items())
        dropped = run.totals(rollout, credit)["groups_dropped"]
    assert {trajectory.success for trajectory in rollout.trajectories} == {True, False}, "there is something to learn"
    assert np.nanmax(np.abs(advantages)) > 0 and changed
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["grad_norm"] > 0
    assert metrics["engine/mismatch"] < 1e-5, "what was sampled is scored as it was sampled"
    if recipe.filter == "none" and recipe.name not in ("d3s", "brpo"):
        assert dropped == 0


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (
            {"name": "salt", "base": "ppo"},
            "algorithm salt needs values: values give advantages to tokens, and it works",
        ),
        ({"name": "tree_grpo"}, "algorithm tree_grpo needs branches: sampler independent plays every episode from its"),
        ({"name": "salt", "base": "treepo"}, "algorithm salt needs branches: "),
    ],
)
def test_refused_before_anything_is_written(algorithm: dict[str, Any], message: str, tmp_path: Path) -> None:
    config = config_for(tmp_path / "run", algorithm=algorithm, rollout={"sampler": {"name": "independent"}})
    with pytest.raises(ConfigError) as caught:
        run_training(config)
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "run").exists()


class Forking(GRPO):
    """Needs states that can be restored."""

    name: ClassVar[str] = "forking"
    needs: ClassVar[frozenset[Need]] = frozenset({"snapshots"})


def test_snapshots_depend_on_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agentrl.algorithms import base
    from agentrl_envs.maze import MazeEnv

    monkeypatch.setattr(base, "_builtin", lambda: {"forking": Forking})
    config = config_for(tmp_path, algorithm={"name": "forking"})
    assert isinstance(check_algorithm(config), Forking)
    monkeypatch.setattr(MazeEnv, "snapshot_level", SnapshotLevel.NONE)
    with pytest.raises(ConfigError, match="agentrl/Maze-v0 cannot be snapshotted"):
        check_algorithm(config)


def test_filter_of_the_configuration_comes_first(policy: Path, tmp_path: Path) -> None:
    changes = {"algorithm": {"name": "grpo"}, "filter": {"name": "top_variance", "share": 0.25}}
    with Run(config_for(tmp_path / "run", policy, **changes)) as run:
        run.warm_start()
        rollout = run.collect()
        assert run.totals(rollout, run.assign_credit(rollout.trajectories))["groups_dropped"] == 3
    changes = {"algorithm": {"name": "dapo"}, "filter": {"name": "none"}}
    with Run(config_for(tmp_path / "other", policy, **changes)) as run:
        run.warm_start()
        assert np.isfinite(run.assign_credit(run.collect().trajectories).advantages_N).all()


def test_memory_goes_through_a_checkpoint(policy: Path, tmp_path: Path) -> None:
    config = config_for(tmp_path / "run", policy, algorithm={"name": "spo"}, rollout={"group_size": 1})
    with Run(config) as run:
        run.warm_start()
        played = run.collect().trajectories
        run.assign_credit(played)
        run.checkpoint()
        remembered = run.recipe.state_dict()
    assert set(remembered["tasks"]) == {trajectory.task_id for trajectory in played}
    folder = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert folder is not None and check_checkpoint(folder).algorithm == remembered
    with Run(config, resume=folder) as run:
        assert run.recipe.state_dict() == remembered


def test_salsa_is_held_by_the_average_of_two_policies(policy: Path, tmp_path: Path) -> None:
    other, tokenizer = load_policy(str(policy), dtype="float32")
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.1
    save_policy(tmp_path / "other", other, tokenizer)
    algorithm = {"name": "salsa", "other": str(tmp_path / "other"), "share": 0.25}
    config = config_for(tmp_path / "run", policy, algorithm=algorithm)
    assert check_algorithm(config).name == "salsa"
    with Run(config) as run:
        run.warm_start()
        assert run.learner.updater is not None and run.learner.updater.reference is not None
        for own, mixed in zip(run.model.parameters(), run.learner.updater.reference.parameters(), strict=True):
            torch.testing.assert_close(mixed, own + 0.025)
        played = run.collect().trajectories
        metrics = run.update(played, run.assign_credit(played))
        run.progress.iteration += 1
        run.checkpoint()
    assert metrics["ref_kl"] > 0 and metrics["grad_norm"] > 0
    with Run(config, resume=latest_checkpoint(tmp_path / "run" / "checkpoints")) as resumed:
        assert resumed.learner.updater is not None and resumed.learner.updater.reference is not None
        kept = zip(
            run.learner.updater.reference.parameters(), resumed.learner.updater.reference.parameters(), strict=True
        )
        assert all(one.equal(other) for one, other in kept)


def test_loss_settings_follow_the_progress_of_the_run(policy: Path, tmp_path: Path) -> None:
    changes = {"algorithm": {"name": "mdpo", "step_size": 0.8}, "loss": {"kl_kind": "k2"}}
    config = config_for(tmp_path / "run", policy, run={"iterations": 4, "save_trajectories_every": 0}, **changes)
    with Run(config) as run:
        sizes = []
        for run.progress.iteration in range(4):
            sizes.append(run.learner.loss_at(run.progress.iteration).options["step_size"])
            assert run.learner.loss_at(run.progress.iteration).kl_kind == "k2"
    np.testing.assert_allclose(sizes, [0.8, 0.6, 0.4, 0.2])


def test_most_tokens_of_a_sequence(tmp_path: Path) -> None:
    def most(max_turns: int | None, **context: Any) -> int:
        config = config_for(tmp_path, context={"max_turn_tokens": 6, "max_context": 192, **context})
        return most_tokens(config, max_turns)

    assert most(None) == 192 and most(5) == 30 and most(100) == 192
    assert most(None, kind="window") == 6
