"""LATR's decisions: likeness against brute force, looks by hand, and who gets a place against counts of intervals."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.engines.base import Alternatives, Completion
from agentrl.errors import ConfigError, EngineError
from agentrl.rollout.branching import FRESH, Latr, Path, Start, make_sampler
from agentrl.rollout.branching.similarity import edit_share, rouge_l, suffix_share
from agentrl.seeding import generator
from agentrl.types import StopReason

Ids = Sequence[int]
PAIRS = st.integers(1, 6).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 2), min_size=n, max_size=n)] * 2))


def said(ids: Ids, probs: Sequence[float] | None = None, others: Sequence[float] | None = None) -> Completion:
    """Return a turn with these probabilities; its alternatives are ids 100, 101, ... with those of ``others``."""
    count = len(ids)
    logprobs, rivals = (np.log(np.full(count, 0.5) if p is None else p).astype(np.float32) for p in (probs, others))
    alternatives = None if others is None else Alternatives(np.arange(100, 100 + count, dtype=np.int32), rivals)
    zeros = np.zeros(count, np.float32)
    return Completion(np.array(ids, np.int32), logprobs, zeros, StopReason.END, 0, alternatives)


# -- likeness ----------------------------------------------------------------------------------------------------------


@functools.cache
def distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    if not (one and other):
        return len(one) + len(other)
    swap = distance(one[1:], other[1:]) + (one[0] != other[0])
    return min(swap, distance(one[1:], other) + 1, distance(one, other[1:]) + 1)


def endings(one: Ids, other: Ids) -> int:
    places = range(len(other) + 1)
    return max(n for n in range(len(one) + 1) if any(one[len(one) - n :] == other[p : p + n] for p in places))


def is_inside(part: Ids, whole: Ids) -> bool:
    rest = iter(whole)
    return all(token in rest for token in part)


def f1_of_subsequences(one: Ids, other: Ids) -> float:
    parts = (part for n in range(len(one) + 1) for part in itertools.combinations(one, n))
    longest = max(len(part) for part in parts if is_inside(part, other))
    precision, recall = longest / len(one), longest / len(other)
    return 2 * precision * recall / (precision + recall) if longest else 0.0


@given(PAIRS)
def test_likeness_equals_brute_force(pair: tuple[list[int], list[int]]) -> None:
    one, other = pair
    assert edit_share(one, other) == distance(tuple(one), tuple(other)) / len(one)
    assert suffix_share(one, other) == max(endings(one, other), endings(other, one)) / len(one)
    assert rouge_l(one, other) == pytest.approx(f1_of_subsequences(one, other))


# -- looks -------------------------------------------------------------------------------------------------------------

OFF: dict[str, Any] = {"edit_distance": None, "suffix_match": None, "rouge_l": None}


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({"edit_distance": 0.51}, 4),  # over [1 2 3 4] and [9 2 3 5]: 2 of 4
        ({"edit_distance": 0.5}, None),
        ({"edit_distance": 0.51, "lookahead": (2, 4)}, 2),  # over [1 2] and [9 2]: 1 of 2
        ({"suffix_match": 0.0}, None),  # no ending of one is in the other
        ({"suffix_match": 0.4, "lookahead": (3,)}, 3),  # [2 3] of [1 2 3] and [9 2 3]
        ({"rouge_l": 0.49}, 4),
        ({"rouge_l": 0.5}, None),
        ({"lookahead": ()}, None),
        ({"rouge_l": 0.1, "lookahead": (5,)}, None),  # the branch has no more than 5 left
        ({"rouge_l": 0.1, "lookahead": (5,), "short": "compare"}, 5),
        ({"rouge_l": 0.1, "lookahead": (50, 60), "short": "compare"}, 5),
    ],
)
def test_a_look(options: dict[str, Any], after: int | None) -> None:
    sampler = Latr(**{**OFF, "lookahead": (4,), **options})
    parent, branch = said([7, 7, 1, 2, 3, 4, 6, 6]), said([7, 7, 9, 2, 3, 5, 8])
    assert sampler.look(parent, branch, 2) == after


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_tokens_whose_runner_up_is_near_become_branches() -> None:
    plan = Latr(initial=1, share=0.75).plan(8, 0, 0)
    assert plan.grow([], 8) == [FRESH] * 3  # the tree's first path and a quarter of the group
    probs, others = [0.5, 0.7, 0.2, 0.35, 0.14, 0.4], [0.3, 0.2, 0.4, 0.36, 0.16, 0.15]
    paths = [
        Path(0, turns=[said(range(6), probs, others)]),
        *(Path(n, turns=[said([1], [0.5], [0.5])]) for n in (1, 2)),
    ]
    # 1: too far apart; 4: the sampled token is too rare; 5: so is the runner-up, which is not above 0.15 itself.
    assert plan.grow(paths, 5) == [Start(0, 0, 0), Start(0, 0, 2), Start(0, 0, 3)]
    decision = paths[0].decisions[1]
    assert decision == pytest.approx(
        {"turn": 0, "token": 2, "alternative": 102, "p_sampled": 0.2, "p_alternative": 0.4, "branches": 1}
    )
    assert plan.grow(paths, 2) == []  # judged once; plain paths never


def test_a_branch_is_judged_behind_its_forced_token() -> None:
    plan = Latr().plan(8, 0, 0)
    plan.grow([], 8)
    near = [0.5] * 4, [0.3] * 4
    root, branch = Path(0, turns=[said([1], [0.9], [0.1])]), Path(1, 0, 0, token=2, turns=[said(range(4), *near)])
    assert plan.grow([root, branch], 6) == [Start(1, 0, 3)]
    branch.turns.append(said(range(4), *near))
    assert plan.grow([root, branch], 5) == [Start(1, 1, token) for token in range(4)]


def test_an_engine_without_alternatives_is_refused() -> None:
    plan = Latr().plan(4, 0, 0)
    plan.grow([], 4)
    with pytest.raises(EngineError, match="needs the runner-up of every sampled token, and the engine reports none"):
        plan.grow([Path(0, turns=[said([1, 2])])], 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 5}, "sampler.initial is 5, but the group has only 4 paths"),
        ({"tau_abs": 2}, "sampler.tau_abs: input should be less than or equal to 1, got 2"),
        ({"lookahead": [0]}, "sampler.lookahead: input should be greater than or equal to 1, got 0"),
        ({"lookahed": [3]}, "sampler latr has no option 'lookahed'; did you mean 'lookahead'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_sampler({"name": "latr", **options}).plan(4, 0, 0)


# -- who gets a place, from interval counts ----------------------------------------------------------------------------

Moment = tuple[int, int]
NEVER: Moment = (10**6, 0)


def most_at_once(stays: Sequence[tuple[Moment, Moment]]) -> int:
    """Return how many of the stays [begin, end) overlap at most."""
    return max((sum(begin <= at < end for begin, end in stays) for at, _ in stays), default=0)


class Group:
    """A group that grows by a plan, its turns drawn at random, and what the plan should do at each step."""

    def __init__(self, sampler: Latr, budget: int, seed: int) -> None:
        self.plan, self.budget = sampler.plan(budget, 0, 0), budget
        self.rng = generator(seed, "group")
        self.width = round(budget * sampler.share) - min(sampler.initial, round(budget * sampler.share))
        self.is_near: Callable[[float, float], bool] = lambda p, q: (
            min(p, q) > sampler.tau_abs and abs(p - q) < sampler.tau_rel
        )
        starts = self.plan.grow([], budget)
        self.paths = [Path(number) for number in range(len(starts))]
        self.in_tree = min(sampler.initial, round(budget * sampler.share))
        self.open: list[tuple[int, int, int]] = []
        self.stays: dict[Path, tuple[Moment, Moment]] = {}

    def play(self) -> None:
        """Give every live path a turn; end, prune and lose some."""
        for path in self.paths:
            if not path.is_live:
                continue
            first = path.token + 1 if path.token is not None and len(path.turns) == path.start else 0
            if first and self.rng.random() < 0.4:
                path.is_live, path.pruned_after = False, int(self.rng.integers(1, 4))
                assert path.token is not None
                self.stays[path] = (path.start, path.token), (path.start, path.token + path.pruned_after)
                continue
            count = first + int(self.rng.integers(1, 6))
            probs, others = self.rng.uniform(0.05, 0.5, (2, count)).astype(np.float32)
            path.turns.append(said(range(count), probs, others))
            if path.number < self.in_tree or path.parent is not None:
                near = (k for k in range(first, count) if self.is_near(float(probs[k]), float(others[k])))
                self.open += [(len(path.turns) - 1, token, path.number) for token in near]
            path.is_live = self.rng.random() < 0.6

    def expected(self) -> list[Start]:
        """Take candidates in the order of their moments, each if its stay fits beside all others."""
        starts, stays = [], list(self.stays.values())
        for one in sorted(self.open):
            turn, token, number = one
            if most_at_once([*stays, ((turn, token), NEVER)]) <= self.width:
                stays.append(((turn, token), NEVER))
                starts.append(Start(number, turn, token))
        self.open = [one for one in self.open if Start(one[2], one[0], one[1]) not in starts]
        return starts

    def begin(self, start: Start) -> None:
        pruned = [path.number for path in self.paths if path.is_pruned]
        number = pruned[0] if pruned else len(self.paths)
        assert start.parent is not None and start.token is not None
        turns = self.paths[start.parent].turns[: start.turn]
        path = Path(number, start.parent, start.turn, turns, token=start.token, judged=start.turn + 1)
        self.paths[number : number + 1] = [path]
        self.stays[path] = (start.turn, start.token), NEVER


@settings(deadline=None)
@given(
    budget=st.integers(2, 9),
    initial=st.integers(1, 2),
    share=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_places_go_round_by_turn_and_token(budget: int, initial: int, share: float, seed: int) -> None:
    group = Group(Latr(initial=initial, share=share, tau_abs=0.1, tau_rel=0.3), budget, seed)
    assert len(group.paths) == budget - group.width
    for _ in range(12):
        group.play()
        slots = budget - sum(not path.is_pruned for path in group.paths)
        expected = group.expected()
        assert group.plan.grow(group.paths, slots) == expected
        assert len(expected) <= slots
        for start in expected:
            group.begin(start)
    assert most_at_once(list(group.stays.values())) <= group.width
    for path in group.paths:
        tokens = [(one["turn"], one["token"]) for one in path.decisions]
        assert len(set(tokens)) == len(tokens)
