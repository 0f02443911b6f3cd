import math

import numpy as np
import pytest
from tables import random_columns, random_forest, table_of

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.credit.states.proximity import text_vectors
from agentrl.errors import ConfigError, DataError

COLUMNS = {
    "group": [0] * 3,
    "trajectory": [0, 1, 2],
    "turn": [0] * 3,
    "reward": [1, 0, 0],
    "text": ["red door", "red door", "blue lamp"],
    "success": [True, False, False],
}
PLACES = ["a red door", "a blue door", "a red lamp on a red table", "the door, the lamp", "", "nowhere"]


def with_texts(columns):
    states = sorted(set(columns["text"]))
    texts = [PLACES[states.index(state) % len(PLACES)] for state in columns["text"]]
    return columns | {"text": texts, "anchor": texts}


def test_vectors_golden():
    # three documents: red in two, door in two, blue and lamp in one each
    vectors = text_vectors(["red door", "blue lamp"], np.array([2, 1]))
    half = math.sqrt(0.5)
    np.testing.assert_allclose(vectors, [[half, half, 0, 0], [0, 0, half, half]])
    two, one = math.log(4 / 3) + 1, math.log(4 / 2) + 1
    mixed = text_vectors(["Red DOOR door", "door of x"], np.array([1, 2]))  # door 4 times, of 2, red 1; x is no word
    expected = np.array([2 * (math.log(4 / 4) + 1), 0, one])
    np.testing.assert_allclose(mixed[0], expected / np.linalg.norm(expected))
    np.testing.assert_allclose(mixed[1] / mixed[1, 0], [1, two, 0])


def test_golden():
    # cosines 1 and 0, T = 1: the two at the door count e each, the lamp 1
    table, e = TurnTable.from_columns(**COLUMNS), math.e
    step = [1 - e / (2 * e + 1), -e / (2 * e + 1), -1 / (2 + e)]
    np.testing.assert_allclose(credit.soft_anchor(table, temperature=1.0), step)
    success = 1 + 0.866 * (1 / (1 + math.exp(-((2 / 3) ** 5))) - 0.5)
    failure = 1 + 0.866 * (1 / (1 + math.exp((1 / 3) ** 5)) - 0.5)
    np.testing.assert_allclose(credit.success_rate_weight(table), [success, failure, failure])
    episode = np.array([success, failure, failure]) * [2 / 3, -1 / 3, -1 / 3]
    np.testing.assert_allclose(credit.proxmo(table, temperature=1.0, step_weight=2.0), episode + 2 * np.array(step))


def oracle_step(columns, temperature):
    """The definition, turn by turn; each turn's text is a document."""
    import re

    rows = range(len(columns["turn"]))
    words = [re.findall(r"\b\w\w+\b", text.lower()) for text in columns["text"]]
    idf = {
        word: math.log((1 + len(rows)) / (1 + sum(word in other for other in words))) + 1
        for bag in words
        for word in bag
    }
    vectors = [{word: bag.count(word) * idf[word] for word in bag} for bag in words]

    def cosine(one, other):
        if columns["text"][one] == columns["text"][other]:
            return 1.0
        a, b = vectors[one], vectors[other]
        norm = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
        return sum(a[word] * b.get(word, 0.0) for word in a) / norm if norm else 0.0

    returns = credit.discounted_returns(table_of(columns), 0.95)
    result = []
    for row in rows:
        group = [other for other in rows if columns["group"][other] == columns["group"][row]]
        weights = [math.exp(cosine(row, other) / temperature) for other in group]
        result.append(returns[row] - sum(w * returns[o] for w, o in zip(weights, group, strict=True)) / sum(weights))
    return result


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_equals_the_definition(seed, temperature):
    columns = with_texts((random_forest if seed % 2 else random_columns)(seed))
    table = table_of(columns)
    result = credit.soft_anchor(table, temperature=temperature)
    np.testing.assert_allclose(result, oracle_step(columns, temperature), atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_cold_it_compares_equal_texts_and_hot_the_whole_group(seed):
    table = table_of(with_texts(random_columns(seed)))
    cold = credit.soft_anchor(table, temperature=1e-4)
    np.testing.assert_allclose(cold, credit.anchor_state(table, scale="none"), atol=1e-9)
    hot = credit.soft_anchor(table, temperature=1e9)
    returns = credit.discounted_returns(table, 0.95)
    means = np.bincount(table.group_N, returns) / np.bincount(table.group_N)
    np.testing.assert_allclose(hot, returns - means[table.group_N], atol=1e-7)


def test_without_weights_and_steps_it_is_dr_grpo():
    table = table_of(with_texts(random_columns(3)))
    np.testing.assert_array_equal(credit.proxmo(table, strength=0.0, step_weight=0.0), credit.dr_grpo(table))


def test_rare_successes_count_more_and_rare_failures_less():
    weights = []
    for wins in (1, 4, 7):
        columns = {"group": [0] * 8, "trajectory": range(8), "turn": [0] * 8, "reward": [0.0] * 8}
        table = TurnTable.from_columns(**columns, success=[number < wins for number in range(8)])
        weights.append(credit.success_rate_weight(table)[[0, -1]])
    (rare, failure), (even, failed), (usual, rare_failure) = weights
    assert rare > even > usual > 1 > failure > failed > rare_failure


def test_only_the_most_frequent_words_are_known():
    vectors = text_vectors(["one two two", "three three one"], np.array([1, 1]), max_words=1)
    assert vectors.shape == (2, 1)  # three and two are as frequent as one: the alphabet decides
    np.testing.assert_array_equal(vectors, [[1.0], [1.0]])


def test_bad_options_and_states_are_refused():
    with pytest.raises(ConfigError, match="temperature is 0"):
        credit.proxmo(TurnTable.from_columns(**COLUMNS), temperature=0.0)
    with pytest.raises(DataError, match="similarity is that of texts"):
        credit.proxmo(TurnTable.from_columns(**COLUMNS | {"text": [1, 2, 3]}))
