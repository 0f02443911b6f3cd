"""What every episode of a rollout is played with."""

from dataclasses import dataclass

from agentrl.context.base import Context
from agentrl.engines.base import Engine, SamplingParams
from agentrl.hosts import EnvHost
from agentrl.rollout.limits import Limits


@dataclass(frozen=True, slots=True)
class Stage:
    """The means that the jobs of a rollout share.

    Attributes:
      engine: samples the policy.
      context: renders the conversations.
      params: how to sample a turn, with the stop strings and ids of the context.
      limits: of each episode.
      host: lends environments.
      max_retries: attempts after the first, per episode, where accidents end them.
    """

    engine: Engine
    context: Context
    params: SamplingParams
    limits: Limits
    host: EnvHost
    max_retries: int
