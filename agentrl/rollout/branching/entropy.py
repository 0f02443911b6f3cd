"""Branching where the policy is uncertain after the environment's reply: ARPO and AEPO.

Axis suffix: ``_K`` the first tokens of a turn.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pydantic
from pydantic import Field

from agentrl.engines.base import Completion
from agentrl.errors import ConfigError
from agentrl.rollout.branching.authors import AuthorsOptions
from agentrl.rollout.branching.authors_plan import AuthorsPlan
from agentrl.rollout.branching.path import FRESH, Path, Plan, Start
from agentrl.rollout.branching.sampler import Sampler
from agentrl.seeding import generator

Scale = Literal["vocabulary", "log_vocabulary", "mean"]


class Arpo(Sampler):
    """Fork where the tokens after the environment's reply are less certain than the episode's first ones.

        ΔH_t = Normalize(H_t - H_initial)      H: entropies of a turn's first k tokens, nats
        P_t  = α + β ΔH_t                      branch iff P_t > τ

    N paths begin at once; M - N are for branching. Each turn t ≥ 1 is judged once, on the path that first sampled it;
    where it branches, ``beam`` - 1 further paths go on from right after the reply that turn t answered. H_initial is
    of the path's own first turn, which forks share with their parent, so nothing outlives the group. If all paths
    have ended before the budget is spent, the rest are fresh episodes, begun together. Paper: ARPO, arXiv:2507.19849.
    Matches the paper, where a turn is what the policy says between two tool results. Turns shorter than k are compared
    over the tokens that both turns have.

    Attributes:
      initial: N; None is half of the budget, rounded up.
      tokens: k.
      alpha: base score.
      beta: weight of ΔH.
      tau: threshold.
      beam: paths that leave a branch point, the one that was there included.
      scale: Normalize: the sum over the k entries divided by the vocabulary's size (the paper), by its logarithm (the
        public code), or by the number of entries.
      dialect: ``authors`` decides as the public code does, by the rules of
        :class:`~agentrl.rollout.branching.authors_plan.AuthorsPlan`; ``alpha`` is then its branch probability and
        ``beta`` its entropy weight.
      rule: ``threshold`` as above; ``chance`` branches with probability P_t clipped to 0..1, each further path by a
        draw of its own. With ``beta`` 0 that is branching at random: the control.
    """

    name: ClassVar[str] = "arpo"

    initial: int | None = Field(None, ge=1)
    tokens: int = Field(20, ge=1)
    alpha: float = 0.5
    beta: float = 0.2
    tau: float = 0.5
    beam: int = Field(2, ge=2)
    scale: Scale = "vocabulary"
    rule: Literal["threshold", "chance"] = "threshold"
    dialect: Literal["paper", "authors"] = "paper"

    @pydantic.model_validator(mode="after")
    def _uses_what_is_set(self) -> Self:
        unused = self.model_fields_set & {"tau", "scale", "rule", "slope", "penalty", "penalty_form"}
        if self.dialect == "authors" and unused:
            raise ValueError(f"dialect 'authors' has no {', no '.join(sorted(unused))}: leave it out, or use 'paper'")
        return self

    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        """Return the decisions of one group."""
        self._check(budget, vocab_size)
        if self.dialect == "authors":
            return self._authors_plan(budget, seed, vocab_size)
        return _ArpoPlan(self, self.initial or -(-budget // 2), seed, vocab_size)

    def score(self, delta: float, streak: int) -> float:
        """Return P_t; ``streak`` is for samplers that penalise branching again and again."""
        return self.alpha + self.beta * delta

    def _authors_plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        options = AuthorsOptions(
            algorithm="aepo" if isinstance(self, Aepo) else "arpo",
            n=budget,
            initial=self.initial or -(-budget // 2),
            beam=self.beam,
            branch_probability=self.alpha,
            entropy_weight=self.beta,
        )
        return AuthorsPlan(options, generator(seed, "branch").random, vocab_size, self.tokens)

    def _check(self, budget: int, vocab_size: int) -> None:
        if self.initial is not None and self.initial > budget:
            raise ConfigError(f"sampler.initial is {self.initial}, but the group has only {budget} paths")
        if self.dialect == "authors" and vocab_size < 2:
            raise ConfigError("sampler.dialect 'authors' needs the size of the vocabulary; choose 'paper'")
        if self.scale != "mean" and vocab_size < 2:
            raise ConfigError(f"sampler.scale {self.scale!r} needs the size of the vocabulary; choose 'mean'")


class Aepo(Arpo):
    """ARPO with a budget split by a first look, and a penalty on branching again and again.

    One path is played to its end first (pre-monitoring); from it, with mean entropies over a turn's first k tokens,

        m = k_M σ(slope (H_root - H_tool))     H_root: turn 0, H_tool: mean over the later turns, k_M: the budget M

    paths are begun from the start and M - m are for branching. Then, with l the number of branch decisions in an
    unbroken row on the way that led to the turn,

        P_t = (α + β ΔH_t)(1 - P̂(l))           branch iff P_t > τ

    Paper: AEPO, arXiv:2510.14545. It leaves open the scale of entropies, the rounding of m (here half up, 1 to M) and
    P̂: here min(1, penalty · l), or 1 - (1 - penalty)^l. Differs from the paper: the path that is looked at is one of
    the m and its turns are judged like theirs, so that nothing is played in vain; without later turns m = M/2.

    Attributes:
      pre_monitoring: False begins ``initial`` paths at once, as the public scripts do. None: by the dialect.
      slope: β of the allocation.
      penalty: per decision in a row.
      penalty_form: P̂.
    """

    name: ClassVar[str] = "aepo"

    scale: Scale = "mean"
    pre_monitoring: bool | None = None
    slope: float = 0.5
    penalty: float = Field(0.05, ge=0, le=1)
    penalty_form: Literal["linear", "geometric"] = "linear"

    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        """Return the decisions of one group.

        Raises:
          ConfigError: ``initial`` is given though pre-monitoring finds it, or the authors' looks are asked for, which
            are thrown away.
        """
        if not (self.dialect == "paper" if self.pre_monitoring is None else self.pre_monitoring):
            return super().plan(budget, seed, vocab_size)
        if self.dialect == "authors":
            raise ConfigError(
                "sampler.pre_monitoring with dialect 'authors' would play two episodes per group to throw them away: "
                "leave it out, as the public scripts do, or use dialect 'paper'"
            )
        if self.initial is not None:
            raise ConfigError(f"sampler.initial is {self.initial}, but pre_monitoring finds it: give one of the two")
        self._check(budget, vocab_size)
        return _AepoPlan(self, 1, seed, vocab_size)

    def score(self, delta: float, streak: int) -> float:
        """Return P_t after ``streak`` decisions to branch in a row."""
        linear = min(1.0, self.penalty * streak)
        penalty = linear if self.penalty_form == "linear" else 1.0 - (1.0 - self.penalty) ** streak
        return (self.alpha + self.beta * delta) * (1.0 - penalty)

    def allocation(self, budget: int, root: float, tool: float) -> int:
        """Return m, how many of ``budget`` paths begin from the start.

        >>> Aepo().allocation(16, 1.0, 1.0), Aepo(slope=1.0).allocation(16, 0.0, 2.0)
        (8, 2)
        """
        share = 1.0 / (1.0 + math.exp(-self.slope * (root - tool)))
        return min(budget, max(1, math.floor(budget * share + 0.5)))


class _ArpoPlan:
    """Judges at most one turn per path and round, in the order of numbers."""

    def __init__(self, sampler: Arpo, initial: int, seed: int, vocab_size: int) -> None:
        self._sampler = sampler
        self._initial = initial
        self._seed = seed
        self._vocab_size = vocab_size
        self.notes: dict[str, Any] = {"initial": initial}

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        if not paths:
            return [FRESH] * self._initial
        starts: list[Start] = []
        while not starts and (waiting := [p for p in paths if not p.is_lost and p.judged < len(p.turns)]):
            for path in waiting:
                starts += self._judge(path, paths, slots - len(starts))
            if any(path.is_live for path in paths):
                break
        return starts

    def _judge(self, path: Path, paths: Sequence[Path], slots: int) -> list[Start]:
        turn, path.judged = path.judged, path.judged + 1
        if slots <= 0:
            return []
        sampler = self._sampler
        delta = entropy_change(path.turns[0], path.turns[turn], sampler.tokens, sampler.scale, self._vocab_size)
        streak = branch_streak(path, paths)
        score = sampler.score(delta, streak)
        decision: dict[str, Any] = {"turn": turn, "delta": delta, "streak": streak, "score": score, "slots": slots}
        count = min(sampler.beam - 1, slots)
        if sampler.rule == "threshold":
            branches = count if score > sampler.tau else 0
        else:
            draws = generator(self._seed, "branch", path.number, turn).random(count)
            branches = int((draws < score).sum())
            decision["draws"] = draws.tolist()
        path.decisions.append(decision | {"branches": branches})
        return [Start(path.number, turn)] * branches


class _AepoPlan(_ArpoPlan):
    """Looks at one path before it allots the budget."""

    _is_allotted = False

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        if not paths:
            return [FRESH]
        if self._is_allotted:
            return super().grow(paths, slots)
        if paths[0].is_live:
            return []
        self._is_allotted = True
        return [FRESH] * (self._allot(paths[0], slots + len(paths)) - 1) or super().grow(paths, slots)

    def _allot(self, path: Path, budget: int) -> int:
        sampler = self._sampler
        assert isinstance(sampler, Aepo)
        entropies = [float(turn.entropies[: sampler.tokens].mean()) for turn in path.turns] or [0.0]
        tool = float(np.mean(entropies[1:])) if len(entropies) > 1 else entropies[0]
        initial = sampler.allocation(budget, entropies[0], tool)
        self.notes = {"initial": initial, "root_entropy": entropies[0], "tool_entropy": tool}
        return initial


def entropy_change(first: Completion, turn: Completion, tokens: int, scale: Scale, vocab_size: int) -> float:
    """Return ΔH: Σ_k (H_turn,k - H_first,k) over the first ``tokens`` that both have, divided as ``scale`` says."""
    count = min(tokens, len(first.ids), len(turn.ids))
    change_K = turn.entropies[:count].astype(np.float64) - first.entropies[:count]
    divisor = {"vocabulary": vocab_size, "log_vocabulary": math.log(max(vocab_size, 2)), "mean": max(count, 1)}[scale]
    return float(change_K.sum()) / divisor


def branch_streak(path: Path, paths: Sequence[Path]) -> int:
    """Return how many decisions in a row branched on the way to this path's next one, the parents' included.

    >>> root = Path(0, decisions=[{"turn": 1, "branches": 0}, {"turn": 2, "branches": 1}, {"turn": 3, "branches": 0}])
    >>> branch_streak(root, [root]), branch_streak(Path(1, parent=0, start=2), [root])
    (0, 1)
    """
    streak, end = 0, None
    while True:
        for decision in reversed(path.decisions):
            if end is not None and decision["turn"] > end:
                continue
            if not decision["branches"]:
                return streak
            streak += 1
        if path.parent is None:
            return streak
        end, path = path.start if end is None else min(end, path.start), paths[path.parent]
