"""Training, evaluating and playing from Python, as a notebook does."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import agentrl
from agentrl.errors import ConfigError, DataError, EngineError
from agentrl.trainer.directory.checkpoint import latest_checkpoint
from agentrl.trainer.launch import launch
from agentrl.trainer.playing.actor import Actor, find_policy
from tests.agentrl.trainer.tiny import ROOT, tiny_config, tiny_tree

REGISTERING = '''
from dataclasses import replace
from agentrl import register
from agentrl.context import AppendContext, register_context, register_protocol
from agentrl.context.protocols import BARE, ParsedAction
from agentrl_envs.maze import MazeEnv

class ShoutedMaze(MazeEnv):
    """A maze."""

def parse(text):
    return ParsedAction(text.strip("! "), text.endswith("!"))

register_protocol(replace(BARE, name="shout", parse=parse, write="{}!".format))
register_context("told", lambda chat, protocol, shows, window: AppendContext(chat, protocol, show_admissible=True))
register("mine/Shouted-v0", "shouted:ShoutedMaze")
'''


def episode(policy: Actor, env: agentrl.TextEnv, seed: int) -> list[str]:
    """Play an episode and return its actions."""
    policy.reset()
    observation, info = env.reset(seed=seed)
    actions, ended = [], False
    while not ended:
        actions.append(policy.act(observation, info))
        observation, _, terminated, truncated, info = env.step(actions[-1])
        ended = terminated or truncated
    return actions


def test_import_is_light() -> None:
    code = "import agentrl, sys; agentrl.train, agentrl.evaluate, agentrl.load; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_train_then_evaluate(tmp_path: Path) -> None:
    tree = tiny_tree(tmp_path / "run", run={"iterations": 1}, warm_start={"steps": 2})
    result = agentrl.train(tree)
    assert result.is_complete and result.directory == tmp_path / "run"
    assert {"warm start", "result"} <= result.evaluations.keys()
    modes = agentrl.evaluate(tree, result.directory / "policy")
    again = result.evaluations["result"]["greedy"]
    assert modes["greedy"]["success"] == again["success"] and modes["greedy"]["tasks"] == 8
    assert agentrl.train(tree, resume=True).evaluations == result.evaluations  # nothing is left to do
    with pytest.raises(ConfigError, match="set the keys in the mapping"):
        agentrl.train(tree, overrides=["run.seed=1"])


def test_one_conversation_is_one_of_many(whole_run: Path) -> None:
    """Three episodes side by side are the three played one after the other; the greedy policy is deterministic."""
    policy = agentrl.load(whole_run, conversations=3)
    apart = [episode(policy, policy.make_env(), seed) for seed in range(3)]
    envs = [policy.make_env() for _ in range(3)]
    policy.reset()
    seen = [env.reset(seed=seed) for seed, env in enumerate(envs)]
    together: list[list[str]] = [[] for _ in envs]
    for turn in range(min(map(len, apart))):
        for number, action in enumerate(policy.act([one[0] for one in seen], [one[1] for one in seen])):
            together[number].append(action)
            if turn + 1 < min(map(len, apart)):
                observation, *_, info = envs[number].step(action)
                seen[number] = (observation, info)
    assert together == [actions[: len(together[0])] for actions in apart]
    with pytest.raises(EngineError, match="conversations=4"):
        policy.act(["x"] * 4)


def test_a_conversation_remembers_and_can_be_forgotten(whole_run: Path) -> None:
    policy = agentrl.load(whole_run / "policy")
    first = policy.act("You are in room 1.")
    lengths = [len(talk.conversation.sequences()[0]) for talk in policy._talks.values()]
    policy.act("You are in room 2.")
    assert len(policy._talks[0].conversation.sequences()[0]) > lengths[0]
    policy.reset(0)
    assert policy.act("You are in room 1.") == first
    with pytest.raises(EngineError, match="reset it"):
        policy.act("room 7 " * 300)


def test_a_batch_of_a_vector_environment(whole_run: Path) -> None:
    policy = agentrl.load(whole_run, context={"show_admissible": True})
    columns = {"admissible_actions": [["go east"], None], "_admissible_actions": [True, False]}
    as_lists = policy.act(("a", "b"), [{"admissible_actions": ["go east"]}, {}])
    policy.reset()
    assert policy.act(("a", "b"), columns) == as_lists
    with pytest.raises(ConfigError, match="2 observations came with 1 infos"):
        policy.act(["a", "b"], [{}])


def test_acts_where_an_event_loop_runs(whole_run: Path) -> None:
    policy = agentrl.load(whole_run)
    expected = policy.act("You are in room 1.")
    policy.reset()

    async def cell() -> str:
        return policy.act("You are in room 1.")

    assert asyncio.run(cell()) == expected


def write_here(path: str) -> None:
    Path(path).write_text(str(launch.__module__))


@pytest.mark.slow
def test_a_notebook_launches_in_a_process_of_its_own(tmp_path: Path) -> None:
    async def cell() -> None:
        launch(write_here, (str(tmp_path / "done"),), 1)

    asyncio.run(cell())
    assert (tmp_path / "done").exists()


def test_where_a_policy_is_found(whole_run: Path, tmp_path: Path) -> None:
    newest = latest_checkpoint(whole_run / "checkpoints")
    assert newest is not None
    for where in (whole_run, whole_run / "policy", newest):
        folder, config = find_policy(where)
        assert config is not None and config.env.id == "agentrl/Maze-v0"
        assert Path(folder) == (newest if where == newest else whole_run / "policy")
    (tmp_path / "config.yaml").write_text((whole_run / "config.yaml").read_text())
    with pytest.raises(DataError, match="saved no policy yet"):
        find_policy(tmp_path)
    assert find_policy(Path("owner/model")) == ("owner/model", None)
    with pytest.raises(ConfigError, match="did you mean 'protocol'"):
        agentrl.load(whole_run, context={"protocl": "tags"})


def test_an_evaluation_is_written(whole_run: Path, tmp_path: Path) -> None:
    from agentrl.trainer.loop import run_evaluation

    out = tmp_path / "evaluation.json"
    config = tiny_config(whole_run, eval={"tasks": 2})
    assert run_evaluation(config, None, out=out) == 0
    written: dict[str, Any] = json.loads(out.read_text())
    assert written["policy"] == str(whole_run / "policy") and written["eval"]["tasks"] == 2
    assert set(written["modes"]) == {"sampled", "greedy"} and written["modes"]["greedy"]["tasks"] == 2
    with pytest.raises(DataError, match="no folder"):
        run_evaluation(config, None, out=tmp_path / "none" / "evaluation.json")


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_an_environments_module_registers_is_found(tmp_path: Path, processes: int) -> None:
    """Protocol and context come with the environment, in every process."""
    (tmp_path / "shouted.py").write_text(REGISTERING)
    tree = tiny_tree(
        tmp_path / "run",
        env={"id": "shouted:mine/Shouted-v0"},
        context={"protocol": "shout", "kind": "told", "max_context": 512},
        warm_start={"steps": 1, "demonstrations": 4},
        eval={"tasks": 2, "greedy": False},
        run={"iterations": 1, "processes": processes},
    )
    (tmp_path / "run.json").write_text(json.dumps(tree))
    command = [sys.executable, "-m", "agentrl", "train", "run.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
