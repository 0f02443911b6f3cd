import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest

from agentrl_envs.webshop.search import SearchIndex, postings, search_text
from agentrl_envs.webshop.search.analysis import terms
from agentrl_envs.webshop.search.postings import PostingsBuilder, coded_length
from tests.agentrl_envs.webshop.goods import RECORDS, record
from tests.shared_data import shared_data

VOCABULARY = [f"{letter}{number}" for letter in "bcdfg" for number in range(40)]


def documents(count: int) -> list[list[str]]:
    draw = random.Random(count)
    weights = [1 / (rank + 1) for rank in range(len(VOCABULARY))]
    return [draw.choices(VOCABULARY, weights, k=draw.randrange(1, 90)) for _ in range(count)]


def brute_force(found: list[list[str]], query: list[str], limit: int) -> list[tuple[str, float]]:
    """The formula as it stands in the docstring, over all documents."""
    mean = sum(map(len, found)) / len(found)
    frequency = Counter(term for document in found for term in set(document))
    scores = []
    for number, document in enumerate(found):
        counts, score = Counter(document), 0.0
        for term in query:
            n, f = frequency[term], counts[term]
            idf = math.log(1 + (len(found) - n + 0.5) / (n + 0.5))
            score += idf * f / (f + 0.9 * (0.6 + 0.4 * coded_length(len(document)) / mean))
        scores.append((-score, f"B{number:06d}"))
    return [(asin, -score) for score, asin in sorted(scores)[:limit] if score]


def index_of(found: list[list[str]], folder: Path | None = None) -> SearchIndex:
    builder = PostingsBuilder(folder)
    for number in range(len(builder), len(found)):
        builder.add(f"B{number:06d}", found[number])
    return SearchIndex(builder.finish())


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_the_best_are_found_without_scoring_all(limit: int) -> None:
    found = documents(600)
    index, draw = index_of(found), random.Random(limit)
    for _ in range(25):
        query = draw.choices([*VOCABULARY, "unknown"], k=draw.randrange(1, 12))
        expected = brute_force(found, query, limit)
        answer = index.scored(" ".join(query), limit)
        assert [asin for asin, _ in answer] == [asin for asin, _ in expected]
        assert [score for _, score in answer] == pytest.approx([score for _, score in expected], rel=1e-5)


def test_an_interrupted_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postings, "_BLOCK", 500)
    found = documents(300)
    first = PostingsBuilder(tmp_path)
    for number in range(200):
        first.add(f"B{number:06d}", found[number])
    again = PostingsBuilder(tmp_path)
    assert 0 < len(again) <= 200, "what was in a full block is kept"
    whole, resumed = index_of(found), index_of(found, tmp_path)
    opened = SearchIndex.open(tmp_path)
    for query in ("b0 c3 d7", "b1", "g39 f20 b0 b0"):
        assert whole.scored(query) == resumed.scored(query) == opened.scored(query) != []


def test_products_are_found_by_what_their_pages_say() -> None:
    index = SearchIndex.of_products(RECORDS)
    assert index.search("oak tables")[0] == "B000000001"
    assert index.search("navy") == ["B000000001"], "options"
    assert index.search("easy") == [], "only the first bullet"
    assert index.search("") == index.search("the of") == []
    assert len(index.search("table", limit=7)) == 7
    assert len(index) == len(RECORDS)
    tied = index.search("number")
    assert tied == sorted(tied), "ties come in the order of their asins"
    lone = [record(1, "Lamp", small_description=[], full_description="")]
    assert SearchIndex.of_products(lone).search("lamp") == ["B000000001"]
    assert SearchIndex.of_products([]).search("lamp") == []


def test_recorded_searches() -> None:
    folder = shared_data("webshop")
    index = SearchIndex.of_products(json.loads((folder / "items_shuffle_1000.json").read_text()))
    for line in (folder / "search_dev.jsonl").read_text().splitlines():
        case = json.loads(line)
        answer = index.scored(case["query"])
        assert [asin for asin, _ in answer] == [asin for asin, _ in case["hits"]], case["query"]
        # Lucene's scores are rounded to four digits.
        assert [score for _, score in answer] == pytest.approx([score for _, score in case["hits"]], abs=2e-4)


def test_what_is_searched() -> None:
    from agentrl_envs.webshop.product import read_product

    text = search_text(read_product(RECORDS[0]))
    assert text == (
        'Oak Table & Chairs All about the Oak Table & Chairs. Solid. color: oak, navy blue, and size: small, 18" <wide>'
    )
    assert terms(text)[:3] == ["oak", "tabl", "chair"]
