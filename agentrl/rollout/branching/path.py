"""What a sampler sees of a group: paths with their turns' token statistics, and the paths it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentrl.engines.base import Completion


@dataclass(frozen=True, slots=True)
class Start:
    """A path to be begun.

    Attributes:
      parent: number of the path that it is forked from; None begins an episode of its own.
      turn: first turn that is not the parent's.
      token: where in the parent's turn ``turn`` it parts, by saying the runner-up of that token; None begins the turn
        anew.
    """

    parent: int | None = None
    turn: int = 0
    token: int | None = None


FRESH = Start()
"""An episode of its own."""


@dataclass(slots=True, eq=False)
class Path:
    """One member of a group while it grows. A path that an accident ended is played again under the same number.

    The place of a path that was pruned goes to the next one that begins.

    Attributes:
      number: place in the group, in the order of creation.
      parent: number of the path it was forked from, or None.
      start: first turn of its own.
      turns: what every turn sampled, those shared with the parent first.
      is_live: it goes on.
      is_lost: accidents took all its attempts.
      judged: turns before this one have been considered by the sampler.
      decisions: what the sampler decided at this path's turns, JSON-serialisable, in the order of turns.
      token: of turn ``start``, the first that is not the parent's; None if the whole turn is its own.
      pruned_after: the sampler's look did not want it, so many tokens after it was forked; None for all others.
    """

    number: int
    parent: int | None = None
    start: int = 0
    turns: list[Completion] = field(default_factory=list)
    is_live: bool = True
    is_lost: bool = False
    judged: int = 1
    decisions: list[dict[str, Any]] = field(default_factory=list)
    token: int | None = None
    pruned_after: int | None = None

    @property
    def is_pruned(self) -> bool:
        """True if it is no longer of the group."""
        return self.pruned_after is not None


class Plan(Protocol):
    """The decisions of one group. The loop asks after every round, in which every live path plays one turn.

    So decisions that compete for the group's budget are taken in the order of paths' numbers, whatever the order in
    which engine and environments answered.

    Attributes:
      notes: what is worth recording about the group, JSON-serialisable.
    """

    notes: dict[str, Any]

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        """Return the paths to begin now, at most ``slots`` of which are taken; none exist at the first call.

        Where no path is live and nothing is asked for, the loop begins as many episodes of their own as are left: so
        a group has exactly its budget of paths, whatever a plan returns.
        """
