"""Branching inside a turn, where the runner-up of a token is nearly as probable as the token: LATR."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from agentrl.engines.base import Completion
from agentrl.errors import ConfigError, EngineError
from agentrl.rollout.branching.path import FRESH, Path, Plan, Start
from agentrl.rollout.branching.sampler import Sampler
from agentrl.rollout.branching.similarity import edit_share, rouge_l, suffix_share


class Latr(Sampler):
    """Fork at tokens whose runner-up is nearly as probable, look at what it leads to, and prune what leads nowhere new.

        branch at token k iff  min(p_k, q_k) > τ_abs  and  |p_k - q_k| < τ_rel

    p_k: probability of the token that was sampled; q_k: of the most probable token that was not, which the branch says
    instead. The rest of the branch's turn is sampled. A branch is looked at r tokens after its birth, for each r of
    ``lookahead``: over the r tokens from the fork on, and those of its parent's turn, it is pruned where

        Levenshtein distance / r            < ``edit_distance``,  or
        longest common ending / r           > ``suffix_match``    (an ending of one, anywhere in the other),  or
        F1 of the longest common subsequence > ``rouge_l``        (ROUGE-L over token ids);

    None turns a measure off. A look is skipped where one of the turns has no more than r tokens left.
    ``initial`` episodes begin the tree, which grows to M · ``share`` paths; the other paths of the group are plain
    episodes, begun with them. If all paths have ended before the tree is full, the rest are plain episodes too.

    A branch at token k of turn t holds a place of the tree from then on, until t, k + r if pruned by the look at r.
    Candidates are taken where the tree has room from their own turn and token on, those of earlier turns first, then of
    earlier tokens, then of lower numbers of paths.

    Paper: LATR, arXiv:2510.24302; defaults of its script for GRPO on mathematics, whose other one has τ_abs 0.25,
    τ_rel 0.15, edit_distance 0.4 and no further measure. Differs from the code:

    - There a row says its most probable token as long as the tree grows, and the runner-up begins the branch; here the
      row is sampled. Where it says one of the two most probable tokens, the rule is the same.
    - Probabilities are those at the sampling temperature, there those at 1.
    - There all rows are decoded side by side; here a branch's candidates are known a round later than its parent's, and
      come too late where these took the places.
    - A branch that is pruned takes none of its own branches along, since its turn is not judged before the look.
    - ``share`` is fixed, there it falls with the training steps (1, 0.75 from 100 on, 0.5 from 200, 0.25 from 300).
    - Branches that differ from their parent in a mathematical symbol are not spared, nothing is padded with copies.

    As in the paper, a forced token is trained on like the others, without a correction: it is not drawn from the
    policy, though its recorded log-probability is the policy's.

    Attributes:
      initial: paths that the tree begins with.
      tau_abs: least probability of both tokens.
      tau_rel: most difference of their probabilities.
      lookahead: r, tokens from the forced one on; none at all never prunes.
      edit_distance: below it a branch is pruned.
      suffix_match: above it a branch is pruned.
      rouge_l: above it a branch is pruned.
      short: what to do where a turn has no more than r tokens left: ``skip`` the look, or ``compare`` what both have,
        for turns of a few tokens. A common end-of-message token then counts.
      share: η, part of the group that is the tree.
    """

    name: ClassVar[str] = "latr"
    alternatives: ClassVar[bool] = True

    initial: int = Field(1, ge=1)
    tau_abs: float = Field(0.15, ge=0, le=1)
    tau_rel: float = Field(0.25, ge=0, le=1)
    lookahead: tuple[Annotated[int, Field(ge=1)], ...] = (20, 30, 50)
    edit_distance: float | None = Field(None, ge=0)
    suffix_match: float | None = Field(0.2, ge=0)
    rouge_l: float | None = Field(0.5, ge=0)
    short: Literal["skip", "compare"] = "skip"
    share: float = Field(1.0, ge=0, le=1)

    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        """Return the decisions of one group."""
        if self.initial > budget:
            raise ConfigError(f"sampler.initial is {self.initial}, but the group has only {budget} paths")
        return _LatrPlan(self, budget)

    def look(self, parent: Completion, branch: Completion, token: int) -> int | None:
        """Return after how many tokens the branch is too much like its parent, None if never."""
        one, other = parent.ids[token:].tolist(), branch.ids[token:].tolist()
        left = min(len(one), len(other))
        for length in sorted(self.lookahead):
            if left <= length and self.short == "skip":
                return None
            size = min(length, left)
            if self._is_alike(one[:size], other[:size]):
                return size
            if left <= length:
                return None
        return None

    def _is_alike(self, one: list[int], other: list[int]) -> bool:
        return (
            (self.edit_distance is not None and edit_share(one, other) < self.edit_distance)
            or (self.suffix_match is not None and suffix_share(one, other) > self.suffix_match)
            or (self.rouge_l is not None and rouge_l(one, other) > self.rouge_l)
        )


Moment = tuple[int, int]
"""Turn and token."""
_NEVER: Moment = (2**31, 0)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A token where a branch can leave ``said``, turn ``turn`` of path ``number``."""

    turn: int
    token: int
    number: int
    said: Completion

    def stands(self, paths: Sequence[Path]) -> bool:
        """Tell whether the turn is still there: an accident may have replaced it."""
        path = paths[self.number]
        return not path.is_lost and self.turn < len(path.turns) and path.turns[self.turn] is self.said


class _LatrPlan:
    def __init__(self, sampler: Latr, budget: int) -> None:
        self._sampler = sampler
        width = round(budget * sampler.share)
        self._initial = min(sampler.initial, width)
        self._num_plain = budget - width
        self._num_places = width - self._initial
        self._stays: list[tuple[Moment, Moment]] = []
        """When each branch came and left; a pruned one left where the look told."""
        self._waiting: list[_Candidate] = []
        self._pruned: list[Path] = []
        self.notes: dict[str, Any] = {"initial": self._initial, "width": width}

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        if not paths:
            return [FRESH] * (self._initial + self._num_plain)
        self._take_back(paths)
        for path in paths:
            self._waiting += self._judge(path)
        self._waiting = [one for one in self._waiting if one.stands(paths)]
        self._waiting.sort(key=lambda one: (one.turn, one.token, one.number))
        return list(self._choose(paths, slots))

    def _take_back(self, paths: Sequence[Path]) -> None:
        """Free the places of the branches that were pruned since the last time."""
        for path in paths:
            if path.pruned_after is None or path in self._pruned:
                continue
            assert path.parent is not None and path.token is not None
            self._pruned.append(path)
            came = (path.start, path.token)
            self._stays.remove((came, _NEVER))
            self._stays.append((came, (path.start, path.token + path.pruned_after)))
            for decision in paths[path.parent].decisions:
                if (decision["turn"], decision["token"]) == came:
                    decision["pruned_after"] = path.pruned_after

    def _judge(self, path: Path) -> Iterator[_Candidate]:
        """Yield the candidates of the latest turn of a path of the tree, if it has not been judged."""
        turn = len(path.turns) - 1
        is_plain = path.parent is None and path.number >= self._initial
        # Here a path's own first turn is judged, from the forced token on: `judged` is one more than turns judged.
        if path.judged > turn + 1 or is_plain or path.is_pruned or path.is_lost:
            return
        path.judged = turn + 2
        said = path.turns[turn]
        if said.alternatives is None:
            raise EngineError(
                "sampler latr needs the runner-up of every sampled token, and the engine reports none: "
                "use the transformers or the vllm engine"
            )
        p, q = np.exp(said.logprobs), np.exp(said.alternatives.logprobs)
        is_near = (np.minimum(p, q) > self._sampler.tau_abs) & (np.abs(p - q) < self._sampler.tau_rel)
        first = 0 if path.token is None or turn != path.start else path.token + 1
        for token in np.flatnonzero(is_near):
            if token >= first:
                yield _Candidate(turn, int(token), path.number, said)

    def _choose(self, paths: Sequence[Path], slots: int) -> Iterator[Start]:
        """Yield the candidates for which there is room; the others wait for a branch to be pruned."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not slots or not self._has_room((one.turn, one.token)):
                self._waiting.append(one)
                continue
            slots -= 1
            self._stays.append(((one.turn, one.token), _NEVER))
            paths[one.number].decisions.append(_decision(one))
            yield Start(one.number, one.turn, one.token)

    def _has_room(self, came: Moment) -> bool:
        """Tell whether a branch can come then and stay: from then on one place is always free."""
        moments = [came, *(begin for begin, _ in self._stays if begin > came)]
        return all(sum(begin <= at < end for begin, end in self._stays) < self._num_places for at in moments)


def _decision(one: _Candidate) -> dict[str, Any]:
    others = one.said.alternatives
    assert others is not None
    return {
        "turn": one.turn,
        "token": one.token,
        "alternative": int(others.ids[one.token]),
        "p_sampled": float(np.exp(one.said.logprobs[one.token])),
        "p_alternative": float(np.exp(others.logprobs[one.token])),
        "branches": 1,
    }
