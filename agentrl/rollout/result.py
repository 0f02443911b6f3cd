"""What a rollout brought, and its numbers for the log."""

from dataclasses import dataclass, field

import numpy as np

from agentrl.env import Outcome
from agentrl.rollout.forest import forest_metrics
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
