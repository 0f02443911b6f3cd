"""The forest of branched trajectories: by hand, and against a literal count of what was played."""

import pytest

from agentrl.env import Outcome
from agentrl.errors import DataError
from agentrl.rollout import RolloutResult
from agentrl.rollout.forest import build_forest, forest_counts, forest_metrics, shared_tokens, summarise
from agentrl.types import Trajectory
from tests.agentrl.rollout import forests
from tests.agentrl.rollout.forests import path, random_forest


@pytest.fixture
def family() -> list[Trajectory]:
    return forests.family()


def test_paths_run_together_where_turns_are_shared(family: list[Trajectory]) -> None:
    forest = build_forest(family)
    letters = ["".join(forest.nodes[number].turn.action for number in path) for path in forest.paths]
    assert letters == ["abcd", "abef", "abeg", "ah", "ab"]
    assert [(node.turn.action, node.members) for node in forest.nodes] == [
        ("a", (0, 1, 2, 3)),
        ("b", (0, 1, 2)),
        ("c", (0,)),
        ("d", (0,)),
        ("e", (1, 2)),
        ("f", (1,)),
        ("g", (2,)),
        ("h", (3,)),
        ("a", (4,)),
        ("b", (4,)),
    ]
    assert [forest.nodes[number].turn.action for number in forest.roots] == ["a", "a"]
    assert ["".join(forest.nodes[n].turn.action for n in node.after) for node in forest.nodes[:2]] == ["bh", "ce"]
    assert [node.turn.action for node in forest.nodes if node.is_branch_point] == ["a", "b", "e"]


def test_metrics_by_hand(family: list[Trajectory]) -> None:
    assert forest_metrics(family) == {
        "forest/num_roots": 2.0,
        "forest/num_branches": 3.0,
        "forest/branches_at_turn_1": 1.0,
        "forest/branches_at_turn_2": 1.0,
        "forest/branches_at_turn_3": 1.0,
        "forest/mean_generation": 4 / 3,
        "forest/shared_token_share": (2 * 2 + 1 + 3 * 2 + 1 + 2 + 1) / 32,  # a turn's first token is the same for all
        "forest/shared_turn_share": 1 - 10 / 16,
        "forest/turn_multiplicity": 16 / 10,
        "forest/turns_played_per_trajectory": 2.0,
    }


def test_turns_are_listed_by_number_not_by_letter() -> None:
    family = [path("root", "a" * 12), path("ten", "a" * 11, "root", 10), path("two", "aab", "root", 2)]
    assert [name for name in forest_metrics(family) if "_at_turn_" in name] == [
        "forest/branches_at_turn_2",
        "forest/branches_at_turn_10",
    ]


def test_without_branches_there_is_nothing_to_tell() -> None:
    assert forest_metrics([]) == forest_metrics([path("a", "xy"), path("b", "xy")]) == {}


def test_counts_of_groups_add_up(family: list[Trajectory]) -> None:
    other = [path("p", "ab"), path("q", "ac", "p", 1)]
    assert summarise(forest_counts(family) + forest_counts(other)) == forest_metrics([*family, *other])


def test_branches_of_an_absent_parent_share_its_turns(family: list[Trajectory]) -> None:
    orphans = [one for one in family if one.id != "root"]
    forest = build_forest(orphans)
    assert [(node.turn.action, node.members) for node in forest.nodes[:3]] == [
        ("a", (0, 1, 2)),
        ("b", (0, 1)),
        ("e", (0, 1)),
    ]
    assert shared_tokens(orphans) == 7  # of the grandchild alone: the others' parent is not there to compare with


@pytest.mark.parametrize("seed", range(5))
def test_every_random_forest_counts_what_was_played(seed: int) -> None:
    family = random_forest(seed)
    played = {turn.action for one in family for turn in one.turns}
    forest = build_forest(family)
    assert len(forest.nodes) == len(played) == sum(one.env_steps for one in family)
    for node in forest.nodes:
        assert node.members == tuple(i for i, one in enumerate(family) if node.turn in one.turns)
        assert all(forest.nodes[n].before == forest.nodes.index(node) for n in node.after)
    assert forest_counts(family)["turns"] == sum(len(node.members) for node in forest.nodes)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ([path("a", "x"), path("a", "y")], "two trajectories have the id 'a'"),
        ([path("a", "xy", "b", 1), path("b", "xz", "a", 1)], "parents of trajectory a form a circle"),
        ([path("a", "x"), path("b", "xyz", "a", 2)], "b branches from a at turn 2, which one of them never reached"),
        ([path("a", "xyz"), path("b", "x", "a", 2)], "b branches from a at turn 2"),
    ],
)
def test_what_cannot_be_a_forest_is_refused(family: list[Trajectory], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_forest(family)


def test_a_rollout_counts_shared_turns_once_and_accidents_too(family: list[Trajectory]) -> None:
    lost = path("lost", "abcx", "root", 3)
    lost.outcome = Outcome.ENV_ERROR
    result = RolloutResult(family, [lost], wall_s=2.0)
    metrics = result.metrics()
    assert metrics["rollout/env_steps"] == result.env_steps == 10 + 1
    assert metrics["rollout/num_sampled_tokens"] == 11
    assert metrics["rollout/turns_per_s"] == 5.5
    assert metrics["forest/num_branches"] == 3
    assert "forest/num_branches" not in RolloutResult(family[:1]).metrics()
