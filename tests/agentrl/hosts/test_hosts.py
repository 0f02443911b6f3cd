"""Where environments live: the same answers everywhere, limits, deaths, replacement."""

import asyncio
import functools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.env import Outcome
from agentrl.errors import ConfigError, TaskNotFoundError
from agentrl.hosts import EnvFault, EnvHost, HostedEnv, HostOptions, make_host
from agentrl.rollout import Errors, RollIn, Rollout, RolloutResult, demonstrate, group_specs
from agentrl.store import save_trajectories
from agentrl.trainer.config import parse_config
from agentrl.trainer.world import check_tasks
from tests.agentrl.hosts.misbehaving import Expensive, Misbehaving, Telling, end_by, sleep
from tests.agentrl.rollout.corridor import Corridor
from tests.agentrl.rollout.toys import TracedEngine, byte_tokenizer, chatter

CONTEXT = make_context(byte_tokenizer())
PROCESSES = HostOptions("processes", per_process=3)
HOSTS = [HostOptions("inline"), HostOptions("threads"), PROCESSES]
every_host = pytest.mark.parametrize("options", HOSTS, ids=lambda options: options.kind)
SPECS = group_specs(["corridor-2", "corridor-3"], 4, seed=3, iteration=1)


def play(host: EnvHost, **kwargs: Any) -> RolloutResult:
    engine = TracedEngine(chatter(CONTEXT.chat, "left", "right", "ring"), CONTEXT.chat.tokenizer)
    result = Rollout(host, engine, CONTEXT, SamplingParams(), **kwargs).collect(SPECS)
    assert engine.num_open == 0
    return result


# -- the same everywhere ---------------------------------------------------------------------------------------------


def test_same_seeds_give_the_same_trajectories_in_every_host(tmp_path: Path) -> None:
    how = RollIn(0.5, (1, 3))
    for options in HOSTS:
        with make_host(functools.partial(Corridor, max_turns=6), options) as host:
            save_trajectories(tmp_path / f"{options.kind}-rollout", play(host, roll_in=how).trajectories)
            shown = demonstrate(host, ["corridor-5"] * 9, CONTEXT, seed=1, errors=Errors(wander=0.3, lapse=0.1))
            save_trajectories(tmp_path / f"{options.kind}-shown", shown.trajectories)
    for what in ("rollout", "shown"):
        assert len({(tmp_path / f"{options.kind}-{what}").read_bytes() for options in HOSTS}) == 1


@every_host
def test_what_is_misuse_is_raised_as_it_is(options: HostOptions) -> None:
    async def ask() -> None:
        env = await host.acquire()
        with pytest.raises(TaskNotFoundError, match="corridor-99"):
            await env.reset(0, "corridor-99")

    with make_host(Corridor, options) as host:
        asyncio.run(ask())


@every_host
def test_a_host_serves_one_event_loop_after_the_other(options: HostOptions) -> None:
    with make_host(functools.partial(Corridor, max_turns=6), options) as host:
        first, second = play(host), play(host)
    assert [t.turns for t in first.trajectories] == [t.turns for t in second.trajectories]
    assert host.busy_s > 0


# -- limits and deaths -----------------------------------------------------------------------------------------------


@every_host
@pytest.mark.parametrize("place", ["make", "reset", "step", "close"])
def test_an_environment_that_hangs_is_replaced(options: HostOptions, place: str, tmp_path: Path) -> None:
    factory = functools.partial(Misbehaving, place, functools.partial(sleep, 60), tmp_path / "done")
    seconds = 2.5 if options.kind == "processes" else 1.0
    limits = dict.fromkeys(("make", "reset", "step", "close"), seconds)
    limited = HostOptions(options.kind, limits, options.per_process, recycle_episodes=1)
    began = time.monotonic()
    with make_host(functools.partial(Corridor, max_turns=6)) as host:
        calm = play(host)
    with make_host(factory, limited) as host:
        result = play(host)
        assert host.events["timed_out"] == 1
    assert time.monotonic() - began < 45
    assert [t.id for t in result.trajectories] == [spec.id for spec in SPECS]
    where = {"make": "while making the environment", "reset": "in reset", "step": "in turn 1"}
    reasons = [f"TimeLimit {where[place]}: no answer within {limits[place]:g} s"] if place in where else []
    assert [lost.outcome_reason for lost in result.accidents] == reasons
    assert {lost.outcome for lost in result.accidents} <= {Outcome.ENV_ERROR}
    played_again = {lost.id.split("~")[0] for lost in result.accidents}
    for one, other in zip(result.trajectories, calm.trajectories, strict=True):
        assert (one.turns == other.turns) or one.id in played_again, "who shared its process went on as if alone"


@every_host
def test_a_step_that_takes_too_long_may_be_a_failure(options: HostOptions, tmp_path: Path) -> None:
    factory = functools.partial(Expensive, "step", functools.partial(sleep, 60), tmp_path / "done")
    with make_host(factory, HostOptions(options.kind, {"step": 0.3}, options.per_process)) as host:
        result = play(host)
    assert not result.accidents
    [failed] = [t for t in result.trajectories if "TimeLimit" in t.outcome_reason]
    assert (failed.outcome, failed.success, len(failed.turns)) == (Outcome.FAILURE, False, 2)
    assert failed.turns[-1].terminated and not failed.turns[-1].truncated and failed.turns[-1].reward == 0


@pytest.mark.parametrize(("signum", "outcome"), [(signal.SIGSEGV, "env_error"), (signal.SIGKILL, "infra_lost")])
def test_a_process_that_dies_is_replaced(signum: int, outcome: str, tmp_path: Path) -> None:
    factory = functools.partial(Misbehaving, "step", functools.partial(end_by, signum), tmp_path / "done")
    with make_host(factory, PROCESSES) as host:
        result = play(host)
        assert host.events["died"] == 1 and host.events["re-entered"] in (1, 2), "the others that lived in it"
    assert len(result.trajectories) == len(SPECS)
    [lost] = result.accidents
    name = signal.Signals(signum).name
    assert (lost.outcome, lost.outcome_reason) == (outcome, f"HostDied in turn 1: its process was ended by {name}")


# -- replacement -----------------------------------------------------------------------------------------------------


@every_host
def test_environments_are_recycled(options: HostOptions) -> None:
    async def use() -> list[str]:
        seen = []
        for number in range(6):
            env = await host.acquire()
            seen.append((await env.reset(number, "corridor-2"))[0])
            await host.release(env)
        return seen

    with make_host(Telling, HostOptions(options.kind, None, options.per_process, recycle_episodes=2)) as host:
        seen = asyncio.run(use())
        assert host.events["recycled"] == 3
    assert seen[0] == seen[1] and seen[2] == seen[3] and seen[4] == seen[5]
    if options.kind == "processes":
        assert len({text.split()[0] for text in seen}) == 3


def test_a_process_that_has_grown_is_replaced() -> None:
    async def use() -> None:
        for number in range(3):
            env = await host.acquire()
            await env.reset(number, "corridor-2")
            await host.release(env)

    with make_host(Telling, HostOptions("processes", recycle_mb=1)) as host:
        asyncio.run(use())
        assert host.events["recycled"] == 3


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    async def begin() -> HostedEnv:
        env = await host.acquire()
        await env.reset(0, "corridor-2")
        return env

    pids, before = [], set(threading.enumerate())
    for options in HOSTS[1:]:
        with make_host(Telling, options) as host:
            asyncio.run(begin())
            pids += [child._process.pid for child in getattr(host, "_children", ())]
    assert not set(threading.enumerate()) - before
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_what_cannot_be_sent_to_a_process_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"functools\.partial"):
        make_host(lambda: Corridor(), PROCESSES)


def test_a_fault_says_what_and_where() -> None:
    async def break_it() -> None:
        env = await host.acquire()
        with pytest.raises(EnvFault, match="missing 1 required positional") as caught:
            await env.call("reset", 1)
        assert "in perform" in "".join(caught.value.__notes__)

    with make_host(Corridor, PROCESSES) as host:
        asyncio.run(break_it())


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "thread"},
        {"time_limit_s": 0},
        {"time_limit_s": {"stepp": 1.0}},
        {"recycle_episodes": 0},
        {"kind": "threads", "per_process": 2},
        {"recycle_mb": 100},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        HostOptions(**wrong)


# -- a run -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "processes"}, "its process ended with exit code 0"),
        ({"host": "inline", "time_limit_s": 0.3}, "no answer within 0.3 s"),
        ({"host": "processes", "time_limit_s": 0.3}, "no answer within 0.3 s"),
    ],
    ids=str,
)
def test_a_run_whose_world_cannot_begin_says_so_before_it_starts(options: dict[str, Any], says: str) -> None:
    name = "exit of C" if "time_limit_s" not in options else "sleep"
    env = {"id": "tests.agentrl.hosts.deeds:tests/Mischief-v0", "kwargs": {"in_reset": name}, **options}
    with pytest.raises(ConfigError, match=f"cannot begin task 'fine'.*{says}"):
        check_tasks(parse_config({"env": env, "eval": {"split": "train"}}))
