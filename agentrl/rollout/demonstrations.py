"""Scripted demonstrators, and their episodes in the token form of rollouts: data for a supervised warm start."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

import numpy as np

from agentrl.context.base import Context
from agentrl.context.memory import Memory
from agentrl.engines.base import Completion
from agentrl.env import Expert, Info, Outcome, TextEnv
from agentrl.errors import AbortedError, ConfigError, DataError
from agentrl.rollout.group import group_specs
from agentrl.rollout.limits import NO_LIMITS, Limits
from agentrl.rollout.record import EpisodeRecord
from agentrl.seeding import generator
from agentrl.tasks import TaskRef
from agentrl.types import StopReason, Trajectory

MEMORY_BYTES = 32 * 2**20
"""Bound of what is remembered of actions and their ids."""

_BLANK = re.compile(r"<[\w ]+>")
_FIRST_WORD = re.compile(r"\W*\w+")


class FallibleExpert:
    """An expert that errs: its demonstrations leave something to be learned by reinforcement.

    Each turn draws independently:

    - ``wander``: the chance to play any other admissible action, uniformly: drifting off.
    - ``mistake``: the chance to play another admissible action of the same kind (the same first word, like ``take``
      of ``take cup`` and ``click`` of ``click[buy now]``; any other where there is none): the right idea with the wrong
      object.
    - ``forget``: the chance, after a turn that departed from the expert's choice, to start a new expert from
      ``renew``: it loses its memory, or makes a new plan.
    - ``lapse``: the chance to lose the thread for good: this and all later actions of the episode are admissible
      ones at random, so that most such episodes fail.

    An admissible action with a blank to fill in, like ``search[<keywords>]``, is nobody's error. The expert is asked on
    every turn, also when it is overruled, so that one with a memory sees every observation.

    Args:
      expert: the expert of one episode.
      rng: draws the errors.
      wander: probability.
      mistake: probability.
      forget: probability.
      lapse: probability.
      renew: makes a new expert at the environment's present state; needed if ``forget`` is positive.

    Raises:
      ConfigError: a probability is outside 0 to 1, or ``renew`` is missing.
    """

    def __init__(
        self,
        expert: Expert,
        rng: np.random.Generator,
        *,
        wander: float = 0.2,
        mistake: float = 0.0,
        forget: float = 0.0,
        lapse: float = 0.0,
        renew: Callable[[], Expert] | None = None,
    ) -> None:
        for name, chance in (("wander", wander), ("mistake", mistake), ("forget", forget), ("lapse", lapse)):
            if not 0 <= chance <= 1:
                raise ConfigError(f"{name}={chance}: expected a probability, 0 to 1")
        if forget > 0 and renew is None:
            raise ConfigError("forget > 0 needs renew: what makes the new expert?")
        self._expert = expert
        self._rng = rng
        self._wander = wander
        self._mistake = mistake
        self._forget = forget
        self._lapse = lapse
        self._renew = renew
        self._departed = self._lapsed = False

    @classmethod
    def of(cls, env: TextEnv, rng: np.random.Generator, *, forget: float | None = None, **chances: float) -> Self:
        """Return a fallible version of an environment's own expert, for the episode that has just begun.

        Args:
          env: after ``reset``.
          rng: draws the expert's choices and the errors.
          forget: None is 0 for an expert of the environment's own, which may be expected to watch what happens, and
            1 for the contract's default one, whose plan is worthless after a departure.
          chances: ``wander``, ``mistake``, ``lapse``.
        """
        renew = partial(env.expert, rng)
        forget = float(type(env).expert is TextEnv.expert) if forget is None else forget
        return cls(renew(), rng, forget=forget, renew=renew, **chances)

    def __call__(self, observation: str, info: Info) -> str:
        """Return the action for this turn.

        Raises:
          ConfigError: an error is due but the environment does not list its admissible actions.
        """
        wanders, errs, forgets, lapses = self._rng.random(4) < (self._wander, self._mistake, self._forget, self._lapse)
        self._lapsed = self._lapsed or bool(lapses)
        wanders = wanders or self._lapsed
        if self._renew is not None and self._departed and forgets:
            self._expert = self._renew()
        right = self._expert(observation, info)
        self._departed = bool(wanders or errs)
        return self._other(right, info, same_kind=not wanders) if self._departed else right

    def _other(self, right: str, info: Info, *, same_kind: bool) -> str:
        admissible = info.get("admissible_actions")
        if admissible is None:
            raise ConfigError("a fallible expert needs an environment that lists its admissible actions")
        others = [action for action in admissible if action != right and not _BLANK.search(action)]
        if same_kind:
            others = [action for action in others if _kind(action) == _kind(right)] or others
        return others[int(self._rng.integers(len(others)))] if others else right


def _kind(action: str) -> str:
    """Return an action up to the end of its first word."""
    found = _FIRST_WORD.match(action)
    return found[0] if found else action


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
    env_factory: Callable[[], TextEnv],
    tasks: Sequence[TaskRef | str],
    context: Context,
    *,
    seed: int,
    numbers: Sequence[int] | None = None,
    wander: float = 0.0,
    mistake: float = 0.0,
    forget: float | None = None,
    lapse: float = 0.0,
    limits: Limits = NO_LIMITS,
    is_aborted: Callable[[], bool] | None = None,
) -> list[Trajectory]:
    """Play one demonstration per task and return its record in the token form of rollouts.

    A turn's ids are those of the action as the context's protocol writes it, up to where an engine would have
    stopped: the protocol's stop string or the end-of-message token. They are marked as sampled, with log-probability
    and entropy 0, so that training on them minimises the demonstrator's negative log-likelihood.

    Args:
      env_factory: makes the environment that all demonstrations are played in.
      tasks: one per demonstration; a task that is given twice is demonstrated twice.
      context: renders the conversation.
      seed: of environments and errors.
      numbers: of the demonstrations, which decide their seeds and names beside ``seed``: so those that are played
        here do not depend on who plays the others. None counts from 0.
      wander: see :class:`FallibleExpert`.
      mistake: see there.
      forget: see :meth:`FallibleExpert.of`.
      lapse: see :class:`FallibleExpert`.
      limits: of each demonstration, as in a rollout; a message that would not fit is not begun.
      is_aborted: whether to give up; asked before each demonstration. None for never.

    Raises:
      TaskNotFoundError: a task does not exist.
      AbortedError: ``is_aborted``.
      DataError: the tokenizer cannot write an action: what is read back differs.
      Exception: whatever the environment or its expert raises: a demonstrator has to be debugged, not retried.
    """
    env = env_factory()
    say = Memory(partial(completion_of, context), MEMORY_BYTES, lambda said: 3 * said.ids.nbytes)
    trajectories = []
    try:
        for index, task in zip(range(len(tasks)) if numbers is None else numbers, tasks, strict=True):
            [spec] = group_specs([task], 1, seed=seed, iteration=0, first=index)
            if is_aborted is not None and is_aborted():
                raise AbortedError("the demonstrations were given up on request")
            record = EpisodeRecord(context, spec)
            record.begin(*env.reset(seed=spec.env_seed, options={"task": spec.task_id}))
            rng = generator(seed, "demonstrator", index)
            expert = FallibleExpert.of(env, rng, wander=wander, mistake=mistake, forget=forget, lapse=lapse)
            _play(env, expert, record, say, limits)
            trajectories.append(record.close())
    finally:
        env.close()
    return trajectories


def _play(
    env: TextEnv, expert: Expert, record: EpisodeRecord, say: Callable[[str], Completion], limits: Limits
) -> None:
    """Play an expert's episode to its end."""
    while not record.is_over:
        completion = say(expert(record.observation, record.info))
        feed = record.feed()
        room, reason = limits.room(record.trajectory, feed, None)
        if room < len(completion.ids):
            record.cut(Outcome.TRUNCATED, reason or f"{room} tokens left, {len(completion.ids)} needed")
            break
        record.step(env.step(record.answer(feed, completion)))


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
