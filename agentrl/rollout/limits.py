"""What ends an episode from outside."""

from dataclasses import dataclass

from agentrl.context.base import Feed
from agentrl.errors import ConfigError
from agentrl.types import Trajectory


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one episode; None leaves it to the environment and the engine.

    Attributes:
      max_turns: actions per episode.
      max_sampled_tokens: tokens sampled per episode.
      max_context: tokens per session.

    Raises:
      ConfigError: a bound is less than 1.
    """

    max_turns: int | None = None
    max_sampled_tokens: int | None = None
    max_context: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_turns", "max_sampled_tokens", "max_context"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value}: expected 1 or more, or none for no limit")

    def room(self, trajectory: Trajectory, feed: Feed, max_context: int | None) -> tuple[int, str]:
        """Return how many tokens the next turn may sample, and where none the limit that was reached.

        Args:
          trajectory: the episode so far.
          feed: what the next turn would be fed.
          max_context: tokens that a session of the engine holds; None for no bound.
        """
        size = min(bound for bound in (self.max_context, max_context, 2**31) if bound is not None)
        room = size - feed.num_held - len(feed.ids)
        left = room if self.max_sampled_tokens is None else self.max_sampled_tokens - trajectory.num_tokens
        if self.max_turns is not None and len(trajectory.turns) >= self.max_turns:
            return 0, f"turn limit of {self.max_turns} reached"
        if left <= 0 < room:
            return 0, f"budget of {self.max_sampled_tokens} sampled tokens spent"
        if room <= 0:
            return 0, f"context of {size} tokens has no room after {feed.num_held} + {len(feed.ids)} new ones"
        return min(room, left), ""


NO_LIMITS = Limits()
