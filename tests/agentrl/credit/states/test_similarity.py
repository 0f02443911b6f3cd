import difflib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.credit.states.similarity import similar_groups
from agentrl.seeding import generator


def clusters_of(texts, threshold, dialect):
    labels = list(dict.fromkeys(texts))
    codes = np.array([labels.index(text) for text in texts])
    return similar_groups(np.zeros(len(texts), dtype=np.int64), codes, labels, threshold, dialect).tolist()


def leader_clustering(texts, is_similar):
    leaders, result = [], []
    for text in texts:
        at = next((at for at, leader in enumerate(leaders) if is_similar(text, leader)), None)
        if at is None:
            at = len(leaders)
            leaders.append(text)
        result.append(at)
    return result


def longest_common_subsequence(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        previous = row[:]
        for j, y in enumerate(b):
            row[j + 1] = previous[j] + 1 if x == y else max(previous[j + 1], row[j])
    return row[-1]


def test_golden():
    texts = ["the red door", "the red doors", "a blue box", "the red door"]
    # 2·12/25 = 0.96
    assert clusters_of(texts, 0.95, "paper") == clusters_of(texts, 0.95, "authors") == [0, 0, 1, 0]
    assert clusters_of(texts, 0.97, "paper") == [0, 1, 2, 0]


texts_of_words = st.lists(
    st.lists(st.sampled_from(["go", "to", "the", "box", "12"]), max_size=6).map(" ".join), max_size=12
)


@given(texts=texts_of_words, threshold=st.sampled_from([0.5, 0.75, 0.8, 0.9]))
def test_authors_equals_difflib(texts, threshold):
    def is_similar(text, leader):
        return difflib.SequenceMatcher(None, text, leader).ratio() >= threshold

    assert clusters_of(texts, threshold, "authors") == leader_clustering(texts, is_similar)


@given(texts=texts_of_words, threshold=st.sampled_from([0.5, 0.75, 0.8, 0.9]))
def test_paper_equals_the_common_subsequence(texts, threshold):
    def is_similar(a, b):
        both = len(a) + len(b)
        return (2 * longest_common_subsequence(a, b) / both if both else 1.0) >= threshold - 1e-9

    assert clusters_of(texts, threshold, "paper") == leader_clustering(texts, is_similar)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_autojunk_is_reproduced(seed):
    # from 200 characters on difflib ignores frequent ones: a text of these alone is even unlike itself
    rng = generator(seed, "autojunk")
    bases = ["ab" * 120, "you see a cabinet and a drawer. " * 8, "xyz" * 70 + "!"]
    texts = [bases[at][: rng.integers(180, 240)] for at in rng.integers(0, 3, 8)]
    texts += ["ab" * 120] * 2

    def is_similar(text, leader):
        return difflib.SequenceMatcher(None, text, leader).ratio() >= 0.9

    assert clusters_of(texts, 0.9, "authors") == leader_clustering(texts, is_similar)


def test_groups_are_clustered_apart():
    labels = ["abcd", "abce"]
    result = similar_groups(np.array([1, 0, 1, 0]), np.array([0, 0, 1, 1]), labels, 0.7, "paper")
    assert result[0] == result[2] != result[1] == result[3]


@pytest.mark.parametrize("dialect", ["paper", "authors"])
def test_a_thousand_long_texts_take_no_minutes(dialect):
    # difflib alone: 200 different texts of this length take 23 s
    rng = generator(0, "long texts")
    words = ["".join(chr(97 + letter) for letter in rng.integers(0, 26, 6)) for _ in range(500)]
    states = [" ".join(words[at] for at in rng.integers(0, 500, 110)) for _ in range(300)]
    start = time.process_time()
    result = clusters_of([states[at] for at in rng.integers(0, 300, 1000)], 0.95, dialect)
    assert len(set(result)) > 250
    assert time.process_time() - start < 5.0
