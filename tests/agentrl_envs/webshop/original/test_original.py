import json
import random
from pathlib import Path

import pytest

from agentrl import make
from agentrl.errors import ConfigError, DataError, TaskNotFoundError
from agentrl_envs.webshop.original import goals as original_goals
from agentrl_envs.webshop.original import store, streaming
from agentrl_envs.webshop.original.goals import OriginalGoals
from agentrl_envs.webshop.original.store import OriginalStock
from tests.agentrl_envs.webshop.goods import OPTIONS, record
from tests.shared_data import shared_data

COUNT = 120


def write(folder: Path, count: int = COUNT, suffix: str = "_120") -> Path:
    """Write a small data set as WebShop's files are."""
    records = [record(n, f"Table {n}", query=f"tables {n % 40}", customization_options=OPTIONS) for n in range(count)]
    known = {one["asin"]: {"attributes": ["easy clean", f"a{n % 7}"]} for n, one in enumerate(records)}
    for n, facts in enumerate(known.values()):
        if n % 2:
            facts |= {"instruction": f"Find me tables {n}", "instruction_attributes": ["easy clean"]}
    entry = {"instruction": "a table.", "instruction_attributes": ["easy clean"], "instruction_options": ["oak"]}
    human = {one["asin"]: [entry | {"instruction": f"a table {n}."}] for n, one in enumerate(records)}
    folder.mkdir(exist_ok=True)
    (folder / f"items_shuffle{suffix}.json").write_text(json.dumps([*records, records[0], {"asin": "nan"}]))
    (folder / f"items_ins_v2{suffix}.json").write_text(json.dumps(known))
    (folder / "items_human_ins.json").write_text(json.dumps(human))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_files_are_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(streaming, "_CHUNK", chunk)
    elements = [{"name": "Tisch ›", "n": [1, {"a": "]"}]}, 2.5, "é🌸", None]
    path = tmp_path / "list.json"
    path.write_text(" " + json.dumps(elements, ensure_ascii=False, indent=1) + "\n")
    read = list(streaming.stream_list(path))
    assert [value for value, _ in read] == elements
    for at, (_, offset) in enumerate(read):
        assert [value for value, _ in streaming.stream_list(path, offset)] == elements[at + 1 :]
    (tmp_path / "object.json").write_text(json.dumps({"a": elements, "b": 1}))
    assert list(streaming.stream_object(tmp_path / "object.json")) == [("a", elements), ("b", 1)]
    for name, content in (("empty list", "[]"), ("empty object", "{}")):
        (tmp_path / name).write_text(content)
    assert list(streaming.stream_list(tmp_path / "empty list")) == []
    assert list(streaming.stream_object(tmp_path / "empty object")) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[1", b"[1 2]", b"[1,", b'["\xff"]', b"[x]"])
def test_malformed_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.json").write_bytes(content)
    with pytest.raises(DataError, match=r"list\.json: malformed JSON after byte"):
        list(streaming.stream_list(tmp_path / "list.json"))


def test_the_stock_has_what_the_file_has(folder: Path) -> None:
    stock = OriginalStock(folder)
    assert len(stock) == COUNT, "duplicates and bad asins are left out"
    assert [product.asin for product in stock] == [stock.asin(number) for number in range(COUNT)]
    product = stock.get("B000000003")
    assert product is not None
    assert (product.title, product.instruction, product.attributes) == (
        *("Table 3", "Find me tables 3"),
        ("easy clean", "a3"),
    )
    assert stock.get("B999999999") is None
    assert stock.of_query("tables 3") == ["B000000003", "B000000043", "B000000083"]
    assert len(stock.of_category("garden")) == COUNT
    assert len(stock.of_attribute("a3")) == len(range(3, COUNT, 7))
    assert stock.index().search("table 3")[0] == "B000000003"


def test_a_build_that_was_killed_goes_on(
    tmp_path: Path, cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_BATCH", 10)
    read, seen = store.read_product, []

    def dies(one: object, facts: object) -> object:
        seen.append(one)
        if len(seen) == 57:
            raise KeyboardInterrupt
        return read(one, facts)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "read_product", dies)
    with pytest.raises(KeyboardInterrupt):
        OriginalStock(folder)
    stock = OriginalStock(folder)
    parsed = 57 + (COUNT + 1 - 50)
    assert len(seen) == parsed + COUNT, "products that were committed are not read again, but for the index"
    assert [product.title for product in stock] == [f"Table {number}" for number in range(COUNT)]
    monkeypatch.setattr(store, "_build", None)
    again = OriginalStock(folder)
    assert again.digest == stock.digest, "what is complete is not built again"
    database = stock.folder / "products.sqlite"
    assert store._is_complete(stock.folder)
    database.write_bytes(database.read_bytes()[:-100])
    assert not store._is_complete(stock.folder), "what was damaged is"


def test_other_content_is_another_cache(folder: Path, tmp_path: Path) -> None:
    assert OriginalStock(folder).digest == OriginalStock(write(tmp_path / "same")).digest
    assert OriginalStock(folder).digest != OriginalStock(write(tmp_path / "other", COUNT - 1)).digest


@pytest.mark.parametrize("kind", ["synthetic", "human"])
def test_splits_are_disjoint_by_what_goals_say(folder: Path, kind: str) -> None:
    tasks = OriginalGoals(OriginalStock(folder), kind, {})  # type: ignore[arg-type]
    said: dict[str, set[str]] = {}
    for split, ids in tasks.splits.items():
        goals = [tasks.load(task) for task in ids]
        assert all(tasks.ref(task).split == split for task in ids)
        said[split] = {goal.instruction.split(", and price")[0] for goal in goals}
        for goal, task in zip(goals, ids, strict=True):
            assert goal.asin in task
            assert goal.price_upper > 0
    assert set(said) == {"train", "valid_seen", "valid_unseen"}
    assert sum(map(len, said.values())) == len(set.union(*said.values()))
    assert sum(map(len, tasks.splits.values())) == (COUNT // 2 * 4 if kind == "synthetic" else COUNT)
    kinds = [
        {tasks.load(task).query for split in splits for task in tasks.ids(split)}
        for splits in (["train", "valid_seen"], ["valid_unseen"])
    ]
    assert not kinds[0] & kinds[1]
    for wrong in ("train/B000000001/999", "valid_seen/" + tasks.ids("train")[0].partition("/")[2], "x/y", "train/B/0"):
        with pytest.raises(TaskNotFoundError):
            tasks.ref(wrong)


def test_the_canonical_splits_are_places_in_the_shuffled_list(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(original_goals, "CANONICAL_GOALS", COUNT)
    monkeypatch.setattr(original_goals, "CANONICAL", {"test": (0, 5), "eval": (5, 15), "train": (15, None)})
    order = list(range(COUNT))
    random.Random(233).shuffle(order)
    tasks = OriginalGoals(OriginalStock(folder), "human", {})
    assert list(tasks.ids("test")) == [f"test/B{number:09d}/0" for number in order[:5]]
    assert list(tasks.ids("eval")) == [f"eval/B{number:09d}/0" for number in order[5:15]]
    assert len(tasks.ids("train")) == COUNT - 15
    with pytest.raises(TaskNotFoundError):
        tasks.ref(f"train/B{order[0]:09d}/0")


def test_prices_come_before_limits(folder: Path) -> None:
    stock = OriginalStock(folder)
    dear = {product.asin: 500.0 for product in stock}
    drawn, given = OriginalGoals(stock, "synthetic", {}), OriginalGoals(stock, "synthetic", dear)
    for task in given.ids("train")[:20]:
        assert given.load(task).price_upper in (520.0, 530.0, 540.0)
        assert given.ref(task) == drawn.ref(task), "prices are not part of a task's content"


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one file of products"):
        make("agentrl/WebShop-v0", data=str(tmp_path))
    with pytest.raises(ConfigError, match="say nothing about given data"):
        make("agentrl/WebShop-v0", data=str(folder), catalogue={"seed": 1})
    (tmp_path / "items_shuffle.json").write_text(json.dumps([record(1, "Lamp")]))
    with pytest.raises(DataError, match="no synthetic goals"):
        make("agentrl/WebShop-v0", data=str(tmp_path))


def test_the_real_goals() -> None:
    """All 6910 synthetic goals of the 1000 products, and weights as recorded."""
    data = shared_data("webshop")
    stock = OriginalStock(data)
    tasks = OriginalGoals(stock, "synthetic", {})
    assert sum(map(len, tasks.splits.values())) == 6910
    assert sum(map(len, OriginalGoals(stock, "human", {}).splits.values())) == 13
    everything = {task.partition("/")[2]: task for ids in tasks.splits.values() for task in ids}
    for line in (data / "episodes_dev.jsonl").read_text().splitlines()[::10]:
        goal = json.loads(line)["goal"]
        said = goal["instruction_text"].split(", and price lower")[0]
        candidates = [tasks.load(task) for place, task in everything.items() if place.startswith(goal["asin"])]
        (found,) = [one for one in candidates if one.instruction.split(", and price lower")[0] == said]
        again = found.as_dict()
        assert again["weight"] == pytest.approx(goal["weight"], rel=1e-12)
        for key in ("asin", "category", "query", "name", "product_category", "attributes", "goal_options"):
            assert again[key] == goal[key]
