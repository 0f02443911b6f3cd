"""Playing one episode: the loop between an environment and an engine."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from agentrl.context.base import Context, Feed
from agentrl.engines.base import Completion, Engine, SamplingParams
from agentrl.env import Outcome, TextEnv
from agentrl.errors import TaskNotFoundError
from agentrl.rollout.group import EpisodeSpec
from agentrl.rollout.limits import NO_LIMITS, Limits
from agentrl.rollout.record import EpisodeRecord
from agentrl.seeding import derive
from agentrl.types import Trajectory

EnvCall = Callable[..., Awaitable[Any]]
"""Calls a method of an environment: inline or in a thread."""


class Accident(Exception):
    """Something that is no verdict about the policy ended the episode."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


async def call_inline(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method of an environment right here."""
    return function(*args, **kwargs)


async def play_episode(
    env: TextEnv,
    engine: Engine,
    context: Context,
    spec: EpisodeSpec,
    params: SamplingParams,
    limits: Limits = NO_LIMITS,
    *,
    call: EnvCall = call_inline,
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
      call: how the environment's methods are called.

    Raises:
      TaskNotFoundError: the task does not exist (misuse, not an accident).
    """
    stop = dict.fromkeys((*params.stop, *context.protocol.stop))
    stop_ids = dict.fromkeys((*params.stop_token_ids, *context.chat.stop_token_ids))
    params = replace(params, stop=tuple(stop), stop_token_ids=tuple(stop_ids))
    record = EpisodeRecord(context, spec)
    speaker = _Speaker(engine, spec.sampling_seed)
    try:
        with _boundary(Outcome.ENV_ERROR, "in reset"):
            record.begin(*await call(env.reset, seed=spec.env_seed, options={"task": spec.task_id}))
        while not record.is_over:
            turn = len(record.trajectory.turns)
            feed = record.feed()
            room, reason = limits.room(record.trajectory, feed, engine.max_context)
            if not room:
                record.cut(Outcome.TRUNCATED if turn else Outcome.INFRA_LOST, reason)
                break
            with _boundary(Outcome.INFRA_LOST, f"in turn {turn}"):
                budget = replace(params, max_tokens=min(params.max_tokens, room))
                completion = await speaker.say(feed, budget, turn)
            with _boundary(Outcome.ENV_ERROR, f"in turn {turn}"):
                record.step(await call(env.step, record.answer(feed, completion)))
    except Accident as accident:
        record.cut(accident.outcome, str(accident))
    finally:
        speaker.hush()
    return record.close()


class _Speaker:
    """The engine's sessions of one episode: one that goes on, or a fresh one each turn."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self._engine = engine
        self._seed = seed
        self._session: int | None = None

    async def say(self, feed: Feed, params: SamplingParams, turn: int) -> Completion:
        if feed.is_fresh:
            self.hush()
            self._session = self._engine.open(derive(self._seed, "session", turn))
        assert self._session is not None
        return await self._engine.generate(self._session, feed.ids, params)

    def hush(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            self._engine.release(session)


@contextmanager
def _boundary(outcome: Outcome, where: str) -> Iterator[None]:
    """Turn an exception of the environment or the engine into an accident that says what and where."""
    try:
        yield
    except TaskNotFoundError:
        raise
    except Exception as error:
        raise Accident(outcome, f"{type(error).__name__} {where}: {error}") from error
