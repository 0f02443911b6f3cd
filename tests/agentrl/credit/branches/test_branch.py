import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_forest, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.credit.branches.forest import nodes, trees
from agentrl.errors import ConfigError, DataError

# a: turns 0 1 2.  b leaves a after turn 0, c leaves b after turn 1.  d stands alone.
COLUMNS = {
    "group": [0] * 9,
    "trajectory": ["a", "a", "a", "b", "b", "c", "c", "c", "d"],
    "turn": [0, 1, 2, 0, 1, 0, 1, 2, 0],
    "reward": [0, 0, 4, 0, 2, 0, 2, -2, 1],
    "parent": [None] * 3 + ["a"] * 2 + ["b"] * 3 + [None],
    "branch_turn": [0] * 3 + [1] * 2 + [2] * 3 + [0],
}
# returns 4, 2, 0, 1
BASE = np.array([4.0, 4, 4, 2, 2, 0, 0, 0, 1])


def test_golden_hard_and_soft():
    table = TurnTable.from_columns(**COLUMNS)
    # turn 0 of a, b, c: mean of 4, 2, 0; turn 1 of b and c: mean of 2, 0
    np.testing.assert_allclose(credit.branch_attribution(table, "hard", base=BASE), [2, 4, 4, 2, 1, 2, 1, 0, 1])
    np.testing.assert_array_equal(credit.branch_attribution(table, "soft", base=BASE), BASE)


def test_golden_treepo():
    table = TurnTable.from_columns(**COLUMNS)
    # group mean 7/4; subtree of turn 0 (a, b, c): mean 2; of turn 1 of b (b, c): mean 1
    of_a = (2.25 + 2) / 2
    of_b = (0.25 + 0 + 1) / 3
    of_c = (-1.75 - 2 - 1) / 3
    result = credit.treepo(table, whiten=None)
    np.testing.assert_allclose(result, [of_a] * 3 + [of_b] * 2 + [of_c] * 3 + [-0.75])
    of_a, of_b, of_c = (4 * 2.25 + 3 * 2) / 7, (4 * 0.25 + 2 * 1) / 9, (4 * -1.75 - 3 * 2 - 2 * 1) / 9
    result = credit.treepo(table, variant="size_weighted", whiten=None)
    np.testing.assert_allclose(result, [of_a] * 3 + [of_b] * 2 + [of_c] * 3 + [-0.75])
    # values 7/4 (root), 2, then 4, 4 for a, 1 for b and c, 0 for c alone
    result = credit.treepo(table, variant="segment", whiten=None)
    np.testing.assert_allclose(result, [0.25, 2, 0, 0.25, -1, 0.25, -1, -1, -0.75])


def test_treepo_levels():
    """Two trajectories share three turns: three subtrees by turn, one by branch."""
    table = TurnTable.from_columns(
        group=[0] * 9,
        trajectory=["a"] * 4 + ["b"] * 4 + ["c"],
        turn=[0, 1, 2, 3] * 2 + [0],
        reward=[0, 0, 0, 1, 0, 0, 0, 0, 0],
        parent=[None] * 4 + ["a"] * 4 + [None],
        branch_turn=[0] * 4 + [3] * 4 + [0],
    )
    by_turn, by_branch = (credit.treepo(table, levels=levels, whiten=None) for levels in ("turn", "branch"))
    np.testing.assert_allclose(by_turn[[0, 4, 8]], [(2 / 3 + 3 / 2) / 4, (-1 / 3 - 3 / 2) / 4, -1 / 3])
    np.testing.assert_allclose(by_branch[[0, 4, 8]], [(2 / 3 + 1 / 2) / 2, (-1 / 3 - 1 / 2) / 2, -1 / 3])


def test_treepo_whitens_over_tokens():
    # R = 1 and 0 with 3 tokens and 1: A = ±1/2, mean 1/4 and std 1/2 over the tokens; over turns ±1/√2
    table = TurnTable.from_columns(group=[0, 0], trajectory=[0, 1], turn=[0, 0], reward=[1, 0], tokens=[3, 1])
    np.testing.assert_allclose(credit.treepo(table, eps=0.0), [0.5, -1.5])
    np.testing.assert_allclose(credit.treepo(table, whiten="turn", eps=0.0), [0.5**0.5, -(0.5**0.5)])


@pytest.mark.parametrize("seed", range(3))
def test_treepo_whitening_equals_that_of_repeated_tokens(seed):
    columns = random_forest(seed)
    table = table_of(columns)
    by_token = np.repeat(credit.treepo(table, whiten=None), columns["tokens"])
    expected = (credit.treepo(table, whiten=None) - by_token.mean()) / (by_token.std(ddof=1) + 1e-8)
    np.testing.assert_allclose(credit.treepo(table), expected, atol=1e-9)


def test_golden_tree_grpo():
    table = TurnTable.from_columns(**COLUMNS)
    group = np.array([4, 2, 0, 1]) - 7 / 4
    tree = np.array([2, 0, -2, 0])
    rows = [0] * 3 + [1] * 2 + [2] * 3 + [3]
    np.testing.assert_allclose(credit.tree_grpo(table, scale="none"), (group + tree)[rows])
    expected = group / np.std([4, 2, 0, 1], ddof=1) + tree / 2
    np.testing.assert_allclose(credit.tree_grpo(table, eps=0.0), expected[rows])
    # again inside the tree: z-scores of a, b, c are 1, 0, -1; d alone keeps its own
    alone = -0.75 / np.std([4, 2, 0, 1], ddof=1)
    again = credit.tree_grpo(table, dialect="authors", eps=0.0)
    np.testing.assert_allclose(again, np.array([1, 0, -1, alone])[rows], atol=1e-12)


def literal_tree_grpo(columns, root, scale, eps=1e-6):
    """The public code's two passes over trajectories, each with mean 0 and std 1 for one alone."""
    total, group = {}, dict(zip(columns["trajectory"], columns["group"], strict=True))
    for name, reward in zip(columns["trajectory"], columns["reward"], strict=True):
        total[name] = total.get(name, 0.0) + reward

    def once(value, key):
        result = {}
        for name in value:
            peers = [value[other] for other in value if key[other] == key[name]]
            mean, std = (np.mean(peers), np.std(peers, ddof=1)) if len(peers) > 1 else (0.0, 1.0)
            result[name] = (value[name] - mean) / (std + eps if scale == "std" else 1.0)
        return result

    again = once(once(total, group), root)
    return [again[name] for name in columns["trajectory"]]


@given(seed=st.integers(0, 1000), scale=st.sampled_from(["std", "none"]))
def test_tree_grpo_equals_the_public_code(seed, scale):
    columns = random_forest(seed, groups=3, trajectories=1 + seed % 4)
    parent = dict(zip(columns["trajectory"], columns["parent"], strict=True))
    root = {}
    for name in parent:
        above = name
        while parent[above] is not None:
            above = parent[above]
        root[name] = above
    result = credit.tree_grpo(table_of(columns), scale=scale, dialect="authors")
    np.testing.assert_allclose(result, literal_tree_grpo(columns, root, scale), atol=1e-9)


def node_of(columns, row):
    """The turn's first copy, by walking up the parents."""
    name, turn = columns["trajectory"][row], columns["turn"][row]
    where = {n: at for at, n in reversed(list(enumerate(columns["trajectory"])))}
    while name in where and columns["parent"][where[name]] is not None and turn < columns["branch_turn"][where[name]]:
        name = columns["parent"][where[name]]
    return name, turn


@given(seed=st.integers(0, 1000))
def test_hard_attribution_equals_the_definition(seed):
    columns = random_forest(seed)
    table = table_of(columns)
    base = credit.grpo(table)
    node = [node_of(columns, row) for row in range(len(base))]
    expected = [np.mean([base[r] for r in range(len(base)) if node[r] == node[row]]) for row in range(len(base))]
    np.testing.assert_allclose(credit.branch_attribution(table, "hard"), expected, atol=1e-12)


@given(seed=st.integers(0, 1000), variant=st.sampled_from(["average", "size_weighted", "segment"]))
def test_treepo_equals_the_definition(seed, variant):
    columns = random_forest(seed)
    rows = range(len(columns["turn"]))
    total = {}
    for row in rows:
        total[columns["trajectory"][row]] = total.get(columns["trajectory"][row], 0.0) + columns["reward"][row]
    group_of = dict(zip(columns["trajectory"], columns["group"], strict=True))
    below = {}
    for row in rows:
        below.setdefault(node_of(columns, row), set()).add(columns["trajectory"][row])
    expected = []
    for row in rows:
        name, turn = columns["trajectory"][row], columns["turn"][row]
        everyone = {n for n in total if group_of[n] == group_of[name]}
        path = [below[node_of(columns, r)] for r in rows if columns["trajectory"][r] == name]
        levels = [everyone, *(leaves for leaves in path if len(leaves) > 1)]
        mean = [np.mean([total[n] for n in leaves]) for leaves in levels]
        if variant == "segment":
            values = [np.mean([total[n] for n in leaves]) for leaves in [everyone, *path]]
            expected.append(values[turn + 1] - values[turn])
        else:
            weights = [len(leaves) if variant == "size_weighted" else 1 for leaves in levels]
            expected.append(np.average([total[name] - m for m in mean], weights=weights))
    result = credit.treepo(table_of(columns), variant=variant, whiten=None)
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_without_branches_there_is_nothing_to_attribute(seed):
    columns = {key: values for key, values in random_forest(seed).items() if key not in ("parent", "branch_turn")}
    table = table_of(columns)
    np.testing.assert_array_equal(credit.branch_attribution(table), credit.grpo(table))
    np.testing.assert_allclose(credit.treepo(table, whiten=None), credit.dr_grpo(table), atol=1e-12)
    np.testing.assert_array_equal(credit.tree_grpo(table), credit.grpo(table))


def test_siblings_share_a_prefix_whose_owner_is_not_in_the_table():
    columns = {name: values[3:] for name, values in COLUMNS.items()}
    table = TurnTable.from_columns(**columns)
    node_N, count = nodes(table)
    assert count == 4
    assert node_N[0] == node_N[2]
    assert trees(table)[table.trajectory_N[0]] == trees(table)[table.trajectory_N[2]]


def test_a_circle_of_parents_is_refused():
    columns = {name: values[:5] for name, values in COLUMNS.items()} | {"parent": ["b"] * 3 + ["a"] * 2}
    table = TurnTable.from_columns(**columns | {"branch_turn": [1] * 5})
    for estimator in (credit.branch_attribution, credit.tree_grpo):
        with pytest.raises(DataError, match="circle"):
            estimator(table)


def test_unknown_options_are_refused():
    table = TurnTable.from_columns(**COLUMNS)
    with pytest.raises(ConfigError, match="did you mean 'hard'"):
        credit.branch_attribution(table, "hrd")
    with pytest.raises(ConfigError, match="variant is 'mean'"):
        credit.treepo(table, variant="mean")
