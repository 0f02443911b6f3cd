"""The samplers' decisions, each against the formula or a count."""

import math
from typing import Any

import numpy as np
import pytest

from agentrl.engines.base import Completion
from agentrl.errors import ConfigError
from agentrl.rollout.branching import FRESH, SAMPLERS, Aepo, Arpo, Path, Start, TreeGrpo, TreePo, make_sampler
from agentrl.rollout.branching.entropy import branch_streak, entropy_change
from agentrl.rollout.branching.trees import tree_nodes
from agentrl.seeding import generator
from agentrl.types import StopReason


def said(*entropies: float, logprob: float = -1.0) -> Completion:
    ids = np.zeros(len(entropies), np.int32)
    logprobs = np.full(len(entropies), logprob, np.float32)
    return Completion(ids, logprobs, np.array(entropies, np.float32), StopReason.END, 0)


def path(number: int, *means: float, live: bool = True, **kwargs: Any) -> Path:
    return Path(number, turns=[said(mean, mean) for mean in means], is_live=live, **kwargs)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("vocabulary", 0.9 / 100), ("log_vocabulary", 0.9 / math.log(100)), ("mean", 0.3)],
)
def test_entropy_change_is_over_the_first_tokens_that_both_turns_have(scale: Any, expected: float) -> None:
    first, turn = said(0.1, 0.2, 0.3), said(0.4, 0.5, 0.6, 9.0)
    assert entropy_change(first, turn, 20, scale, 100) == pytest.approx(expected)
    assert entropy_change(first, said(1.1), 20, "mean", 100) == pytest.approx(1.0)
    assert entropy_change(first, said(1.1, 0.2, 9.0), 2, "mean", 100) == pytest.approx(0.5)


def test_arpo_branches_where_entropy_rose() -> None:
    plan = Arpo(initial=2, scale="mean").plan(6, 0, 0)
    assert plan.grow([], 6) == [FRESH] * 2
    paths = [path(0, 0.5), path(1, 0.5)]
    assert plan.grow(paths, 4) == []  # the first turn answers no reply
    for one, mean in zip(paths, (0.6, 0.4), strict=True):
        one.turns.append(said(mean, mean))
    assert plan.grow(paths, 4) == [Start(0, 1)]
    [rose], [fell] = paths[0].decisions, paths[1].decisions
    assert rose["score"] == pytest.approx(0.5 + 0.2 * 0.1) and rose["branches"] == 1
    assert fell["score"] == pytest.approx(0.5 - 0.2 * 0.1) and fell["branches"] == 0
    paths.append(path(2, 0.5, 0.9, parent=0, start=1, judged=2))
    assert plan.grow(paths, 3) == []  # a fork's first own turn was judged on its parent


def test_arpo_judges_the_turn_that_ended_a_path_too() -> None:
    plan = Arpo(initial=1, scale="mean").plan(3, 0, 0)
    plan.grow([], 3)
    assert plan.grow([path(0, 0.1, 0.9, live=False)], 2) == [Start(0, 1)]


def test_beam_and_slots_bound_the_branches() -> None:
    plan = Arpo(initial=1, beam=4, scale="mean").plan(9, 0, 0)
    plan.grow([], 9)
    paths = [path(0, 0.1, 0.9), path(1, 0.1, 0.9)]
    assert plan.grow(paths, 4) == [Start(0, 1)] * 3 + [Start(1, 1)]
    paths = [path(0, 0.1, 0.9), path(1, 0.1, 0.9)]
    assert plan.grow(paths, 0) == [] and not paths[0].decisions


def test_chance_draws_for_every_further_path() -> None:
    sampler = Arpo(initial=1, beam=6, alpha=0.5, beta=0.0, scale="mean", rule="chance")
    starts = [sampler.plan(7, seed, 0).grow([path(0, 0.1, 0.2)], 6) for seed in range(200)]
    for seed, got in enumerate(starts[:20]):
        draws = generator(seed, "branch", 0, 1).random(5)
        assert len(got) == sum(draw < 0.5 for draw in draws)
    assert np.mean([len(got) for got in starts]) == pytest.approx(2.5, abs=0.3)


@pytest.mark.parametrize(("form", "expected"), [("linear", 0.6 * 0.8), ("geometric", 0.6 * 0.9**2)])
def test_aepo_penalises_decisions_in_a_row(form: Any, expected: float) -> None:
    sampler = Aepo(beta=0.2, penalty=0.1, penalty_form=form)
    assert sampler.score(0.5, 2) == pytest.approx(expected)
    assert sampler.score(0.5, 0) == pytest.approx(0.6)
    assert Aepo(penalty=0.3).score(0.5, 9) == 0.0


def test_streaks_follow_the_way_that_led_to_a_turn() -> None:
    def decisions(*branches: int) -> list[dict[str, Any]]:
        return [{"turn": turn, "branches": count} for turn, count in enumerate(branches, 1)]

    root = Path(0, decisions=decisions(0, 1, 1, 0))
    child = Path(1, parent=0, start=3)
    grandchild = Path(2, parent=1, start=4, decisions=[{"turn": 5, "branches": 1}])
    paths = [root, child, grandchild]
    assert [branch_streak(one, paths) for one in paths] == [0, 2, 3]
    child.decisions = [{"turn": 4, "branches": 0}]
    assert branch_streak(grandchild, paths) == 1


def test_aepo_looks_at_one_path_then_allots() -> None:
    sampler = Aepo(slope=2.0)
    plan = sampler.plan(10, 0, 0)
    assert plan.grow([], 10) == [FRESH]
    first = path(0, 0.2, 1.0, 0.4)
    assert plan.grow([first], 9) == []
    first.is_live = False
    initial = math.floor(10 / (1 + math.exp(-2.0 * (0.2 - 0.7))) + 0.5)
    assert initial == 3
    assert plan.grow([first], 9) == [FRESH] * 2
    assert plan.notes == pytest.approx({"initial": 3, "root_entropy": 0.2, "tool_entropy": 0.7})
    others = [path(1, 0.3), path(2, 0.3)]
    # Its turns are judged one a round, beside those of the others.
    assert plan.grow([first, *others], 7) == [Start(0, 1)]
    assert [one["turn"] for one in first.decisions] == [1]


def test_aepo_with_nothing_to_look_at_takes_half() -> None:
    plan = Aepo().plan(8, 0, 0)
    plan.grow([], 8)
    assert plan.grow([path(0, 0.7, live=False)], 7) == [FRESH] * 3
    lost = Aepo().plan(8, 0, 0)
    lost.grow([], 8)
    assert lost.grow([Path(0, is_live=False, is_lost=True)], 7) == [FRESH] * 3


def test_an_aepo_of_one_look_only_goes_on_to_judge_it() -> None:
    plan = Aepo(slope=50.0).plan(2, 0, 0)
    plan.grow([], 2)
    assert plan.grow([path(0, 0.1, 0.9, live=False)], 1) == [Start(0, 1)]


def test_tree_grpo_expands_random_turns_of_every_tree() -> None:
    plan = TreeGrpo(trees=2, expansions=2).plan(8, 5, 0)
    assert plan.grow([], 8) == [FRESH] * 2
    paths = [path(0, 1, 1, 1), path(1, 1, live=False)]
    assert plan.grow(paths, 6) == []
    paths[0].is_live = False
    starts = plan.grow(paths, 6)
    assert [start.parent for start in starts] == [0, 1, 0, 1]
    assert {start.turn for start in starts if start.parent == 0} <= {1, 2}
    assert {start.turn for start in starts if start.parent == 1} == {0}
    assert len(plan.grow(paths, 1)) == 1


def test_a_turn_of_a_tree_counts_once() -> None:
    root = path(0, 1, 1, 1)
    child = path(1, 1, 1, 1, parent=0, start=1)
    other = path(2, 1, 1)
    lost = path(3, 1, 1, 1, parent=0, start=1, is_lost=True)
    assert tree_nodes(root, [root, child, other, lost]) == [Start(0, 1), Start(0, 2), Start(1, 2)]


def test_treepo_widens_evenly_until_the_budget() -> None:
    widths = {len(TreePo().plan(16, seed, 0).grow([], 16)) for seed in range(100)}
    assert widths == set(range(2, 9))
    plan = TreePo(children=3).plan(16, 0, 0)
    plan.grow([], 16)
    live = [path(0, 1, 1), path(1, 1, 1)]
    assert plan.grow(live, 12) == [Start(0, 2)] * 2 + [Start(1, 2)] * 2
    assert len(plan.grow(live, 3)) == 3
    deep = TreePo(max_depth=2).plan(16, 0, 0)
    deep.grow([], 16)
    assert deep.grow(live, 12) == []


def test_treepo_prefers_what_was_probable() -> None:
    counts = np.zeros(2)
    for seed in range(300):
        plan = TreePo(spread="probability").plan(3, seed, 0)
        likely, unlikely = path(0), path(1)
        likely.turns, unlikely.turns = [said(1, logprob=-0.1)], [said(1, logprob=-1.1)]
        [start] = plan.grow([likely, unlikely], 1)
        counts[start.parent or 0] += 1
    assert counts[0] / 300 == pytest.approx(math.e / (1 + math.e), abs=0.08)


def test_treepo_goes_back_to_finished_paths() -> None:
    plan = TreePo().plan(8, 1, 0)
    plan.grow([], 8)
    done = [path(0, 1, 1, 1, live=False), path(1, 1, live=False), path(2, 1, 1, live=False, is_lost=True)]
    starts = plan.grow(done, 5)
    assert len(starts) == 5 and {start.parent for start in starts} == {0}
    assert {start.turn for start in starts} <= {1, 2}
    assert plan.grow([path(0, 1, live=False)], 5) == []


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_are_made_by_name(name: str) -> None:
    sampler = make_sampler({"name": name})
    assert sampler.name == name
    assert 1 <= len(sampler.plan(8, 0, 100).grow([], 8)) <= 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "arpoo"}, "no sampler 'arpoo'; did you mean 'arpo'?"),
        ({"name": "arpo", "beem": 2}, "sampler arpo has no option 'beem'; did you mean 'beam'?"),
        ({"name": "arpo", "beam": 1}, "sampler.beam: input should be greater than or equal to 2, got 1"),
        ({"name": "arpo", "initial": 9}, "sampler.initial is 9, but the group has only 8 paths"),
        ({"name": "aepo", "initial": 2}, "sampler.initial is 2, but pre_monitoring finds it"),
        ({"name": "tree_grpo", "trees": 9}, "sampler.trees is 9, but the group has only 8"),
        ({"name": "treepo", "root": [3, 2]}, r"sampler.root is \(3, 2\)"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_sampler(options).plan(8, 0, 100)


def test_a_scale_by_vocabulary_needs_one() -> None:
    with pytest.raises(ConfigError, match="choose 'mean'"):
        Arpo().plan(8, 0, 0)
