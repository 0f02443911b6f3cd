"""Playing one episode: the loop between an environment and an engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agentrl.context.base import Context, Feed
from agentrl.engines.base import Completion, Engine, SamplingParams
from agentrl.env import Outcome
from agentrl.errors import TaskNotFoundError
from agentrl.hosts import EnvFault, HostedEnv
from agentrl.hosts.faults import one_line
from agentrl.rollout.demonstrations import completion_of
from agentrl.rollout.group import EpisodeSpec
from agentrl.rollout.limits import NO_LIMITS, Limits
from agentrl.rollout.record import EpisodeRecord
from agentrl.rollout.roll_in import RollIn, disown, hinted
from agentrl.seeding import derive
from agentrl.types import Trajectory


class Accident(Exception):
    """Something that is no verdict about the policy ended the episode."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


async def play_episode(
    env: HostedEnv,
    engine: Engine,
    context: Context,
    spec: EpisodeSpec,
    params: SamplingParams,
    limits: Limits = NO_LIMITS,
    *,
    roll_in: RollIn | None = None,
) -> Trajectory:
    """Play one episode to its end and return its record.

    Reaching a limit ends it as ``TRUNCATED`` with the reason. An environment that raises ends it as ``ENV_ERROR``, an
    engine that raises as ``INFRA_LOST``, with the exception and the turn; the turns until then are kept. A first
    prompt that does not fit is ``INFRA_LOST`` too: the policy had no say in it.

    Args:
      env: any state; it is reset.
      engine: samples the policy.
      context: renders the conversation.
      spec: task and seeds.
      params: how to sample; the protocol's stop strings and the end-of-message token are added.
      limits: of the episode.
      roll_in: who plays its first turns; None for the policy.

    Raises:
      TaskNotFoundError: the task does not exist (misuse, not an accident).
    """
    params = turn_params(params, context)
    record = EpisodeRecord(context, spec)
    speaker = Speaker(engine, spec.sampling_seed)
    guided = 0
    try:
        with boundary(Outcome.ENV_ERROR, "in reset"):
            observation, info = await env.reset(spec.env_seed, spec.task_id)
            if spec.hint:
                observation = hinted(observation, await env.solution(), spec.hint)
            record.begin(observation, info)
        if roll_in is not None:
            guided = await _guide(env, context, record, roll_in, spec, limits)
        if guided:
            speaker.recall(record.told)
        while not record.is_over and await play_turn(env, speaker, record, params, limits):
            pass
    except Accident as accident:
        record.cut(accident.outcome, str(accident))
    finally:
        speaker.hush()
    return disown(record.close(), guided)


async def _guide(
    env: HostedEnv, context: Context, record: EpisodeRecord, roll_in: RollIn, spec: EpisodeSpec, limits: Limits
) -> int:
    """Let the guide play its turns; return how many, fewer where a limit or the end comes first.

    Raises:
      Accident: the environment or the guide raised.
      DataError: the tokenizer cannot write an action.
    """
    with boundary(Outcome.ENV_ERROR, "in the roll-in's plan"):
        count: int = await env.script(roll_in.draw, spec.env_seed)
    for turn in range(count):
        if record.is_over:
            return turn
        with boundary(Outcome.ENV_ERROR, f"in the guide's turn {turn}"):
            action = await env.advise()
        if action is None:  # it gives up
            return turn
        completion, feed = completion_of(context, action), record.feed()
        if limits.room(record.trajectory, feed, None)[0] <= len(completion.ids):
            return turn
        with boundary(Outcome.ENV_ERROR, f"in the guide's turn {turn}"):
            record.step(await env.step(record.answer(feed, completion)))
        record.trajectory.turns[-1].num_tokens = 0  # none that the policy sampled
    return count


def turn_params(params: SamplingParams, context: Context) -> SamplingParams:
    """Return ``params`` with the protocol's stop strings and the end-of-message token."""
    stop = dict.fromkeys((*params.stop, *context.protocol.stop))
    stop_ids = dict.fromkeys((*params.stop_token_ids, *context.chat.stop_token_ids))
    return replace(params, stop=tuple(stop), stop_token_ids=tuple(stop_ids))


async def play_turn(
    env: HostedEnv, speaker: "Speaker", record: EpisodeRecord, params: SamplingParams, limits: Limits
) -> bool:
    """Sample one turn and play it; return whether the episode goes on.

    Raises:
      Accident: the environment or the engine raised.
      TaskNotFoundError: see :func:`play_episode`.
    """
    turn = len(record.trajectory.turns)
    feed = record.feed()
    room, reason = limits.room(record.trajectory, feed, speaker.engine.max_context)
    if not room:
        record.cut(Outcome.TRUNCATED if turn else Outcome.INFRA_LOST, reason)
        return False
    with boundary(Outcome.INFRA_LOST, f"in turn {turn}"):
        own_params = params if params.max_tokens <= room else replace(params, max_tokens=room)
        completion = await speaker.say(feed, own_params, turn)
    with boundary(Outcome.ENV_ERROR, f"in turn {turn}"):
        record.step(await env.step(record.answer(feed, completion)))
    return not record.is_over


class Speaker:
    """The engine's sessions of one episode: one that goes on, or a fresh one each turn.

    Args:
      engine: samples.
      seed: of the episode's sampling; each session's is derived from it and the turn that begins it.
    """

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.seed = seed
        self.session: int | None = None
        self._told = np.zeros(0, np.int32)

    def recall(self, ids: NDArray[np.int32]) -> None:
        """Remember a conversation that others had; a session that goes on from it is fed it first."""
        self._told = ids

    async def say(self, feed: Feed, params: SamplingParams, turn: int) -> Completion:
        """Feed the session, or a new one where the feed asks for it, and sample turn ``turn``."""
        ids = feed.ids
        if feed.is_fresh or self.session is None:
            ids = ids if feed.is_fresh else np.concatenate([self._told, ids])
            self.hush()
            self.session = self.engine.open(derive(self.seed, "session", turn))
        return await self.engine.generate(self.session, ids, params)

    def hush(self) -> None:
        """Release the session."""
        if self.session is not None:
            session, self.session = self.session, None
            self.engine.release(session)


@contextmanager
def boundary(outcome: Outcome, where: str) -> Iterator[None]:
    """Turn an exception of the environment or the engine into an accident that says what and where, in one line."""
    try:
        yield
    except TaskNotFoundError:
        raise
    except EnvFault as fault:
        raise Accident(fault.outcome, f"{fault.kind} {where}: {fault.text}") from fault
    except Exception as error:
        raise Accident(outcome, f"{type(error).__name__} {where}: {one_line(error)}") from error
