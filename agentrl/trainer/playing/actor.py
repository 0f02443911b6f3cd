"""A loaded policy that acts, in one conversation or in many, outside of any run."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from agentrl import seeding
from agentrl.context import Context, make_context
from agentrl.context.base import Conversation
from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.env import Info, TextEnv
from agentrl.errors import ConfigError, DataError, EngineError
from agentrl.making import import_env
from agentrl.policy import end_ids, load_policy
from agentrl.rollout.episode import Speaker, turn_params
from agentrl.trainer.config import Config, ContextConfig, load_config, parse_config
from agentrl.trainer.directory.checkpoint import latest_checkpoint
from agentrl.trainer.world import env_factory

T = TypeVar("T")


class Actor:
    """A policy and its conversations, numbered from 0. An action is what the environment is to be given.

    Args:
      model: the policy.
      tokenizer: the policy's.
      settings: how a conversation becomes tokens.
      config: of the run that the policy comes from; None where it comes from none.
      temperature: of sampling; 0 takes the most probable token.
      seed: of sampling.
      conversations: most that go on at a time.

    Attributes:
      model: the policy, a ``transformers`` model.
      tokenizer: the policy's.
      config: of its run, or None.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: ContextConfig,
        config: Config | None = None,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        conversations: int = 16,
    ) -> None:
        if conversations < 1:
            raise ConfigError(f"conversations is {conversations}: expected 1 or more")
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self._most, self._seed = conversations, seed
        self._engine = TransformersEngine(
            model, tokenizer, max_sessions=conversations, max_context=settings.max_context
        )
        self._context: Context = make_context(
            tokenizer,
            settings.kind,
            protocol=settings.protocol,
            window=settings.window,
            show_admissible=settings.show_admissible,
            system=settings.system,
        )
        params = SamplingParams(settings.max_turn_tokens, temperature, stop_token_ids=end_ids(model))
        self._params = turn_params(params, self._context)
        self._talks: dict[int, _Talk] = {}
        self._begun = 0

    def make_env(self) -> TextEnv:
        """Return a new environment of the kind that the policy was trained in.

        Raises:
          ConfigError: the policy comes from no run.
        """
        if self.config is None:
            raise ConfigError("this policy was loaded without a run: make its environment with agentrl.make(id)")
        return env_factory(self.config)()

    # A text is a sequence of texts, too: the first of the two comes first.
    @overload
    def act(self, observation: str, info: Mapping[str, Any] | None = None) -> str: ...  # type: ignore[overload-overlap]

    @overload
    def act(
        self, observation: Sequence[str], info: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    ) -> list[str]: ...

    def act(
        self,
        observation: str | Sequence[str],
        info: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> str | list[str]:
        """Return the action after an observation, in conversation 0; of several, the i-th is conversation i's.

        A conversation goes on until :meth:`reset`: call it when an episode begins.

        Args:
          observation: what the environment said, or what each of several did (a vector environment's batch, too).
          info: what came with it, or with each; needed where the context lists the admissible actions.

        Raises:
          EngineError: a conversation has no room left, or there are more than ``conversations``.
        """
        if isinstance(observation, str):
            if info is not None and not isinstance(info, Mapping):
                raise ConfigError("one observation comes with one info: give a mapping")
            return self._act([observation], [dict(info or {})])[0]
        observations = [str(one) for one in observation]
        return self._act(observations, _infos(info, len(observations)))

    def reset(self, conversation: int | None = None) -> None:
        """Forget a conversation, or all of them: the next observation begins an episode."""
        for number in list(self._talks) if conversation is None else [conversation]:
            talk = self._talks.pop(number, None)
            if talk is not None:
                talk.speaker.hush()

    def _act(self, observations: list[str], infos: list[dict[str, Any]]) -> list[str]:
        if len(observations) > self._most:
            raise EngineError(
                f"{len(observations)} conversations at a time, room for {self._most}: "
                f"agentrl.load(..., conversations={len(observations)})"
            )
        for number in range(len(observations)):
            if number not in self._talks:
                self._talks[number] = self._begin()

        async def everything() -> list[str]:
            turns = [
                self._turn(self._talks[number], observation, info)
                for number, (observation, info) in enumerate(zip(observations, infos, strict=True))
            ]
            return list(await asyncio.gather(*turns))

        return run_apart(everything())

    def _begin(self) -> "_Talk":
        self._begun += 1
        seed = seeding.derive(self._seed, "conversation", self._begun)
        return _Talk(self._context.begin(), Speaker(self._engine, seed))

    async def _turn(self, talk: "_Talk", observation: str, info: dict[str, Any]) -> str:
        feed = talk.conversation.feed(observation, cast(Info, info))
        room = self._engine.max_context - feed.num_held - len(feed.ids)
        if room < 1:
            raise EngineError(
                f"the conversation has {feed.num_held} tokens and {len(feed.ids)} new ones, "
                f"context.max_context is {self._engine.max_context}: reset it, or load with a larger one"
            )
        params = replace(self._params, max_tokens=min(room, self._params.max_tokens))
        completion = await talk.speaker.say(feed, params, talk.turns)
        action = self._context.protocol.parse(self._context.chat.decode(completion.ids)).action
        talk.conversation.record(feed, observation, completion, action)
        talk.turns += 1
        return action


class _Talk:
    """One conversation: what is fed, and the session that is fed it."""

    def __init__(self, conversation: Conversation, speaker: Speaker) -> None:
        self.conversation, self.speaker, self.turns = conversation, speaker, 0


def load_actor(where: Path, changes: Mapping[str, Any], *, temperature: float, seed: int, conversations: int) -> Actor:
    """Return the policy of a run, of a folder or of a hub; see :func:`agentrl.load`."""
    folder, config = find_policy(where)
    if config is not None:
        import_env(config.env.id)
    given = config.context.model_dump() if config is not None else {}
    # A section is read as part of a whole, so that what is wrong is told alike.
    settings = parse_config({"env": {"id": "none"}, "context": {**given, **changes}}).context
    model, tokenizer = load_policy(folder)
    return Actor(model, tokenizer, settings, config, temperature=temperature, seed=seed, conversations=conversations)


def find_policy(where: Path) -> tuple[str, Config | None]:
    """Return the folder of a policy, and the configuration of the run that it lies in.

    Raises:
      DataError: a run that has saved no policy yet.
    """
    if (where / "config.yaml").is_file():
        candidates = (where / "policy", latest_checkpoint(where / "checkpoints"))
        folder = next((one for one in candidates if one is not None and one.is_dir()), None)
        if folder is None:
            raise DataError(f"the run in {where} has saved no policy yet: go on with --resume, or name a folder")
        return str(folder), load_config(where / "config.yaml")
    if where.is_dir():
        for above in list(where.resolve().parents)[:2]:  # RUN/policy, RUN/checkpoints/NAME
            if (above / "config.yaml").is_file() and (above / "metrics.jsonl").is_file():
                return str(where), load_config(above / "config.yaml")
    return str(where), None


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; in a thread where this one has an event loop already, as a notebook's has."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _infos(info: Any, count: int) -> list[dict[str, Any]]:
    """Return one info per conversation, from a list of them or from a vector environment's mapping of columns."""
    if info is None:
        return [{} for _ in range(count)]
    if isinstance(info, Mapping):
        return [{key: column[i] for key, column in info.items() if not key.startswith("_")} for i in range(count)]
    if len(info) != count:
        raise ConfigError(f"{count} observations came with {len(info)} infos: give one for each")
    return [dict(one) for one in info]
