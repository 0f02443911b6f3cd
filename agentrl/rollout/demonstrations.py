"""Episodes of scripted demonstrators in the token form of rollouts: data for a supervised warm start."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from agentrl.context.base import Context
from agentrl.context.memory import Memory
from agentrl.engines.base import Completion
from agentrl.env import Outcome, TextEnv
from agentrl.errors import AbortedError, DataError
from agentrl.hosts import EnvFault, EnvHost, HostedEnv, as_host
from agentrl.rollout.fallible import NO_ERRORS, Errors, err
from agentrl.rollout.group import group_specs
from agentrl.rollout.jobs import play_all
from agentrl.rollout.limits import NO_LIMITS, Limits
from agentrl.rollout.record import EpisodeRecord
from agentrl.rollout.result import RolloutResult
from agentrl.seeding import generator
from agentrl.tasks import TaskRef
from agentrl.types import StopReason, Trajectory

MEMORY_BYTES = 32 * 2**20
"""Bound of what is remembered of actions and their ids."""


def demonstration_tasks(task_ids: Sequence[str], count: int, *, seed: int) -> list[str]:
    """Choose which tasks to demonstrate: distinct ones, or evenly all of them where ``count`` asks for more.

    >>> demonstration_tasks(["a", "b", "c"], 5, seed=0)
    ['a', 'b', 'c', 'a', 'b']
    >>> sorted(demonstration_tasks(["a", "b", "c"], 3, seed=0))
    ['a', 'b', 'c']
    """
    if count < len(task_ids):
        chosen = generator(seed, "demonstrations").choice(len(task_ids), count, replace=False)
        return [task_ids[int(index)] for index in chosen]
    return [task_ids[index % len(task_ids)] for index in range(count)]


def demonstrate(
    host: EnvHost | Callable[[], TextEnv],
    tasks: Sequence[TaskRef | str],
    context: Context,
    *,
    seed: int,
    numbers: Sequence[int] | None = None,
    errors: Errors = NO_ERRORS,
    limits: Limits = NO_LIMITS,
    concurrency: int = 64,
    max_retries: int = 2,
    is_aborted: Callable[[], bool] | None = None,
) -> RolloutResult:
    """Play one demonstration per task and return its record in the token form of rollouts.

    A turn's ids are those of the action as the context's protocol writes it, up to where an engine would have
    stopped: the protocol's stop string or the end-of-message token. They are marked as sampled, with log-probability
    and entropy 0, so that training on them minimises the demonstrator's negative log-likelihood.

    Args:
      host: where environments live, or what makes one: then they live here, for as long as this takes.
      tasks: one per demonstration; a task that is given twice is demonstrated twice.
      context: renders the conversation.
      seed: of environments and errors.
      numbers: of the demonstrations, which decide their seeds and names beside ``seed``: so those that are played
        here do not depend on who plays the others. None counts from 0.
      errors: of the demonstrator.
      limits: of each demonstration, as in a rollout; a message that would not fit is not begun.
      concurrency: most demonstrations under way.
      max_retries: attempts after the first, per demonstration, where an environment raises, hangs or dies.
      is_aborted: whether to give up; asked before each demonstration. None for never.

    Returns:
      The demonstrations in the order of the tasks, and the accidents.

    Raises:
      TaskNotFoundError: a task does not exist.
      AbortedError: ``is_aborted``.
      ConfigError: an error is due where the environment does not list its admissible actions.
      DataError: the tokenizer cannot write an action: what is read back differs.
    """
    stage = _Stage(as_host(host), context, seed, errors, limits, max_retries, is_aborted or (lambda: False))
    order = range(len(tasks)) if numbers is None else numbers
    shows = [_Show(stage, task, number) for task, number in zip(tasks, order, strict=True)]
    begin = time.perf_counter()
    try:
        asyncio.run(play_all(shows, concurrency, is_aborted))
    finally:
        if stage.host is not host:
            stage.host.close()
    return RolloutResult(
        [one.trajectory for one in shows if one.trajectory is not None],
        [lost for one in shows for lost in one.accidents],
        tuple(one.spec.group for one in shows if one.trajectory is None),
        time.perf_counter() - begin,
    )


@dataclass(frozen=True, slots=True)
class _Stage:
    """What all demonstrations are played with."""

    host: EnvHost
    context: Context
    seed: int
    errors: Errors
    limits: Limits
    max_retries: int
    is_aborted: Callable[[], bool]
    say: Callable[[str], Completion] = field(init=False)

    def __post_init__(self) -> None:
        say = Memory(partial(completion_of, self.context), MEMORY_BYTES, lambda said: 3 * said.ids.nbytes)
        object.__setattr__(self, "say", say)


class _Show:
    """One demonstration, attempted until there is one."""

    def __init__(self, stage: _Stage, task: TaskRef | str, number: int) -> None:
        [self.spec] = group_specs([task], 1, seed=stage.seed, iteration=0, first=number)
        self.trajectory: Trajectory | None = None
        self.accidents: list[Trajectory] = []
        self._stage = stage
        self._number = number

    async def play(self) -> None:
        """Play it, again after accidents as long as retries are left."""
        while self.trajectory is None and len(self.accidents) <= self._stage.max_retries:
            if self._stage.is_aborted():
                raise AbortedError("the demonstrations were given up on request")
            record = EpisodeRecord(self._stage.context, self.spec)
            where = ["while making the environment"]
            try:
                await self._attempt(record, where)
            except EnvFault as fault:
                record.cut(fault.outcome, f"{fault.kind} {where[0]}: {fault.text}")
            attempt = record.close()
            if attempt.outcome.is_verdict:
                self.trajectory = attempt
            else:
                self.accidents.append(attempt)
                self.spec = self.spec.retry()

    async def _attempt(self, record: EpisodeRecord, where: list[str]) -> None:
        """Play one attempt; ``where`` is kept up to date."""
        host, spec = self._stage.host, self.spec
        env = await host.acquire()
        is_fit = False
        try:
            where[0] = "in reset"
            record.begin(*await env.reset(spec.env_seed, spec.task_id))
            path = ("retry", spec.attempt) if spec.attempt else ()
            rng = generator(self._stage.seed, "demonstrator", self._number, *path)
            await env.script(err, rng, self._stage.errors)
            await self._turns(env, record, where)
            is_fit = True
        finally:
            await host.release(env, is_fit=is_fit)

    async def _turns(self, env: HostedEnv, record: EpisodeRecord, where: list[str]) -> None:
        """Play an expert's episode to its end."""
        limits = self._stage.limits
        while not record.is_over:
            where[0] = f"in turn {len(record.trajectory.turns)}"
            action = await env.advise()
            if action is None:
                record.cut(Outcome.TRUNCATED, "the demonstrator sees no way to solve the task any more")
                break
            completion = self._stage.say(action)
            feed = record.feed()
            room, reason = limits.room(record.trajectory, feed, None)
            if room < len(completion.ids):
                record.cut(Outcome.TRUNCATED, reason or f"{room} tokens left, {len(completion.ids)} needed")
                break
            record.step(await env.step(record.answer(feed, completion)))


def completion_of(context: Context, action: str) -> Completion:
    """Return what an engine would have sampled had the policy chosen ``action``.

    Raises:
      DataError: the tokenizer or the protocol cannot write the action.
    """
    text = context.protocol.write(action)
    stopped = any(text.endswith(stop) for stop in context.protocol.stop)
    ids = context.chat.message(text, ended=not stopped)
    read = context.protocol.parse(context.chat.decode(ids)).action
    if read != action:
        raise DataError(
            f"the expert's action {action!r} is read back as {read!r}: the tokenizer or the action protocol "
            f"{context.protocol.name!r} cannot express it"
        )
    zeros = np.zeros(len(ids), np.float32)
    return Completion(ids, zeros, zeros, StopReason.STOP_STRING if stopped else StopReason.END, 0)
