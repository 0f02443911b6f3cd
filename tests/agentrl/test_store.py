"""The trajectory store: nothing is lost, and damage is told by name."""

import dataclasses
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agentrl.env import Outcome
from agentrl.errors import DataError
from agentrl.store import TrajectoryStore, load_trajectories, save_trajectories
from agentrl.types import BranchPoint, StopReason, TokenSequence, Trajectory, Turn

words = st.text(max_size=6)
numbers = st.floats(allow_nan=True)
whole = st.integers(0, 2**63 - 1)
turns = st.builds(
    Turn,
    index=whole,
    observation=words,
    response=words,
    action=words,
    action_valid=st.booleans(),
    reward=numbers,
    anchor=words,
    terminated=st.booleans(),
    truncated=st.booleans(),
    stop_reason=st.sampled_from(StopReason),
    num_tokens=whole,
    mean_entropy=numbers,
    policy_version=whole,
)


@st.composite
def sequences(draw: st.DrawFn) -> TokenSequence:
    length = draw(st.integers(0, 5))

    def column(dtype: Any) -> Any:
        return draw(hnp.arrays(dtype, length))

    return TokenSequence(*map(column, (np.int32, np.bool_, np.float32, np.float32, np.int32)))


trajectories = st.builds(
    Trajectory,
    id=words,
    group=words,
    task_id=words,
    seed=whole,
    turns=st.lists(turns, max_size=3),
    sequences=st.lists(sequences(), max_size=3),
    outcome=st.sampled_from(Outcome),
    outcome_reason=words,
    success=st.booleans(),
    score=numbers,
    parent=st.none() | st.builds(BranchPoint, parent=words, turn=whole),
    extra=st.dictionaries(words, st.none() | st.booleans() | whole | words | st.lists(whole, max_size=2), max_size=2),
)


def same(a: Any, b: Any) -> bool:
    """Equality of type and value, bit for bit in arrays; NaN equals itself."""
    if type(a) is not type(b):
        return False
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)


def example(length: int = 40) -> Trajectory:
    rng = np.random.default_rng(0)
    sequence = TokenSequence(
        rng.integers(500, size=length, dtype=np.int32),
        rng.random(length) < 0.5,
        -rng.random(length, dtype=np.float32),
        rng.random(length, dtype=np.float32),
        rng.integers(-1, 3, size=length, dtype=np.int32),
    )
    turn = Turn(0, "a\u2028b", "c", "d", True, 0.1 + 0.2, "e")
    return Trajectory("g/0", "g", "task", 3, [turn], [sequence], parent=BranchPoint("g/1", 2), extra={"k": [1, None]})


@settings(max_examples=30, deadline=None)
@given(records=st.lists(trajectories, max_size=3))
def test_a_round_trip_loses_nothing(records: list[Trajectory], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.zip"
    save_trajectories(path, records)
    assert same(load_trajectories(path), records)


def test_the_comparison_of_these_tests_sees_a_changed_bit() -> None:
    changed = example()
    changed.sequences[0].behavior_logprobs_L.view(np.uint32)[7] ^= 1
    assert same(example(), example())
    assert not same(example(), changed)


def test_loaded_arrays_can_be_written_to_and_do_not_share_memory(tmp_path: Path) -> None:
    save_trajectories(tmp_path / "t.zip", [example(), example()])
    first, second = load_trajectories(tmp_path / "t.zip")
    first.sequences[0].ids_L[:] = -5
    assert same(second, example())


def test_equal_trajectories_make_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        save_trajectories(tmp_path / name, [example()])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no trajectory file .*000003\.zip"):
        TrajectoryStore(tmp_path).read(3)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    save_trajectories(path, [example()])
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"cut\.zip is damaged"):
            load_trajectories(path)


def test_a_flipped_byte_never_goes_unnoticed(tmp_path: Path) -> None:
    """Either the file is refused, or the byte was one of the archive's own (a date, say) and nothing changed."""
    path = tmp_path / "flipped.zip"
    save_trajectories(path, [example(400)])
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), 41):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        try:
            loaded = load_trajectories(path)
        except DataError as error:
            assert "flipped.zip" in str(error)
            refused += 1
        else:
            assert same(loaded, [example(400)])
    assert refused > 0.8 * len(range(0, len(content), 41))


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("format.txt", b"agentrl-trajectories-9", "format 'agentrl-trajectories-9'"),
        ("records.jsonl", b'{"id": "x"}\n', "KeyError"),
        ("records.jsonl", b"", "expected 0 tokens"),
    ],
)
def test_a_file_whose_parts_do_not_agree_is_refused(member: str, content: bytes, message: str, tmp_path: Path) -> None:
    save_trajectories(tmp_path / "good.zip", [example()])
    with zipfile.ZipFile(tmp_path / "good.zip") as good, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, content if name == member else good.read(name))
    with pytest.raises(DataError, match=message):
        load_trajectories(tmp_path / "bad.zip")


def test_arrays_of_another_type_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    wrong = example()
    wrong.sequences[0].ids_L = wrong.sequences[0].ids_L.astype(np.int64)  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"g/0: ids_L is int64\[40\], expected int32\[40\]"):
        save_trajectories(tmp_path / "t.zip", [wrong])
    assert not list(tmp_path.iterdir())


def test_extras_that_json_cannot_hold_are_refused_by_name(tmp_path: Path) -> None:
    wrong = example()
    wrong.extra["where"] = Path("x")
    with pytest.raises(DataError, match="g/0 holds something that JSON cannot"):
        save_trajectories(tmp_path / "t.zip", [wrong])
    assert not list(tmp_path.iterdir())


def test_a_store_lists_and_reads_its_iterations_in_order(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path / "run" / "trajectories")
    assert store.iterations() == []
    for iteration in (12, 3):
        one = example()
        one.seed = iteration
        assert store.write(iteration, [one]) == store.path(iteration)
    assert [(iteration, [t.seed for t in read]) for iteration, read in store] == [(3, [3]), (12, [12])]
    store.write(3, [])
    assert store.read(3) == []


def test_what_an_interrupted_write_leaves_is_not_taken_for_an_iteration(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    store.write(1, [example()])
    (tmp_path / "000002.zip.partial").write_bytes(b"PK")
    assert store.iterations() == [1]
