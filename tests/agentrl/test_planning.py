import itertools

from hypothesis import given
from hypothesis import strategies as st

from agentrl.planning import shortest_plan

graphs = st.dictionaries(
    st.integers(0, 5), st.dictionaries(st.sampled_from("abc"), st.integers(0, 5), max_size=3), max_size=6
)


def brute_force(graph: dict[int, dict[str, int]], goal: int) -> int | None:
    """Return the length of a shortest plan from 0, by trying all plans of up to 5 actions."""
    for length in range(6):
        for plan in itertools.product("abc", repeat=length):
            state: int | None = 0
            for action in plan:
                state = graph.get(state, {}).get(action) if state is not None else None
            if state == goal:
                return length
    return None


@given(graph=graphs, goal=st.integers(0, 5))
def test_plans_are_shortest_and_lead_to_the_goal(graph: dict[int, dict[str, int]], goal: int) -> None:
    plan = shortest_plan(0, lambda state: graph.get(state, {}), lambda state: state == goal)
    assert (None if plan is None else len(plan)) == brute_force(graph, goal)
    state = 0
    for action in plan or ():
        state = graph[state][action]
    assert plan is None or state == goal


def test_nothing_is_to_be_done_at_the_goal() -> None:
    assert shortest_plan("here", lambda state: {"go": "there"}, lambda state: state == "here") == []
