from itertools import compress

import numpy as np
import pytest
from tables import ESTIMATORS, NOT_RELATIVE, ORDERED, random_columns, random_forest, shuffled, table_of

from agentrl.credit import TurnTable, gigpo
from agentrl.errors import DataError
from agentrl.seeding import generator

SMALL = {"group": ["q", "q", "q"], "trajectory": ["a", "a", "b"], "turn": [0, 1, 0], "reward": [0.0, 1.0, 2.0]}


def test_columns_are_interned_and_laid_out_in_time():
    table = TurnTable.from_columns(**SMALL | {"turn": [1, 0, 0]}, anchor=["x", "y", "x"])
    assert table.num_groups == 1
    assert table.num_trajectories == 2
    assert table.anchor_N[0] == table.anchor_N[2] != table.anchor_N[1]
    assert table.anchor_labels[table.anchor_N[1]] == "y"
    assert table.order_N.tolist() == [1, 0, 2]
    assert table.left_N.tolist() == [0, 1, 0]
    assert table.first_row_M.tolist() == [0, 2]


def test_equal_states_have_equal_codes_before_and_after():
    table = TurnTable.from_columns(**SMALL, anchor=["x", "y", "x"], next_anchor=["y", "x", None])
    assert table.next_anchor_N[0] == table.anchor_N[1]
    assert table.next_anchor_N[1] == table.anchor_N[0]


def test_unknown_equals_nothing():
    table = TurnTable.from_columns(**SMALL, anchor=[None, "x", None])
    assert len(set(table.anchor_N.tolist())) == 3


@pytest.mark.parametrize("kind", [np.array, tuple, lambda x: np.array(x, dtype=object)])
def test_any_kind_of_column_gives_the_same_advantages(kind):
    columns = random_columns(1)
    expected = gigpo(table_of(columns))
    other = {name: kind(values) for name, values in columns.items()}
    np.testing.assert_array_equal(gigpo(table_of(other)), expected)


@pytest.mark.parametrize(
    "wrap", [lambda x: [x, [x]], lambda x: {"state": [x]}, lambda x: np.array([[len(x)], [ord(x[-1])]])]
)
def test_keys_may_be_arrays_lists_and_mappings(wrap):
    columns = random_columns(1)
    expected = gigpo(table_of(columns))
    for name in ("anchor", "next_anchor"):
        columns[name] = [wrap(value) for value in columns[name]]
    np.testing.assert_array_equal(gigpo(table_of(columns)), expected)


def test_a_matrix_has_a_key_in_each_row():
    table = TurnTable.from_columns(**SMALL, anchor=np.array([[0, 1], [1, 0], [0, 1]]))
    assert table.anchor_N[0] == table.anchor_N[2] != table.anchor_N[1]


def test_what_cannot_be_a_key_is_refused():
    with pytest.raises(DataError, match="row 1 has a key of type set"):
        TurnTable.from_columns(**SMALL, anchor=["x", {1}, "x"])


def test_integers_far_apart_are_interned_by_sorting():
    columns = random_columns(2)
    expected = gigpo(table_of(columns))
    columns["anchor"] = np.array([hash(anchor) for anchor in columns["anchor"]])
    columns["turn"] = np.array(columns["turn"]) * 1_000_000
    np.testing.assert_array_equal(gigpo(table_of(columns)), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": [0.0, 1.0]}, "different lengths .*reward 2"),
        ({"turn": [0, 0, 0]}, "rows 0 and 1 are both turn 0 of trajectory 'a'"),
        ({"turn": [0, 1.5, 0]}, "turn of row 1 is 1.5"),
        ({"turn": [0, -1, 0]}, "turn of row 1 is -1"),
        ({"reward": [0.0, float("nan"), 0.0]}, "reward of row 1 is nan"),
        ({"reward": [0.0, "much", 0.0]}, "column 'reward' must hold numbers"),
        ({"group": ["q", "p", "q"]}, "trajectory 'a' has two values of group"),
        ({"parent": [None, None, "a"]}, "give both or neither"),
        ({"parent": [None, None, "b"], "branch_turn": [0, 0, 0]}, "'b' is its own parent"),
        ({"parent": ["b", None, None], "branch_turn": [0, 0, 0]}, "'a' has two values of parent"),
    ],
)
def test_bad_columns_are_refused_with_the_row(change, message):
    with pytest.raises(DataError, match=message):
        TurnTable.from_columns(**SMALL | change)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match=r"needs the column 'anchor'.*from_columns\(anchor="):
        gigpo(TurnTable.from_columns(**SMALL))


def test_a_reward_without_verdict_need_not_be_finite():
    table = TurnTable.from_columns(**SMALL | {"reward": [0.0, float("nan"), 1.0]}, verdict=[False, False, True])
    assert np.isnan(ESTIMATORS["group_relative"](table)).tolist() == [True, True, False]


def test_selecting_rows_keeps_the_forest():
    columns = {name: [*values, values[-1]] for name, values in SMALL.items()}
    columns["trajectory"] = ["a", "a", "b", "c"]
    table = TurnTable.from_columns(**columns, parent=[None, None, "a", "b"], branch_turn=[0, 0, 1, 1])
    kept = table.select(np.array([False, False, True, True]))
    parent_of_b, parent_of_c = kept.parent_N.tolist()
    assert parent_of_c == kept.trajectory_N[0]
    assert parent_of_b >= kept.num_trajectories  # gone from the table, still somebody


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("seed", range(4))
def test_a_row_without_verdict_might_as_well_not_exist(name, seed):
    columns = random_forest(seed)
    verdict = generator(seed, "verdict").random(len(columns["turn"])) < 0.7
    result = ESTIMATORS[name](table_of(columns, verdict=verdict))
    alone = ESTIMATORS[name](table_of({key: list(compress(values, verdict)) for key, values in columns.items()}))
    assert np.isnan(result[~verdict]).all()
    np.testing.assert_array_equal(result[verdict], alone)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - ORDERED))
@pytest.mark.parametrize("seed", range(4))
def test_row_order_is_free(name, seed):
    columns = random_forest(seed)
    mixed, order = shuffled(columns, seed)
    expected = ESTIMATORS[name](table_of(columns))[order]
    np.testing.assert_allclose(ESTIMATORS[name](table_of(mixed)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_table_without_rows_gives_nothing(name):
    columns = {key: [] for key in random_forest(0)}
    assert ESTIMATORS[name](table_of(columns)).shape == (0,)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - NOT_RELATIVE))
def test_a_lone_trajectory_and_equal_rewards_give_exactly_zero(name):
    # 0.1 has no exact float: the mean of three equal sums must still be that sum
    columns = {"group": [0, 1, 1, 1], "trajectory": [0, 1, 2, 3], "turn": [0] * 4, "reward": [0.1] * 4}
    same = {"anchor": ["s"] * 4, "action": ["a"] * 4, "next_anchor": ["t"] * 4, "tokens": [3, 1, 1, 1]}
    same |= {
        "final_anchor": ["t"] * 4,
        "success": [True] * 4,
        "hindsight": [-1.0] * 4,
        "step_reward": [0.2] * 4,
        "text": ["a room"] * 4,
    }
    table = TurnTable.from_columns(**columns, **same)
    np.testing.assert_array_equal(ESTIMATORS[name](table), 0.0)
