"""Samplers that grow trees of turns: Tree-GRPO and TreePO."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from agentrl.errors import ConfigError
from agentrl.rollout.branching.path import FRESH, Path, Plan, Start
from agentrl.rollout.branching.sampler import Sampler
from agentrl.seeding import generator


class TreeGrpo(Sampler):
    """Whole episodes first, then rounds that go on from random turns of them.

    ``trees`` episodes are played to their ends. Each round then expands every tree at ``expansions`` of its turns,
    drawn with replacement from those of its own and its forks that are not the last of an episode (a shared turn
    counts once), and plays the new paths to their ends, until the budget M is spent: L = (M - trees) / (trees ·
    expansions) rounds, the last perhaps a part of one, trees in turn. A tree whose episodes all have one turn is
    expanded before it. Paper: Tree-GRPO, arXiv:2509.21240, whose script has M = 2 trees, N = 2 expansions, L = 1 round.
    Differs from the code: no trajectory of a tree is thrown away, so there is no K.

    Attributes:
      trees: M of the paper.
      expansions: N of the paper.
    """

    name: ClassVar[str] = "tree_grpo"

    trees: int = Field(2, ge=1)
    expansions: int = Field(2, ge=1)

    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        """Return the decisions of one group."""
        if self.trees > budget:
            raise ConfigError(f"sampler.trees is {self.trees}, but the group has only {budget} paths")
        return _TreeGrpoPlan(self, seed)


class _TreeGrpoPlan:
    def __init__(self, sampler: TreeGrpo, seed: int) -> None:
        self._sampler = sampler
        self._seed = seed
        self._round = 0
        self.notes: dict[str, Any] = {"initial": sampler.trees}

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        if not paths:
            return [FRESH] * self._sampler.trees
        if any(path.is_live for path in paths):
            return []
        self._round += 1
        roots = [path for path in paths if path.parent is None and not path.is_lost]
        starts = []
        for expansion in range(self._sampler.expansions):
            for root in roots:
                rng = generator(self._seed, "expand", self._round, expansion, root.number)
                nodes = tree_nodes(root, paths)
                starts.append(nodes[int(rng.integers(len(nodes)))] if nodes else Start(root.number, 0))
        starts = starts[:slots]
        for start in starts:
            assert start.parent is not None
            paths[start.parent].decisions.append({"turn": start.turn, "round": self._round, "branches": 1})
        return starts


def tree_nodes(root: Path, paths: Sequence[Path]) -> list[Start]:
    """Return where the tree of ``root`` can be expanded: after each turn that is not the last of its path, once."""
    members = {root.number}
    for path in paths:
        if path.parent in members:
            members.add(path.number)
    inside = [path for path in paths if path.number in members and not path.is_lost]
    return [Start(path.number, turn + 1) for path in inside for turn in range(path.start, len(path.turns) - 1)]


class TreePo(Sampler):
    """A tree that widens from its root: after every turn each live path forks, until the budget is reached.

    The root begins 2 to 8 paths, drawn evenly. After each round the live leaves can get up to ``children`` - 1 further
    paths each; where the budget has fewer left, which leaves get them is drawn: evenly, or with the odds of exp(mean
    log-prob of the last turn). If all have ended before the budget is spent, what is missing goes on from random turn
    boundaries of random finished paths (the paper's fallback). Paper: TreePO, arXiv:2508.17445. Differs from the
    paper: a segment, there 512 tokens, is a turn here, and repetitive paths are not stopped.

    Attributes:
      children: d, paths that leave a node.
      root: least and most paths that leave the root.
      max_depth: turns after which nothing forks.
      spread: how a budget that does not suffice for all leaves is shared out.
    """

    name: ClassVar[str] = "treepo"

    children: int = Field(2, ge=2)
    root: tuple[int, int] = (2, 8)
    max_depth: int = Field(14, ge=0)
    spread: Literal["even", "probability"] = "even"

    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        """Return the decisions of one group."""
        low, high = self.root
        if not 1 <= low <= high:
            raise ConfigError(f"sampler.root is {self.root}: expected 1 or more, then as much or more")
        return _TreePoPlan(self, seed, budget)


class _TreePoPlan:
    def __init__(self, sampler: TreePo, seed: int, budget: int) -> None:
        self._sampler = sampler
        self._seed = seed
        self._round = 0
        low, high = sampler.root
        width = int(generator(seed, "root").integers(low, high + 1))
        self.notes: dict[str, Any] = {"initial": min(width, budget)}

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        if not paths:
            return [FRESH] * int(self.notes["initial"])
        self._round += 1
        rng = generator(self._seed, "round", self._round)
        live = [path for path in paths if path.is_live]
        return self._widen(live, slots, rng) if live else self._go_back(paths, slots, rng)

    def _widen(self, live: list[Path], slots: int, rng: np.random.Generator) -> list[Start]:
        """Share out the budget over the live leaves."""
        leaves = [path for path in live if 0 < len(path.turns) < self._sampler.max_depth]
        places = [path for path in leaves for _ in range(self._sampler.children - 1)]
        if slots < len(places):
            weight = np.array([self._weight(path) for path in places])
            chosen = rng.choice(len(places), slots, replace=False, p=weight / weight.sum())
            places = [places[int(place)] for place in sorted(chosen)]
        for path in dict.fromkeys(places):
            path.decisions.append({"turn": len(path.turns), "slots": slots, "branches": places.count(path)})
        return [Start(path.number, len(path.turns)) for path in places]

    def _weight(self, path: Path) -> float:
        return 1.0 if self._sampler.spread == "even" else float(np.exp(path.turns[-1].logprobs.mean()))

    def _go_back(self, paths: Sequence[Path], slots: int, rng: np.random.Generator) -> list[Start]:
        """Go on from the middle of finished paths."""
        finished = [path for path in paths if not path.is_lost and len(path.turns) > 1]
        if not finished:
            return []
        starts = []
        for _ in range(slots):
            path = finished[int(rng.integers(len(finished)))]
            turn = int(rng.integers(1, len(path.turns)))
            starts.append(Start(path.number, turn))
            path.decisions.append({"turn": turn, "fallback": True, "branches": 1})
        return starts
