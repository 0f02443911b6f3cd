import json
import pickle
from pathlib import Path

import pytest

from agentrl.adapters import FileTasks
from agentrl.errors import ConfigError, DataError, TaskNotFoundError

ROWS = [{"question": f"{one} + 2", "answer": str(one + 2)} for one in range(50)]


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_row_keeps_its_address_and_its_split_wherever_it_stands(tmp_path: Path) -> None:
    few = FileTasks(written(tmp_path / "few.jsonl", ROWS[:20]))
    many = FileTasks(written(tmp_path / "many.jsonl", [*ROWS[::-1], *ROWS]))
    assert sum(len(ids) for ids in many.splits.values()) == 50
    for split, ids in few.splits.items():
        for task_id in ids:
            assert many.ref(task_id) == few.ref(task_id)
            assert task_id in many.ids(split)
            assert many.load(task_id) == few.load(task_id)
    assert set(many.splits) == {"train", "valid_unseen"}
    assert len(many.ids("train")) > len(many.ids("valid_unseen"))
    assert pickle.loads(pickle.dumps(many)).splits == many.splits


def test_a_folder_has_a_split_for_each_file(tmp_path: Path) -> None:
    written(tmp_path / "test.jsonl", ROWS[:3])
    written(tmp_path / "train.jsonl", ROWS[3:10])
    tasks = FileTasks(tmp_path)
    assert {split: len(ids) for split, ids in tasks.splits.items()} == {"test": 3, "train": 7}
    assert tasks.load(tasks.ids("test")[0]) == ROWS[0]
    written(tmp_path / "valid.jsonl", ROWS[9:12])
    with pytest.raises(DataError, match="both hold the row"):
        FileTasks(tmp_path)


def test_what_is_loaded_is_the_callers_own(tmp_path: Path) -> None:
    tasks = FileTasks(written(tmp_path / "a.jsonl", ROWS))
    [first, *_] = tasks.ids("train")
    tasks.load(first).clear()
    assert tasks.load(first)


def test_parquet_holds_the_same_tasks(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").Table.from_pylist(ROWS)
    parquet.write_table(table, tmp_path / "a.parquet")
    one, other = FileTasks(tmp_path / "a.parquet"), FileTasks(written(tmp_path / "b.jsonl", ROWS))
    assert one.splits == other.splits


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", "{", "a.jsonl:1 is not JSON"),
        ("a.jsonl", "[1]", "expected an object"),
        ("a.jsonl", "", "holds no task"),
        ("a.csv", "a,b", "neither .jsonl nor .parquet"),
    ],
)
def test_what_is_no_table_of_tasks_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        FileTasks(tmp_path / name)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        FileTasks(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match=r"no \.jsonl or \.parquet"):
        FileTasks(tmp_path)
    path = written(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(ConfigError, match="positive"):
        FileTasks(path, shares={"train": 0.0})
    with pytest.raises(TaskNotFoundError, match="no task 'x'; there are 50 rows"):
        FileTasks(path).ref("x")
