"""The environment of a run: how it is made, what it is checked for, and what is said in it."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from string import Template
from typing import cast

from agentrl import seeding
from agentrl.context import named_protocol
from agentrl.env import Info, TextEnv
from agentrl.errors import AgentrlError, ConfigError, describe_fault
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
    """Make the environment once, look its splits up and begin a task of each.

    Raises:
      ConfigError: no such environment or argument, or a task that cannot begin.
      TaskNotFoundError: no such split.
      DataError: its data cannot be read.
    """
    env = env_factory(config)()
    for split in (config.env.train_split, config.eval.split):
        ids = env.tasks.ids(split)
        if not len(ids):
            raise ConfigError(f"split {split!r} of {config.env.id} is empty")
        try:
            env.reset(seed=0, options={"task": ids[0]})
        except AgentrlError:
            raise
        except Exception as error:  # an environment may be anybody's
            raise ConfigError(f"{config.env.id} cannot begin task {ids[0]!r}: {describe_fault(error)}") from error
    env.close()


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
