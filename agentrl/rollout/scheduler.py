"""The one scheduler: jobs, episodes or whole groups, many at once, with what they share."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, groupby

from agentrl.context.base import Context
from agentrl.engines.base import Engine, SamplingParams
from agentrl.env import TextEnv
from agentrl.errors import ConfigError
from agentrl.hosts import EnvFault, EnvHost, as_host
from agentrl.rollout.branching.group import GrowingGroup
from agentrl.rollout.branching.player import check_forkable
from agentrl.rollout.branching.sampler import Independent, Sampler
from agentrl.rollout.episode import turn_params
from agentrl.rollout.group import EpisodeSpec
from agentrl.rollout.jobs import Job, play_all
from agentrl.rollout.limits import NO_LIMITS, Limits
from agentrl.rollout.result import RolloutResult
from agentrl.rollout.roll_in import RollIn
from agentrl.rollout.single import SingleEpisode
from agentrl.rollout.stage import Stage


class Rollout:
    """Plays episodes concurrently: while one waits for its environment, the engine samples for the others.

    Under a sampler that branches, or with a budget of steps, a group is one job
    (:class:`~agentrl.rollout.branching.group.GrowingGroup`), else each episode is. What is played depends on the specs
    alone, not on ``concurrency`` (up to the engine's own floating-point differences between batch shapes).

    An attempt without a verdict, a failed construction of the environment included, is replaced by another with a fresh
    sampling seed.

    Args:
      host: where environments live, or what makes one: then they live here, until :meth:`close`. They are reused over
        episodes, and made anew after an exception.
      engine: samples the policy.
      context: renders the conversation.
      params: how to sample a turn; the protocol's stop strings and the end-of-message token are added.
      sampler: decides the shape of groups.
      limits: of each episode, shared turns included.
      max_env_steps: steps that a group may take in its environments, see ``GrowingGroup``; None for no bound.
      concurrency: most sessions open at once (at most the engine's): so many episodes are under way, or
        ``concurrency`` // (size of a group) groups.
      max_retries: attempts after the first, per episode.
      roll_in: who plays the first turns of episodes; None for the policy. Not where groups are one job.
      is_aborted: whether to give up what is being played; asked every ``POLL_S``. It may turn true in a thread or in a
        signal handler. None for never.

    Raises:
      ConfigError: a bound is out of range, the sampler branches and the environment cannot be, or there is a roll-in
        where groups are one job.
    """

    def __init__(
        self,
        host: EnvHost | Callable[[], TextEnv],
        engine: Engine,
        context: Context,
        params: SamplingParams,
        *,
        sampler: Sampler | None = None,
        limits: Limits = NO_LIMITS,
        max_env_steps: int | None = None,
        concurrency: int = 64,
        max_retries: int = 2,
        roll_in: RollIn | None = None,
        is_aborted: Callable[[], bool] | None = None,
    ) -> None:
        if concurrency < 1 or max_retries < 0 or (max_env_steps is not None and max_env_steps < 1):
            raise ConfigError(
                f"concurrency {concurrency}, max_retries {max_retries}, max_env_steps {max_env_steps}: "
                "expected >= 1, >= 0, and >= 1 or none"
            )
        self._sampler = sampler or Independent()
        self._max_env_steps = max_env_steps
        self._concurrency = concurrency
        self._roll_in = roll_in
        self._is_aborted = is_aborted
        self._plays_groups = self._sampler.branches or max_env_steps is not None
        if self._plays_groups and roll_in is not None:
            raise ConfigError("a roll-in needs episodes that are played one by one: no forks and no max_env_steps")
        self._host, self._owns_host = as_host(host), not isinstance(host, EnvHost)
        params = replace(turn_params(params, context), alternatives=self._sampler.alternatives)
        self._stage = Stage(engine, context, params, limits, self._host, max_retries)

    def collect(self, specs: Sequence[EpisodeSpec]) -> RolloutResult:
        """Play ``specs`` and return their trajectories. For callers without an event loop.

        Raises:
          TaskNotFoundError: a task does not exist.
          AbortedError: ``is_aborted``; nothing is returned of what was played.
          ConfigError: a group that is one job has more episodes than ``concurrency``, or than the sampler's options
            allow.
        """
        return asyncio.run(self.collect_async(specs))

    async def collect_async(self, specs: Sequence[EpisodeSpec]) -> RolloutResult:
        """Play ``specs`` inside a running event loop; otherwise as :meth:`collect`.

        Cancelled or aborted, it cancels the episodes under way and waits until they have let go of their sessions. A
        call of an environment that is running is waited for.
        """
        begin, busy_s = time.perf_counter(), self._host.busy_s
        jobs = self._jobs(specs)
        largest = max((len(job.specs) for job in jobs), default=1)
        if largest > self._concurrency:
            raise ConfigError(
                f"a group of {largest} paths needs as many sessions, concurrency is {self._concurrency}: "
                "raise rollout.concurrency or lower rollout.group_size"
            )
        if self._sampler.branches and jobs:
            await self._check_forkable()
        await play_all(jobs, self._concurrency // largest, self._is_aborted)
        incomplete = dict.fromkeys(job.specs[0].group for job in jobs if len(job.trajectories) < len(job.specs))
        return RolloutResult(
            list(chain.from_iterable(job.trajectories for job in jobs)),
            list(chain.from_iterable(job.accidents for job in jobs)),
            tuple(incomplete),
            time.perf_counter() - begin,
            self._host.busy_s - busy_s,
        )

    def close(self) -> None:
        """Close the environments, if they live here."""
        if self._owns_host:
            self._host.close()

    def __enter__(self) -> "Rollout":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def _check_forkable(self) -> None:
        with suppress(EnvFault):  # one that cannot be made is an accident of each episode
            env = await self._host.acquire()
            check_forkable(env, env.name)
            await self._host.release(env)

    def _jobs(self, specs: Sequence[EpisodeSpec]) -> list[Job]:
        if not self._plays_groups:
            return [SingleEpisode(self._stage, spec, self._roll_in) for spec in specs]
        return [
            GrowingGroup(self._stage, list(members), self._sampler, self._max_env_steps)
            for _, members in groupby(specs, key=lambda spec: spec.group)
        ]
