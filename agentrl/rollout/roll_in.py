"""Rolling in: a guide plays the first turns of an episode, the policy goes on from there."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentrl.env import Expert, TextEnv
from agentrl.errors import ConfigError
from agentrl.seeding import generator
from agentrl.types import Trajectory


@dataclass(frozen=True, slots=True)
class RollIn:
    """Who plays the first turns, how often and how many.

    The members of a group share the guide's turns, so that the policy's parts start from one state and can be compared;
    at least one turn of the guide's plan is left to the policy. Papers: DR-PO (dataset reset), arXiv:2404.08495; RLGF,
    arXiv:2306.11816.

    Attributes:
      chance: probability that a group is begun by the guide.
      turns: least and most turns that it plays; drawn uniformly among those that the plan allows.
      guide: "solution" follows the plan that the environment makes at the start, a fixed demonstration; "expert" is the
        environment's own demonstrator, which answers what it sees.

    Raises:
      ConfigError: a value is out of range.
    """

    chance: float = 0.5
    turns: tuple[int, int] = (1, 8)
    guide: Literal["solution", "expert"] = "expert"

    def __post_init__(self) -> None:
        if not 0.0 <= self.chance <= 1.0 or not 1 <= self.turns[0] <= self.turns[1]:
            raise ConfigError(
                f"roll-in with chance {self.chance} and turns {self.turns}: expected a probability, and least and most "
                "turns, 1 or more"
            )

    def draw(self, env: TextEnv, seed: int) -> tuple[int, Expert]:
        """Return how many turns to guide the episode that has just begun, and the guide.

        Args:
          env: after ``reset``.
          seed: of the environment's reset, which a group shares.
        """
        rng = generator(seed, "roll_in")
        plan = (env.solution() if rng.random() < self.chance else None) or []
        most = min(self.turns[1], len(plan) - 1)
        count = int(rng.integers(self.turns[0], most + 1)) if most >= self.turns[0] else 0
        if self.guide == "expert":
            return count, env.expert(rng)
        steps = iter(plan)
        return count, lambda observation, info: next(steps)


def disown(trajectory: Trajectory, turns: int) -> Trajectory:
    """Take the first ``turns`` turns from the policy, in place: they are context, not its tokens."""
    for sequence in trajectory.sequences:
        theirs_L = sequence.action_mask_L & (sequence.turns_L < turns)
        sequence.action_mask_L[theirs_L] = False
        sequence.turns_L[theirs_L] = -1
    trajectory.sequences = [sequence for sequence in trajectory.sequences if np.any(sequence.action_mask_L)]
    if turns:
        trajectory.extra["guided_turns"] = turns
    return trajectory


def hinted(observation: str, plan: list[str] | None, share: float) -> str:
    """Return an observation with the first steps of a plan as a note below it: Scaf-GRPO, arXiv:2510.19807.

    >>> hinted("A hall.", ["open door", "go north", "take key"], 0.5)
    'A hall.\\n\\nHint, the first steps of a plan: open door; go north.'
    """
    steps = plan[: int(np.ceil(share * len(plan)))] if plan else ()
    return f"{observation}\n\nHint, the first steps of a plan: {'; '.join(steps)}." if steps else observation


def check_plans(env: TextEnv, env_id: str, what: str) -> None:
    """Check that an environment knows a plan.

    Raises:
      ConfigError: it does not.
    """
    if type(env)._solve is TextEnv._solve:
        raise ConfigError(f"{what} needs a plan of the task, and {env_id} has none: it does not implement _solve")
