import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import random_columns, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.errors import ConfigError

# Last states: (s), (s, t) / (s), (s, t) / (u), (u, t)
COLUMNS = {
    "group": [0] * 6,
    "trajectory": [0, 0, 1, 1, 2, 2],
    "turn": [0, 1] * 3,
    "reward": [0, 4, 0, 2, 0, 0],
    "anchor": ["s", "t", "s", "t", "u", "t"],
}


def test_golden():
    # gamma 1. t alone: 4, 2, 0; after s: 4, 2; weights 2 and 3. Turn 0: s gives 4, 2, u is alone.
    deviation = np.std([4, 2, 0])
    first = (2 * 2 / deviation + 3 * 1) / 5
    second = (2 * 0 + 3 * -1) / 5
    third = -2 / deviation  # alone at depth 2
    result = credit.hgpo(TurnTable.from_columns(**COLUMNS), history=1, gamma=1.0, eps=0.0)
    np.testing.assert_allclose(result, [1, first, -1, second, 0, third])


def test_golden_authors_drop_what_is_exactly_average():
    result = credit.hgpo(TurnTable.from_columns(**COLUMNS), history=1, gamma=1.0, eps=0.0, dialect="authors")
    assert result[3] == pytest.approx(-1.0)  # the 0 at depth 1 does not dilute


def oracle(columns, history, alpha, episode):
    rows = range(len(columns["turn"]))
    returns = credit.discounted_returns(table_of(columns), 0.95)
    path = {}
    for row in sorted(rows, key=lambda row: columns["turn"][row]):
        path.setdefault(columns["trajectory"][row], []).append(columns["anchor"][row])
    scores = credit.grpo(table_of(columns))
    result = []
    for row in rows:

        def key(r, depth):
            states = path[columns["trajectory"][r]][: columns["turn"][r] + 1][-depth:]
            return columns["group"][r], tuple(states) if len(states) == depth else r

        parts = [(scores[row], 1.0)] if episode else []
        for depth in range(1, history + 2):
            alike = [returns[r] for r in rows if key(r, depth) == key(row, depth)]
            if len(alike) > 1:
                score = 0.0 if np.ptp(alike) < 1e-12 else (returns[row] - np.mean(alike)) / (np.std(alike) + 1e-6)
                parts.append((score, (depth + 1) ** alpha))
        result.append(sum(a * w for a, w in parts) / sum(w for _, w in parts) if parts else 0.0)
    return result


@given(
    seed=st.integers(0, 1000), history=st.integers(0, 3), alpha=st.sampled_from([0.0, 1.0, 2.0]), episode=st.booleans()
)
def test_equals_the_definition(seed, history, alpha, episode):
    columns = random_columns(seed, groups=2, turns=4)
    result = credit.hgpo(table_of(columns), history=history, alpha=alpha, episode=episode)
    np.testing.assert_allclose(result, oracle(columns, history, alpha, episode), atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_without_history_it_is_the_anchor_state(seed):
    table = table_of(random_columns(seed))
    np.testing.assert_allclose(credit.hgpo(table, history=0), credit.anchor_state(table, ddof=0), atol=1e-12)


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match="history is -1"):
        credit.hgpo(TurnTable.from_columns(**COLUMNS), history=-1)
