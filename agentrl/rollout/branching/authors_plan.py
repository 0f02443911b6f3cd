"""The public code's branching decisions for the groups that we train on."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from agentrl.engines.base import Completion
from agentrl.rollout.branching.authors import AuthorsOptions, branch_score
from agentrl.rollout.branching.path import FRESH, Path, Start


class AuthorsPlan:
    """Decides as ARPO's and AEPO's public code does on a group that is a batch of its own.

    A round is a turn of every live path. The rules are those of :mod:`agentrl.rollout.branching.authors`, by their
    numbers there:

    - E of a turn (2) is Σ_k H_k / ln V over its first 20 tokens, with exact entropies where the code has those of the
      ten most probable tokens.
    - ΔE (7) is E of the turn *before* the reply minus E of the first turn that the path sampled itself (3).
    - In the order of numbers, each live path gets draws (6), one after the other from ``draw``, and a branch goes on
      from right after the reply. In AEPO's score l counts rounds in which the group got a path (11).
    - Without a live path one episode begins per round (8).

    Differs from the code: initial entropies are cleared with the group (the code keeps those of its first batch), a
    group never gets copies to fill it up (9), and lengths and ends of turns are those of our rollout (1, 4, 5).

    Args:
      options: its algorithm, n, initial, beam, branch_probability and entropy_weight count.
      draw: returns the next random number.
      vocab_size: V.
      tokens: k.
    """

    def __init__(self, options: AuthorsOptions, draw: Callable[[], float], vocab_size: int, tokens: int = 20) -> None:
        self._options = options
        self._draw = draw
        self._log_vocab = math.log(vocab_size)
        self._tokens = tokens
        self._initial_entropy: dict[int, float] = {}
        self._num_seen: dict[int, int] = {}
        self._streak = 0
        self.notes: dict[str, Any] = {"initial": max(1, min(options.initial, options.n)), "dialect": "authors"}

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        """Return the branches of the round, or one new episode where nothing goes on."""
        if not paths:
            return [FRESH] * int(self.notes["initial"])
        starts: list[Start] = []
        for path in paths:
            # A path that is played again after an accident stands at a turn that was judged before.
            is_new, self._num_seen[path.number] = len(path.turns) > self._seen(path), len(path.turns)
            if is_new:
                self._initial_entropy.setdefault(path.number, self._entropy(path.turns[path.start]))
                if path.is_live:
                    starts += self._judge(path, slots - len(starts))
        if not any(path.is_live for path in paths):
            starts = [FRESH]
        self._streak = self._streak + 1 if starts else self._streak
        return starts

    def _seen(self, path: Path) -> int:
        return self._num_seen.get(path.number, path.start)

    def _judge(self, path: Path, slots: int) -> list[Start]:
        count = min(self._options.beam - 1, slots)
        if count <= 0:
            return []
        delta = self._entropy(path.turns[-1]) - self._initial_entropy[path.number]
        draws = [self._draw() for _ in range(count)]
        scores, branched = zip(*(branch_score(self._options, u, delta, self._streak) for u in draws), strict=True)
        turn, branches = len(path.turns), sum(branched)
        path.decisions.append(
            {"turn": turn, "delta": delta, "streak": self._streak, "score": scores[0], "slots": slots}
            | {"draws": draws, "branches": branches}
        )
        return [Start(path.number, turn)] * branches

    def _entropy(self, turn: Completion) -> float:
        return float(turn.entropies[: self._tokens].sum(dtype="float64")) / self._log_vocab
