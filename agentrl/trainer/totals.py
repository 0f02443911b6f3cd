"""What an iteration comes to, over all processes."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentrl.rollout import RolloutResult
from agentrl.rollout.forest import forest_counts, summarise
from agentrl.trainer.credit import num_unscored_groups
from agentrl.trainer.playing.own_numbers import means_of, own_numbers
from agentrl.trainer.playing.scaffold import is_hinted
from agentrl.update import distributed


class Totals(NamedTuple):
    """Sums over an iteration's episodes; turns are counted once for each episode that has them."""

    episodes: float
    successes: float
    turns: float
    reward: float
    valid_turns: float
    tokens: float
    accidents: float
    scored_turns: float
    turns_with_signal: float
    groups_dropped: float
    env_steps: float

    @classmethod
    def of(cls, rollout: RolloutResult, advantages_N: NDArray[np.float64]) -> "Totals":
        """Count this process's episodes, and add up over all processes: each must call it."""
        trajectories = rollout.trajectories
        turns = [turn for trajectory in trajectories for turn in trajectory.turns]
        mine = [
            len(trajectories),
            sum(t.success and not is_hinted(t) for t in trajectories),
            len(turns),
            sum(t.total_reward for t in trajectories),
            sum(turn.action_valid for turn in turns),
            sum(t.num_tokens for t in trajectories),
            len(rollout.accidents),
            np.isfinite(advantages_N).sum(),
            (np.nan_to_num(advantages_N) != 0).sum(),
            num_unscored_groups(trajectories, advantages_N),
            rollout.env_steps,
        ]
        return cls(*distributed.all_sum([float(number) for number in mine]))

    def metrics(self) -> dict[str, float]:
        """Return means over episodes and turns, for the log."""
        episodes, turns = max(1.0, self.episodes), max(1.0, self.turns)
        return {
            "success": self.successes / episodes,
            "turns": self.turns / episodes,
            "reward": self.reward / episodes,
            "tokens_per_episode": self.tokens / episodes,
            "valid_actions": self.valid_turns / turns,
            "scored_turns": self.scored_turns / turns,
            "turns_with_signal": self.turns_with_signal / turns,
            "groups_dropped": self.groups_dropped,
            "accidents": self.accidents,
            "rollout/env_steps": self.env_steps,
        }


def world_totals(rollout: RolloutResult) -> dict[str, float]:
    """Return means of the final score and the environment's own numbers, over all processes: each must call it."""
    return means_of(distributed.gather([own_numbers(trajectory) for trajectory in rollout.trajectories]))


def forest_totals(rollout: RolloutResult) -> dict[str, float]:
    """Return how an iteration's episodes branched, over all processes: each must call it."""
    return summarise(sum(distributed.gather(forest_counts(rollout.trajectories)), Counter()))
