"""The environment of a run: how it is made, what it is checked for, and what is said in it."""

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import partial
from string import Template
from typing import cast

from agentrl import seeding
from agentrl.context import named_protocol
from agentrl.env import Info, TextEnv
from agentrl.errors import ConfigError, describe_fault
from agentrl.hosts import EnvFault, EnvHost, make_host
from agentrl.making import make
from agentrl.rollout import FallibleExpert
from agentrl.trainer.config import Config


def env_factory(config: Config) -> Callable[[], TextEnv]:
    """Return a function that makes the configured environment.

    ``${NAME}`` in a text argument is the environment variable; AGENTRL_DATA is ../shared/data where it is not set.
    """
    variables = {"AGENTRL_DATA": "../shared/data", **os.environ}
    kwargs = {
        key: Template(value).safe_substitute(variables) if isinstance(value, str) else value
        for key, value in config.env.kwargs.items()
    }

    return partial(make, config.env.id, **kwargs)


def check_tasks(config: Config) -> None:
    """Make the environment once, where it is to live, look its splits up and begin a task of each.

    Raises:
      ConfigError: no such environment or argument, or a task that cannot begin, in time, without ending its process.
      TaskNotFoundError: no such split.
      DataError: its data cannot be read.
    """
    with make_host(env_factory(config), config.env.options()) as host:
        asyncio.run(_begin_tasks(host, config))


async def _begin_tasks(host: EnvHost, config: Config) -> None:
    what = "cannot be made"
    try:
        env = await host.acquire()
        for split in dict.fromkeys((config.env.train_split, config.eval.split)):
            first = await env.first_task(split)
            if first is None:
                raise ConfigError(f"split {split!r} of {config.env.id} is empty")
            what = f"cannot begin task {first!r}"
            await env.reset(0, first)
        await host.release(env)
    except EnvFault as fault:  # an environment may be anybody's
        cause = str(fault) if fault.__cause__ is None else describe_fault(fault.__cause__)
        raise ConfigError(f"{config.env.id} {what}: {cause}") from fault


def environment_texts(config: Config) -> Iterator[str]:
    """Yield what is seen and said in episodes on training tasks: an expert's, with a fifth of the actions at random.

    Where actions are not listed the expert is followed; where it gives up, the episode is over.
    """
    env = env_factory(config)()
    write = named_protocol(config.context.protocol).write
    for episode in range(config.policy.build.tokenizer_episodes):
        rng = seeding.generator(config.run.seed, "tokenizer", episode)
        task = env.tasks.sample(config.env.train_split, rng)
        observation, info = env.reset(seed=int(rng.integers(2**31)), options={"task": task})
        expert = FallibleExpert.of(env, rng, wander=0.0 if info["admissible_actions"] is None else 0.2)
        yield observation
        ended = False
        while not ended:
            action = expert(observation, cast(Info, info))
            if action is None:
                break
            observation, _, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
            yield write(action)
            yield observation
    env.close()
