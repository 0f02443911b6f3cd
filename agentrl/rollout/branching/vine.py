"""The sampler of VinePPO: whole episodes, then continuations from their states, to estimate the states' values."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from agentrl.errors import ConfigError
from agentrl.rollout.branching.path import FRESH, Path, Plan, Start
from agentrl.rollout.branching.sampler import Sampler
from agentrl.seeding import generator


class Vine(Sampler):
    """Play ``episodes`` to their ends; spend the rest of the budget on continuations from the states of their turns.

    Every state, the initial ones included, gets one continuation before any gets another, in an order drawn anew each
    time round; so K is the rest of the budget divided by the number of turns. What they earn is what
    `agentrl.credit.vine_values` averages. Paper: VinePPO, arXiv:2410.01679. Differs from the paper: there K is given
    (9) and the budget follows; here it is the other way round, and where the budget does not reach a state it has no
    estimate.

    Attributes:
      episodes: that are trained on.
    """

    name: ClassVar[str] = "vine"

    episodes: int = Field(1, ge=1)

    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        """Return the decisions of one group."""
        if self.episodes >= budget:
            raise ConfigError(
                f"sampler.episodes is {self.episodes} of a group of {budget}: none is left to estimate values with"
            )
        return _VinePlan(self.episodes, seed)


class _VinePlan:
    def __init__(self, episodes: int, seed: int) -> None:
        self._episodes, self._seed = episodes, seed
        self.notes: dict[str, Any] = {"initial": episodes}

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        if not paths:
            return [FRESH] * self._episodes
        if any(path.is_live for path in paths):
            return []
        whole = [path for path in paths if path.parent is None and not path.is_lost]
        states = [Start(path.number, turn) for path in whole for turn in range(len(path.turns))]
        starts: list[Start] = []
        while states and len(starts) < slots:
            order = generator(self._seed, "vine", len(starts)).permutation(len(states))
            starts += [states[int(index)] for index in order]
        for start in starts[:slots]:
            assert start.parent is not None
            paths[start.parent].decisions.append({"turn": start.turn, "branches": 1})
        return starts[:slots]
