"""The playing side of a path: environment, engine session and record, which a fork takes over up to a turn."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agentrl.context.base import Context, Feed
from agentrl.engines.base import Completion
from agentrl.env import Info, Outcome, Snapshot, SnapshotLevel, TextEnv
from agentrl.errors import ConfigError
from agentrl.hosts import HostedEnv
from agentrl.rollout.branching.detour import Detour, PrunedError
from agentrl.rollout.branching.speaker import BranchSpeaker
from agentrl.rollout.episode import Accident, boundary, play_turn
from agentrl.rollout.group import EpisodeSpec
from agentrl.rollout.record import EpisodeRecord
from agentrl.rollout.stage import Stage


def check_forkable(env: TextEnv | HostedEnv, name: str) -> None:
    """Check that an environment can be branched.

    Raises:
      ConfigError: its snapshot level is `none` and it does not declare its tools stateless.
    """
    if env.snapshot_level is SnapshotLevel.NONE and not env.is_stateless:
        raise ConfigError(
            f"{name} declares snapshot level 'none': its episodes cannot be branched. Sample with "
            "rollout.sampler.name=independent, give the environment snapshots, or, if its answers depend on the "
            "task and the action alone, declare is_stateless = True"
        )


class BranchRecord(EpisodeRecord):
    """The record of an episode that others may branch from.

    Attributes:
      said: what every turn was fed and sampled.
      seen: observation and info before every turn, and after the last one.
    """

    def __init__(self, context: Context, spec: EpisodeSpec) -> None:
        super().__init__(context, spec)
        self._context = context
        self.said: list[tuple[Feed, Completion]] = []
        self.seen: list[tuple[str, Info, float, bool]] = []

    def begin(self, observation: str, info: dict[str, object]) -> None:
        """Take the result of the environment's reset."""
        super().begin(observation, info)
        self._see()

    def answer(self, feed: Feed, completion: Completion) -> str:
        """Record what was sampled and return the action to be sent to the environment."""
        self.said.append((feed, completion))
        return super().answer(feed, completion)

    def step(self, result: tuple[str, float, bool, bool, dict[str, object]]) -> None:
        """Take the environment's answer to the action."""
        super().step(result)
        self._see()

    def _see(self) -> None:
        self.seen.append((self._observation, self.info, self.trajectory.score, self.trajectory.success))

    def branch(self, spec: EpisodeSpec, turn: int) -> "BranchRecord":
        """Return the record of another episode whose turns before ``turn`` are copies of this one's."""
        copy = BranchRecord(self._context, spec)
        copy.said, copy.seen = self.said[:turn], self.seen[: turn + 1]
        for (feed, completion), one in zip(copy.said, self.trajectory.turns, strict=False):
            copy._conversation.record(feed, one.observation, completion, one.action)
            copy.trajectory.turns.append(replace(one, truncated=False))  # it went on
        copy._observation, copy.info, copy.trajectory.score, copy.trajectory.success = copy.seen[-1]
        return copy

    def held(self) -> list[NDArray[np.int32]]:
        """Return the ids, piece by piece, that the engine's session holds after the last turn."""
        pieces: list[NDArray[np.int32]] = []
        for feed, completion in self.said:
            pieces = [*([] if feed.is_fresh else pieces), feed.ids, completion.ids]
        return pieces


class Player:
    """Plays one path, one attempt: :meth:`open`, then :meth:`play` turn after turn.

    Attributes:
      spec: task and seeds of the attempt.
      record: of the episode.
      start: turns before it were not played by this attempt.
      detour: how its first turn leaves the source's inside, if it does.
      num_replayed: steps that restoring the environment took.
      pruned: why it was given up before its first action was sent, if the detour's look did not want it.
      is_over: there is no further turn.
    """

    def __init__(
        self,
        stage: Stage,
        spec: EpisodeSpec,
        source: "Player | None" = None,
        turn: int = 0,
        detour: Detour | None = None,
    ) -> None:
        self._stage = stage
        self.spec = spec
        self.start = turn
        self.detour = detour
        empty = BranchRecord(stage.context, spec)
        self.record: BranchRecord = empty if source is None else source.record.branch(spec, turn)
        self.snapshots: list[Snapshot | None] = [] if source is None else source.snapshots[: turn + 1]
        self.num_replayed = 0
        self.pruned: PrunedError | None = None
        self.is_over = False
        self._env: HostedEnv | None = None
        self._speaker = BranchSpeaker(stage.engine, spec.sampling_seed, self.record.held(), detour)

    @property
    def num_steps(self) -> int:
        """Turns that this attempt sent to its environment."""
        return len(self.record.trajectory.turns) - self.start

    def fork_session(self, source: "Player") -> None:
        """Take over the engine's session of ``source``, which is idle, if it holds anything of what is to be fed.

        Where every turn has a fresh prompt, it does for a detour from the latest turn.
        """
        feed, session, said = self.record.feed(), source._speaker.session, source.record.said
        holds = not feed.is_fresh
        if self.detour is not None:
            holds = not any(later.is_fresh for later, _ in said[self.start + 1 :])
        if session is not None and holds and not source._speaker.is_behind:
            is_fed = len(said) > self.start
            with boundary(Outcome.INFRA_LOST, f"in the fork at turn {self.start}"):
                self._speaker.take_over(session, feed, is_fed=is_fed, turn=self.start)

    async def play(self) -> None:
        """Play a turn, the first one after the environment was brought to its place. Accidents end the record.

        A detour that its look does not want ends before the environment hears of it: :attr:`pruned`.
        """
        stage = self._stage
        try:
            if self._env is None:
                await self._enter()
            assert self._env is not None
            goes_on = await play_turn(self._env, self._speaker, self.record, stage.params, stage.limits)
            if goes_on:
                await self._keep_place(self._env)
            self.is_over = not goes_on
        except Accident as accident:
            if isinstance(accident.__cause__, PrunedError):
                self.pruned, self.is_over = accident.__cause__, True
                return
            self.cut(accident.outcome, str(accident))

    def cut(self, outcome: Outcome, reason: str) -> None:
        """End the episode from outside."""
        self.record.cut(outcome, reason)
        self.is_over = True

    async def leave(self) -> None:
        """Give the environment back; one that raised or was left in the middle by an exception is not used again."""
        env, self._env = self._env, None
        if env is None:
            return
        is_fit = self.is_over and self.record.trajectory.outcome is not Outcome.ENV_ERROR
        await self._stage.host.release(env, is_fit=is_fit)

    def hush(self) -> None:
        """Release the engine's session."""
        self._speaker.hush()

    async def _enter(self) -> None:
        """Bring an environment to where the first own turn begins."""
        spec = self.spec
        with boundary(Outcome.ENV_ERROR, "while making the environment"):
            env = self._env = await self._stage.host.acquire()
        place = self.snapshots[-1] if self.snapshots else None
        if place is not None:
            with boundary(Outcome.ENV_ERROR, f"in restore at turn {self.start}"):
                await env.restore(place)
            self.num_replayed = place.turn if place.level is SnapshotLevel.REPLAY else 0
            return
        with boundary(Outcome.ENV_ERROR, "in reset"):
            first = await env.reset(spec.env_seed, spec.task_id)
        if self.snapshots:  # a stateless world has no place: only the turns are counted on
            await env.skip_to(self.start)
            return
        with boundary(Outcome.ENV_ERROR, "in reset"):
            self.record.begin(*first)
        await self._keep_place(env)

    async def _keep_place(self, env: HostedEnv) -> None:
        if env.snapshot_level is SnapshotLevel.NONE:
            self.snapshots.append(None)
            return
        with boundary(Outcome.ENV_ERROR, f"in snapshot at turn {len(self.snapshots)}"):
            self.snapshots.append(await env.snapshot())
