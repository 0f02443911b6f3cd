"""An episode that is played by itself."""

from agentrl.env import Outcome
from agentrl.rollout.episode import Accident, boundary, play_episode
from agentrl.rollout.group import EpisodeSpec
from agentrl.rollout.record import EpisodeRecord
from agentrl.rollout.roll_in import RollIn
from agentrl.rollout.stage import Stage
from agentrl.types import Trajectory


class SingleEpisode:
    """One episode, attempted until there is a verdict: an accident is followed by a fresh sampling seed.

    Args:
      stage: what it is played with.
      spec: task and seeds.
      roll_in: who plays the first turns; None for the policy.

    Attributes:
      specs: the one.
      trajectories: the attempt with a verdict, if :meth:`play` came to one.
      accidents: the record of attempts without.
    """

    def __init__(self, stage: Stage, spec: EpisodeSpec, roll_in: RollIn | None = None) -> None:
        self.specs = [spec]
        self.trajectories: list[Trajectory] = []
        self.accidents: list[Trajectory] = []
        self._stage = stage
        self._roll_in = roll_in

    async def play(self) -> None:
        """Play the episode, again after accidents as long as retries are left."""
        [spec] = self.specs
        while not self.trajectories and len(self.accidents) <= self._stage.max_retries:
            attempt = await self._attempt(spec)
            (self.trajectories if attempt.outcome.is_verdict else self.accidents).append(attempt)
            spec = spec.retry()

    async def _attempt(self, spec: EpisodeSpec) -> Trajectory:
        """Play one attempt. An environment that raised or was left in the middle is not used again."""
        stage = self._stage
        try:
            with boundary(Outcome.ENV_ERROR, "while making the environment"):
                env = await stage.host.acquire()
        except Accident as accident:
            record = EpisodeRecord(stage.context, spec)
            record.cut(accident.outcome, str(accident))
            return record.close()
        is_fit = False
        try:
            trajectory = await play_episode(
                env,
                stage.engine,
                stage.context,
                spec,
                stage.params,
                stage.limits,
                roll_in=self._roll_in,
            )
            is_fit = trajectory.outcome is not Outcome.ENV_ERROR
        finally:
            await stage.host.release(env, is_fit=is_fit)
        return trajectory
