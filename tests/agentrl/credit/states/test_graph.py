import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError, DataError

# Both open the door, then part, then meet again in the hall.
COLUMNS = {
    "group": ["q"] * 6,
    "trajectory": ["win"] * 3 + ["lose"] * 3,
    "turn": [0, 1, 2] * 2,
    "reward": [0, 0, 1, 0, 0, 0],
    "action": ["open", "left", "go", "open", "right", "go"],
    "next_anchor": ["door", "west", "hall", "door", "east", "hall"],
}
BASE = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])


def test_golden():
    table = TurnTable.from_columns(**COLUMNS)
    # only the first turn is shared by recent past too
    np.testing.assert_allclose(credit.salt(table, base=BASE), [0, 1, 1, 0, -1, -1])


def test_golden_short_memory_merges_again():
    columns = {name: [*values, values[2], values[5]] for name, values in COLUMNS.items()}
    columns["turn"] = [0, 1, 2, 0, 1, 2, 3, 3]  # both go to the hall twice: history 1 forgets where they came from
    table = TurnTable.from_columns(**columns)
    base = np.array([*BASE, 1.0, -1.0])
    np.testing.assert_allclose(credit.salt(table, base=base, history=1), [0, 1, 1, 0, -1, -1, 0, 0])
    np.testing.assert_allclose(credit.salt(table, base=base, history=2), [0, 1, 1, 0, -1, -1, 1, -1])


def oracle(columns, base, history):
    rows = range(len(base))
    past, edge = {}, [None] * len(base)
    for row in sorted(rows, key=lambda row: columns["turn"][row]):
        name = columns["trajectory"][row]
        before = past.get(name, ())
        following = columns["next_anchor"][row]
        step = (columns["action"][row], (row, None) if following is None else following)
        past[name] = after = (*before, step)[-history:]
        edge[row] = (columns["group"][row], before, step, after)
    return [np.mean([base[r] for r in rows if edge[r] == edge[row]]) for row in rows]


@given(seed=st.integers(0, 1000), history=st.integers(1, 4))
def test_equals_the_definition(seed, history):
    columns = random_columns(seed, turns=5)
    columns["next_anchor"] = [
        None if invalid else x for x, invalid in zip(columns["next_anchor"], columns["invalid"], strict=True)
    ]
    base = credit.grpo(table_of(columns))
    expected = oracle(columns, base, history)
    np.testing.assert_allclose(credit.salt(table_of(columns), base=base, history=history), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_sum_stays_and_unique_transitions_keep_their_own(seed):
    columns = random_columns(seed)
    table = table_of(columns)
    base = credit.rloo(table)
    assert credit.salt(table, base=base).sum() == pytest.approx(base.sum(), abs=1e-9)
    lonely = table_of(columns | {"action": range(len(base))})
    np.testing.assert_array_equal(credit.salt(lonely, base=base), base)


def test_an_estimator_will_do_as_base():
    table = table_of(random_columns(0))
    np.testing.assert_array_equal(credit.salt(table, base=credit.gigpo), credit.salt(table, base=credit.gigpo(table)))


def test_bad_input_is_refused():
    table = TurnTable.from_columns(**COLUMNS)
    with pytest.raises(ConfigError, match="history is 0"):
        credit.salt(table, base=BASE, history=0)
    with pytest.raises(DataError, match=r"base has shape \(2,\), expected \(6,\)"):
        credit.salt(table, base=BASE[:2])
    with pytest.raises(DataError, match="base of row 1 is inf"):
        credit.salt(table, base=np.where(np.arange(6) == 1, np.inf, BASE))
    with pytest.raises(DataError, match="needs the column 'action'"):
        credit.salt(table_of({name: COLUMNS[name] for name in ("group", "trajectory", "turn", "reward")}), base=BASE)


@pytest.mark.parametrize("seed", range(4))
def test_the_graph_shows_what_salt_averages(seed):
    pytest.importorskip("networkx")
    columns = random_columns(seed)
    table = table_of(columns)
    base = credit.grpo(table)
    graph = credit.trajectory_graph(table, history=2, advantages=base)
    mean = credit.salt(table, base=base, history=2)
    seen = []
    for source, target, data in graph.edges(data=True):
        assert data["count"] == len(data["rows"])
        assert {columns["action"][row] for row in data["rows"]} == {data["action"]}
        assert {columns["group"][row] for row in data["rows"]} == {graph.nodes[source]["group"]}
        assert graph.nodes[source]["group"] == graph.nodes[target]["group"]
        np.testing.assert_allclose(mean[data["rows"]], data["advantage"], atol=1e-12)
        seen += data["rows"]
    assert sorted(seen) == list(range(len(table)))
    roots = [node for node, data in graph.nodes(data=True) if data["root"]]
    assert len(roots) == len(set(columns["group"]))
    assert all(graph.in_degree(root) == 0 for root in roots)
    assert all(graph.nodes[root]["visits"] == 4 for root in roots), "four episodes in each group"
    for node, data in graph.nodes(data=True):
        if not data["root"]:
            assert data["visits"] == sum(edge["count"] for *_, edge in graph.in_edges(node, data=True))


def test_the_graph_leaves_out_what_is_not_scored():
    pytest.importorskip("networkx")
    table = TurnTable.from_columns(**COLUMNS, verdict=[True] * 3 + [False] * 3)
    assert credit.trajectory_graph(table).number_of_edges() == 3
