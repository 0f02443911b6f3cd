"""tau-bench's own data: its traces, its hashes, its rewards."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentrl import make
from agentrl.tool import ToolCall, tools_of
from agentrl_envs.toolbox.env import ToolServiceEnv
from tests.shared_data import shared_data

DOMAINS = ("retail", "airline")
FRESH = {
    "retail": "5a4b2cb59f4d12dea7e4adff24a7f8fada510ead49372ea4a729a82bbb5f49b5",
    "airline": "4587e6b48ad2b2c4f3e1fecb40aabec7bb2286513273b8f8cec3f5865222f290",
}


@pytest.fixture(scope="module")
def folder() -> Path:
    return shared_data("tau_bench")


def desk(folder: Path, domain: str, **options: Any) -> ToolServiceEnv:
    env = make("agentrl/ToolService-v0", world="tau_bench", data=str(folder), domain=domain, briefing=False, **options)
    assert isinstance(env, ToolServiceEnv)
    return env


def finish(env: ToolServiceEnv, task: str, actions: list[str]) -> float:
    env.reset(options={"task": task})
    for action in actions or env.solution() or []:
        _, reward, terminated, _, _ = env.step(action)
    assert terminated
    return reward


@pytest.mark.parametrize("domain", DOMAINS)
def test_traces(folder: Path, domain: str) -> None:
    env = desk(folder, domain)
    traces = [json.loads(line) for line in (folder / "traces_dev.jsonl").read_text().splitlines()]
    for trace in traces:
        if trace["domain"] != domain:
            continue
        task = f"{trace['split']}/{trace['task']}"
        env.reset(options={"task": task})
        assert env.database_hash() == trace["initial_hash"] == FRESH[domain]
        for step in trace["trace"]:
            observation, *_ = env.step(ToolCall(step["name"], step["kwargs"]).as_action())
            assert (observation, env.database_hash()) == (step["observation"], step["db_hash"]), trace["id"]
        assert env.database_hash() == trace["final_hash"]
        assert finish(env, task, []) == trace["reward_gt"]
        assert finish(env, task, ["Bye."]) == trace["reward_do_nothing"]


@pytest.mark.parametrize(("domain", "count"), [("retail", 8), ("airline", 19)])
def test_idle_tasks(folder: Path, domain: str, count: int) -> None:
    env, without = desk(folder, domain), desk(folder, domain, idle=False)
    idle = [task for task in env.world.idle if not task.startswith("train/")]
    assert len(idle) == count
    assert all(finish(env, task, ["Bye."]) == 1.0 for task in idle[:3])
    assert set(without.tasks.ids("test")) == set(env.tasks.ids("test")) - set(env.world.idle)


@pytest.mark.parametrize("domain", DOMAINS)
def test_tools_take_what_the_originals_take(folder: Path, domain: str) -> None:
    env = desk(folder, domain)
    theirs = {schema["function"]["name"]: schema["function"]["parameters"] for schema in env.tools}
    ours = {name: tool.schema["function"]["parameters"] for name, tool in tools_of(env.world.desk).items()}
    assert set(ours) == set(theirs)
    for name, parameters in theirs.items():
        assert set(ours[name]["properties"]) == set(parameters["properties"])
        assert set(ours[name]["required"]) == set(parameters["required"])


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_task_is_solved_by_its_own_actions(folder: Path, domain: str) -> None:
    env = desk(folder, domain)
    assert all(finish(env, task, []) == 1.0 for ids in env.tasks.splits.values() for task in ids)
