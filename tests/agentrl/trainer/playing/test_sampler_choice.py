"""Which sampler a run gets, and what is refused before its first step."""

from typing import Any

import pytest

from agentrl.algorithms.base import make_recipe
from agentrl.env import SnapshotLevel
from agentrl.errors import ConfigError
from agentrl.rollout import RolloutResult
from agentrl.trainer.config import Config, UpdateConfig, parse_config
from agentrl.trainer.playing.sampling import choose_sampler, keeps_groups, slow_worlds
from agentrl.trainer.setup import check_algorithm
from agentrl_envs.maze import MazeEnv


def config_for(algorithm: str, **rollout: Any) -> Config:
    return parse_config({"env": {"id": "agentrl/Maze-v0"}, "algorithm": {"name": algorithm}, "rollout": rollout})


@pytest.mark.parametrize(
    ("algorithm", "sampler"),
    [("gigpo", "independent"), *((name, name) for name in ("arpo", "aepo", "tree_grpo", "treepo", "latr"))],
)
def test_algorithms_bring_their_sampler(algorithm: str, sampler: str) -> None:
    config = config_for(algorithm)
    assert choose_sampler(config, make_recipe(config.algorithm)).name == sampler


@pytest.mark.parametrize(
    ("host", "env_s", "steps", "warns"),
    [
        ("inline", 9.5, 190, True),
        ("threads", 95.0, 1900, False),
        ("inline", 0.4, 8, False),
        ("inline", 9.5, 100_000, False),
    ],
    ids=["one after the other", "threads already", "the engine dominates", "microseconds a step"],
)
def test_slow_worlds_are_told_of(host: str, env_s: float, steps: int, warns: bool) -> None:
    class Played(RolloutResult):
        env_steps = steps

    config = parse_config({"env": {"id": "agentrl/Maze-v0", "host": host}})
    advice = slow_worlds(config, Played(wall_s=10.0, env_s=env_s))
    assert (advice is not None) == warns
    if advice:
        assert "95 % of the rollout's time, 50 ms a step" in advice and "env.host=threads" in advice


def test_transforms_take_that_of_their_base() -> None:
    for base, sampler in (("treepo", "treepo"), ("grpo", "independent")):
        recipe = make_recipe({"name": "salt", "base": base})
        assert choose_sampler(config_for("grpo"), recipe).name == sampler
    assert make_recipe({"name": "arpo", "base": "treepo"}).samples_with() == "arpo"


def test_the_configured_sampler_comes_first() -> None:
    config = config_for("gigpo", sampler={"name": "arpo", "beam": 3})
    assert choose_sampler(config, check_algorithm(config)).model_dump()["beam"] == 3


@pytest.mark.parametrize(("algorithm", "kept"), [("grpo", None), ("arpo", True)])
def test_minibatches_are_of_whole_groups_where_episodes_share_most(algorithm: str, kept: bool | None) -> None:
    recipe = make_recipe({"name": algorithm})
    assert keeps_groups(config_for(algorithm), recipe) is kept
    for wish in (True, False):
        config = config_for(algorithm).model_copy(update={"update": UpdateConfig(keep_groups=wish)})
        assert keeps_groups(config, recipe) is wish


@pytest.mark.parametrize(
    ("algorithm", "rollout", "message"),
    [
        ("arpo", {"sampler": {"name": "independent"}}, "algorithm arpo needs branches: sampler independent plays"),
        ("arpo", {"sampler": {"name": "arpo", "beem": 2}}, "sampler arpo has no option 'beem'; did you mean 'beam'"),
        ("grpo", {"sampler": {"name": "tree"}}, "no sampler 'tree'"),
        ("arpo", {"sampler": {"name": "arpo", "initial": 9}}, "sampler.initial is 9, but the group has only 8"),
        ("arpo", {"concurrency": 7}, "rollout.group_size 8 exceeds rollout.concurrency 7"),
        ("grpo", {"concurrency": 7, "max_env_steps": 9}, "rollout.group_size 8 exceeds rollout.concurrency 7"),
    ],
)
def test_what_cannot_be_sampled_is_refused(algorithm: str, rollout: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_algorithm(config_for(algorithm, **rollout))
    assert check_algorithm(config_for("grpo", concurrency=7))


def test_a_world_that_cannot_be_forked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MazeEnv, "snapshot_level", SnapshotLevel.NONE)
    with pytest.raises(ConfigError, match=r"agentrl/Maze-v0 declares snapshot level 'none'.*name=independent"):
        check_algorithm(config_for("arpo"))
    monkeypatch.setattr(MazeEnv, "is_stateless", True)
    assert check_algorithm(config_for("arpo")).name == "arpo"
