import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.errors import DataError, TaskNotFoundError
from agentrl.seeding import generator
from agentrl.tasks import DrawnTasks, TaskRef, content_digest


def draw(rng: np.random.Generator) -> int:
    return int(rng.integers(10_000))


@pytest.fixture
def tasks() -> DrawnTasks[int]:
    return DrawnTasks(draw, {"train": 50, "valid": 20})


def test_digests_are_stable_across_versions() -> None:
    assert content_digest("maze") == content_digest(b"maze") == "dac3f4310a091030"
    assert content_digest("maze") != content_digest("Maze")


def test_ids_are_numbered_by_split(tasks: DrawnTasks[int]) -> None:
    assert list(tasks.splits) == ["train", "valid"]
    assert tasks.ids("valid")[:2] == ["valid/0", "valid/1"]
    assert len(tasks.ids("train")) == 50


def test_a_ref_tells_split_and_content(tasks: DrawnTasks[int]) -> None:
    ref = tasks.ref("valid/7")
    assert ref == TaskRef("valid/7", "valid", content_digest(repr(tasks.load("valid/7"))))


@settings(deadline=None, max_examples=20)
@given(seeds=st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_splits_are_disjoint_even_between_seeds(seeds: tuple[int, int]) -> None:
    one, other = (DrawnTasks(draw, {"train": 30, "valid": 30}, seed) for seed in seeds)
    assert not {one.load(i) for i in one.ids("train")} & {other.load(i) for i in other.ids("valid")}


def test_a_task_does_not_depend_on_what_was_drawn_before(tasks: DrawnTasks[int]) -> None:
    backwards = DrawnTasks(draw, {"train": 50, "valid": 20})
    ids = [*tasks.ids("train"), *tasks.ids("valid")]
    there = {task_id: backwards.load(task_id) for task_id in reversed(ids)}
    assert there == {task_id: tasks.load(task_id) for task_id in ids}


def test_another_seed_gives_other_tasks(tasks: DrawnTasks[int]) -> None:
    other = DrawnTasks(draw, {"train": 50, "valid": 20}, seed=1)
    assert [other.load(i) for i in other.ids("train")] != [tasks.load(i) for i in tasks.ids("train")]


def test_what_draw_refuses_is_drawn_again() -> None:
    even = DrawnTasks(lambda rng: None if (number := draw(rng)) % 2 else number, {"train": 20})
    assert all(even.load(task_id) % 2 == 0 for task_id in even.ids("train"))


def test_a_draw_that_never_succeeds_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DrawnTasks, "MAX_DRAWS", 10)
    with pytest.raises(DataError, match="10 draws gave no acceptable task for 'train/0'"):
        DrawnTasks(lambda rng: None, {"train": 1}).load("train/0")


def test_sampling_is_uniform_over_the_split(tasks: DrawnTasks[int]) -> None:
    rng = generator(0, "test")
    drawn = [tasks.sample("valid", rng).id for _ in range(2000)]
    counts = np.array([drawn.count(task_id) for task_id in tasks.ids("valid")])
    assert ((counts - 100) ** 2 / 100).sum() < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001


def test_an_empty_split_cannot_be_sampled() -> None:
    with pytest.raises(TaskNotFoundError, match="split 'train' is empty"):
        DrawnTasks(draw, {"train": 0}).sample("train", generator(0))


def test_unknown_names_are_answered_with_the_nearest(tasks: DrawnTasks[int]) -> None:
    with pytest.raises(TaskNotFoundError, match="no task 'valid/99'; did you mean 'valid/"):
        tasks.ref("valid/99")
    with pytest.raises(TaskNotFoundError, match="no split 'vaild'; did you mean 'valid'"):
        tasks.ids("vaild")
