"""Hosts: overhead of a call, the household in every host, a world that waits 50 ms, and what 5,000 episodes leave.

    python benchmarks/hosts.py --repeats 3 --episodes 5000

``call``: microseconds of a step of a world that does nothing, one at a time and sixteen at once. ``household``: steps a
second of the expert over 32 episodes at once. ``waiting``: turns a second of 64 episodes of a small policy in a world
whose step sleeps 50 ms, as a share of the same world without the sleep, inline, on the same cores. ``grown``: what is
more, of memory, descriptors, threads and children, after so many episodes, recycled every 500. Repetitions are
interleaved and the best of each is kept; times are of the wall. The last line is JSON.
"""

import argparse
import asyncio
import functools
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import agentrl
from agentrl.env import TaskRef, TextEnv, TurnResult, advance
from agentrl.hosts import EnvHost, HostedEnv, HostOptions, make_host
from agentrl.hosts.worker import memory_mb
from agentrl.rollout.fallible import NO_ERRORS, err
from agentrl.seeding import generator
from agentrl.tasks import DrawnTasks

WAIT_S = 0.05
CORES = len(os.sched_getaffinity(0))


class Nothing(TextEnv):
    """A world without events, which may take its time."""

    def __init__(self, wait_s: float = 0.0) -> None:
        super().__init__(DrawnTasks(lambda rng: int(rng.integers(1000)), {"train": 100, "valid": 2}), max_turns=None)
        self.wait_s = wait_s

    def _start(self, task: TaskRef, rng: Any) -> str:
        self.count = 0
        return "Nothing yet."

    def _advance(self, action: str) -> TurnResult:
        self.count += 1
        if self.wait_s:
            time.sleep(self.wait_s)
        return advance(f"Nothing, {self.count} times.")

    def _anchor_key(self) -> int:
        return self.count

    def _get_state(self) -> int:
        return self.count

    def _set_state(self, state: int) -> None:
        self.count = state


HOSTS = {
    "inline": HostOptions("inline"),
    "threads": HostOptions("threads"),
    "processes": HostOptions("processes"),
    "processes, 16 each": HostOptions("processes", per_process=16),
}


def best(measures: dict[str, Callable[[], float]], repeats: int, choose: Callable[..., float]) -> dict[str, float]:
    """Return the best of interleaved repetitions of each measure."""
    seen: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repeats):
        for name, measure in measures.items():
            seen[name].append(measure())
    return {name: choose(values) for name, values in seen.items()}


async def begin(host: EnvHost, count: int, tasks: list[str]) -> list[HostedEnv]:
    envs = [await host.acquire() for _ in range(count)]
    for number, env in enumerate(envs):
        await env.reset(number, tasks[number % len(tasks)])
    return envs


def call_us(options: HostOptions, at_once: int, rounds: int = 200) -> float:
    """Return microseconds of wall time a step, with so many steps asked for at once."""

    async def run() -> float:
        envs = await begin(host, at_once, ["train/0"])
        began = time.perf_counter()
        for _ in range(rounds):
            await asyncio.gather(*(env.step("wait") for env in envs))
        return 1e6 * (time.perf_counter() - began) / (rounds * at_once)

    with make_host(Nothing, options) as host:
        return asyncio.run(run())


def household_rate(options: HostOptions, episodes: int = 32, turns: int = 20) -> float:
    """Return steps a second of the household's expert, many episodes side by side."""
    factory = functools.partial(agentrl.make, "agentrl/Household-v0")
    tasks = list(factory().tasks.ids("train")[:episodes])

    async def play(env: HostedEnv, number: int) -> int:
        await env.script(err, generator(0, number), NO_ERRORS)
        for turn in range(turns):
            if any((await env.step(await env.advise()))[2:4]):
                return turn + 1
        return turns

    async def run() -> float:
        envs = await begin(host, episodes, tasks)
        began = time.perf_counter()
        steps = await asyncio.gather(*(play(env, number) for number, env in enumerate(envs)))
        return sum(steps) / (time.perf_counter() - began)

    with make_host(factory, options) as host:
        return asyncio.run(run())


def waiting_rates(repeats: int, episodes: int = 64, turns: int = 6, tokens: int = 24) -> dict[str, float]:
    """Return turns a second of a small policy's rollouts, and the share of the rate without a wait."""
    import torch

    from agentrl.context import make_context
    from agentrl.engines.base import SamplingParams
    from agentrl.engines.transformers import TransformersEngine
    from agentrl.policy import build_model, train_tokenizer
    from agentrl.rollout import Limits, Rollout, group_specs

    torch.set_num_threads(1)
    tokenizer = train_tokenizer(["Nothing, 12 times.", "wait"] * 50, vocab_size=300)
    model = build_model(tokenizer, hidden_size=128, num_layers=4, num_heads=4, max_context=512).eval()
    specs = group_specs([f"train/{n}" for n in range(episodes)], 1, seed=0, iteration=0)

    def rate(host: EnvHost) -> float:
        engine = TransformersEngine(model, tokenizer, max_sessions=episodes, max_context=512)
        params, limits = SamplingParams(max_tokens=tokens), Limits(max_turns=turns)
        result = Rollout(host, engine, make_context(tokenizer), params, limits=limits, concurrency=episodes).collect(
            specs
        )
        assert not result.accidents
        return result.env_steps / result.wall_s

    cases = {
        "no wait, inline": (0.0, HostOptions("inline")),
        "threads": (WAIT_S, HostOptions("threads")),
        "processes": (WAIT_S, HostOptions("processes")),
        "processes, 4 each": (WAIT_S, HostOptions("processes", per_process=4)),
    }
    hosts = {name: make_host(functools.partial(Nothing, wait_s), options) for name, (wait_s, options) in cases.items()}
    for host in hosts.values():
        rate(host)  # environments are made once
    measures = {name: functools.partial(rate, host) for name, host in hosts.items()}
    rates = best(measures, repeats, max)
    for host in hosts.values():
        host.close()
    return rates | {f"share, {name}": rates[name] / rates["no wait, inline"] for name in list(rates)[1:]}


def leaks(options: HostOptions, episodes: int) -> dict[str, float]:
    """Play episodes, eight at a time, and return what there is more of after the last nine tenths of them."""
    grown: dict[str, float] = {}

    def state() -> dict[str, float]:
        return {
            "MB": memory_mb(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "children": len(multiprocessing.active_children()),
        }

    async def episode(number: int) -> None:
        env = await host.acquire()
        await env.reset(number, "train/0")
        for _ in range(3):
            await env.step("wait")
        await host.release(env)

    async def run(numbers: range) -> None:
        for first in numbers[::8]:
            await asyncio.gather(*(episode(number) for number in range(first, first + 8)))

    with make_host(Nothing, options) as host:
        asyncio.run(run(range(episodes // 10)))
        before = state()
        asyncio.run(run(range(episodes // 10, episodes)))
        grown = {name: value - before[name] for name, value in state().items()}
        grown["recycled"] = host.events["recycled"]
    return grown | {"children left": len(multiprocessing.active_children())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=5000)
    arguments = parser.parse_args()
    repeats = arguments.repeats
    found: dict[str, Any] = {"cores": CORES}
    for at_once in (1, 16):
        measures = {name: functools.partial(call_us, options, at_once) for name, options in HOSTS.items()}
        found[f"call_us, {at_once} at once"] = best(measures, repeats, min)
        print(f"microseconds a step, {at_once} at once:", found[f"call_us, {at_once} at once"], flush=True)
    played = {
        "inline": HostOptions("inline"),
        "processes": HostOptions("processes", per_process=-(-32 // CORES)),
    }
    measures = {name: functools.partial(household_rate, options) for name, options in played.items()}
    found["household_steps_per_s"] = best(measures, repeats, max)
    print("household, steps a second:", found["household_steps_per_s"], flush=True)
    found["waiting_50_ms"] = waiting_rates(repeats)
    print("a world that waits 50 ms:", found["waiting_50_ms"], flush=True)
    for kind in ("inline", "threads", "processes"):
        options = HostOptions(kind, recycle_episodes=500)  # type: ignore[arg-type]
        found[f"grown after {arguments.episodes} episodes, {kind}"] = leaks(options, arguments.episodes)
        print(f"grown, {kind}:", found[f"grown after {arguments.episodes} episodes, {kind}"], flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
