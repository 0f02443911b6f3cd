"""Playing many episodes at once, and replacing those that an accident ended."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from agentrl.context.base import Context
from agentrl.engines.base import Engine, SamplingParams
from agentrl.env import Outcome, TextEnv
from agentrl.errors import ConfigError
from agentrl.rollout.episode import play_episode
from agentrl.rollout.forest import forest_metrics
from agentrl.rollout.group import EpisodeSpec
from agentrl.rollout.limits import NO_LIMITS, Limits
from agentrl.rollout.pool import EnvPool
from agentrl.rollout.roll_in import RollIn
from agentrl.types import Trajectory


@dataclass(slots=True)
class RolloutResult:
    """What a rollout brought.

    Attributes:
      trajectories: those with a verdict, in the order of the specs.
      accidents: the record of attempts that ended without a verdict; never trained on.
      incomplete_groups: groups with fewer members than asked for, because retries ran out.
      wall_s: seconds it took.
      env_s: seconds spent inside environments, added up over threads.
      spent: episodes with a verdict that others took the place of; never trained on.
    """

    # Not in the repr: asyncio.run renders a task's result into text when it sets its signal handlers back, and that
    # took as long as the rollout of a small model.
    trajectories: list[Trajectory] = field(default_factory=list, repr=False)
    accidents: list[Trajectory] = field(default_factory=list, repr=False)
    incomplete_groups: tuple[str, ...] = ()
    wall_s: float = 0.0
    env_s: float = 0.0
    spent: list[Trajectory] = field(default_factory=list, repr=False)

    @property
    def played(self) -> list[Trajectory]:
        """Every episode that was played, whatever became of it."""
        return self.trajectories + self.accidents + self.spent

    @property
    def num_env_errors(self) -> int:
        """Attempts that an environment's exception ended."""
        return sum(accident.outcome is Outcome.ENV_ERROR for accident in self.accidents)

    @property
    def num_infra_lost(self) -> int:
        """Attempts that an engine's failure ended."""
        return sum(accident.outcome is Outcome.INFRA_LOST for accident in self.accidents)

    @property
    def num_sampled_tokens(self) -> int:
        """Tokens sampled in every episode that was played; what branches share was sampled once."""
        return sum(turn.num_tokens for one in self.played for turn in one.own_turns)

    @property
    def env_steps(self) -> int:
        """Environment steps (tool calls) that were executed, accidents included; what branches share counts once."""
        return sum(trajectory.env_steps for trajectory in self.played)

    def metrics(self) -> dict[str, float]:
        """Return the rollout's numbers for the log, those of `forest_metrics` where episodes were forked.

        Means over no trajectory are left out.
        """
        turns = [turn for trajectory in self.trajectories for turn in trajectory.turns]
        lengths = [len(sequence) for trajectory in self.trajectories for sequence in trajectory.sequences]
        wall_s = max(self.wall_s, 1e-9)
        metrics = {
            "rollout/num_trajectories": float(len(self.trajectories)),
            "rollout/num_env_errors": float(self.num_env_errors),
            "rollout/num_infra_lost": float(self.num_infra_lost),
            "rollout/num_incomplete_groups": float(len(self.incomplete_groups)),
            "rollout/num_sampled_tokens": float(self.num_sampled_tokens),
            "rollout/num_sequence_tokens": float(sum(lengths)),
            "rollout/env_steps": float(self.env_steps),
            "rollout/wall_s": self.wall_s,
            "rollout/env_s": self.env_s,
            "rollout/sampled_tokens_per_s": self.num_sampled_tokens / wall_s,
            "rollout/turns_per_s": self.env_steps / wall_s,
            **forest_metrics(self.trajectories),
        }
        if turns:
            ended = [trajectory.outcome is Outcome.TRUNCATED for trajectory in self.trajectories]
            successes = sum(trajectory.success for trajectory in self.trajectories)
            metrics |= {
                **({"rollout/env_steps_per_success": self.env_steps / successes} if successes else {}),
                "rollout/success_rate": float(np.mean([t.success for t in self.trajectories])),
                "rollout/mean_score": float(np.mean([t.score for t in self.trajectories])),
                "rollout/mean_reward": float(np.mean([t.total_reward for t in self.trajectories])),
                "rollout/mean_turns": len(turns) / len(self.trajectories),
                "rollout/truncated_rate": float(np.mean(ended)),
                "rollout/valid_action_rate": float(np.mean([turn.action_valid for turn in turns])),
                "rollout/mean_entropy": float(np.mean([turn.mean_entropy for turn in turns])),
            }
        return metrics


class Rollout:
    """Plays episodes concurrently: while one waits for its environment, the engine samples for the others.

    What is played depends on the specs alone, not on ``concurrency`` (up to the engine's own floating-point
    differences between batch shapes). An attempt without a verdict is replaced by another with a fresh sampling seed.

    Args:
      env_factory: makes an environment; they are reused over episodes, and built anew after an exception.
      engine: samples the policy.
      context: renders the conversation.
      params: how to sample a turn.
      limits: of each episode.
      concurrency: most episodes under way at once (at most the engine's sessions).
      max_retries: attempts after the first, per episode.
      threads: call environments in threads.
      roll_in: who plays the first turns of episodes; None for the policy.

    Raises:
      ConfigError: ``concurrency`` is less than 1 or ``max_retries`` negative.
    """

    def __init__(
        self,
        env_factory: Callable[[], TextEnv],
        engine: Engine,
        context: Context,
        params: SamplingParams,
        *,
        limits: Limits = NO_LIMITS,
        concurrency: int = 64,
        max_retries: int = 2,
        threads: bool = False,
        roll_in: RollIn | None = None,
    ) -> None:
        if concurrency < 1 or max_retries < 0:
            raise ConfigError(f"concurrency {concurrency} and max_retries {max_retries}: expected >= 1 and >= 0")
        self.engine = engine
        self.context = context
        self.params = params
        self.limits = limits
        self._concurrency = concurrency
        self._max_retries = max_retries
        self._roll_in = roll_in
        self._pool = EnvPool(env_factory, concurrency, threads=threads)

    def collect(self, specs: Sequence[EpisodeSpec]) -> RolloutResult:
        """Play ``specs`` and return their trajectories. For callers without an event loop.

        Raises:
          TaskNotFoundError: a task does not exist.
        """
        return asyncio.run(self.collect_async(specs))

    async def collect_async(self, specs: Sequence[EpisodeSpec]) -> RolloutResult:
        """Play ``specs`` inside a running event loop; otherwise as :meth:`collect`.

        Cancelling it cancels the episodes under way and waits until they have let go of their sessions.
        """
        begin, busy_s = time.perf_counter(), self._pool.busy_s
        attempts: list[list[Trajectory]] = [[] for _ in specs]
        waiting = deque(enumerate(specs))
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self._concurrency, len(specs))):
                    workers.create_task(self._work(waiting, attempts))
        except BaseExceptionGroup as group:
            raise first_exception(group) from None
        verdicts = [played[-1] for played in attempts if played[-1].outcome.is_verdict]
        lost = [spec.group for spec, played in zip(specs, attempts, strict=True) if not played[-1].outcome.is_verdict]
        accidents = [one for played in attempts for one in played if not one.outcome.is_verdict]
        wall_s, env_s = time.perf_counter() - begin, self._pool.busy_s - busy_s
        return RolloutResult(verdicts, accidents, tuple(dict.fromkeys(lost)), wall_s, env_s)

    def close(self) -> None:
        """Close the environments."""
        self._pool.close()

    def __enter__(self) -> "Rollout":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def _work(self, waiting: deque[tuple[int, EpisodeSpec]], attempts: list[list[Trajectory]]) -> None:
        """Play episodes until none is waiting."""
        while waiting:
            index, spec = waiting.popleft()
            attempts[index].append(await self._play(spec))
            while not attempts[index][-1].outcome.is_verdict and spec.attempt < self._max_retries:
                spec = spec.retry()
                attempts[index].append(await self._play(spec))

    async def _play(self, spec: EpisodeSpec) -> Trajectory:
        """Play one attempt. An environment that raised or was left in the middle is not used again."""
        env = await self._pool.acquire()
        is_fit = False
        try:
            trajectory = await play_episode(
                env,
                self.engine,
                self.context,
                spec,
                self.params,
                self.limits,
                roll_in=self._roll_in,
                call=self._pool.call,
            )
            is_fit = trajectory.outcome is not Outcome.ENV_ERROR
        finally:
            if is_fit:
                self._pool.release(env)
            else:
                await self._pool.discard(env)
        return trajectory


def first_exception(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception inside a group: what a sequential loop would have raised."""
    error = group.exceptions[0]
    return first_exception(error) if isinstance(error, BaseExceptionGroup) else error
