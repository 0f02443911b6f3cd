"""The trajectory store: nothing is lost, and damage is told by name."""

import dataclasses
import json
import math
import zipfile
from io import BytesIO
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


def ids(*values: int) -> TokenSequence:
    """A sequence whose log-probs and entropies follow from its ids."""
    numbers = np.array(values, np.int32)
    chances = numbers.astype(np.float32)
    return TokenSequence(numbers, numbers > 3, -chances / 7, chances / 9, numbers - 4)


def grown(name: str, actions: str, *sequences: TokenSequence, parent: BranchPoint | None = None) -> Trajectory:
    """A trajectory with one turn per letter; equal letters make equal turns."""
    steps = [Turn(t, "seen", a, a, True, float(ord(a)), a) for t, a in enumerate(actions)]
    return Trajectory(name, "g", "task", 0, steps, list(sequences), parent=parent)


def contents(path: Path) -> tuple[list[str], int]:
    """The actions that each record holds itself, and how many tokens the file holds."""
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("records.jsonl").decode().splitlines()
        tokens = len(np.load(BytesIO(archive.read("ids_L.npy"))))
    return ["".join(turn["action"] for turn in json.loads(line)["turns"]) for line in lines], tokens


def test_a_chain_of_branches_writes_each_shared_prefix_once_whatever_the_order(tmp_path: Path) -> None:
    root = grown("root", "abc", ids(1, 5, 2, 6, 3, 7))
    child = grown("child", "abde", ids(1, 5, 2, 6, 3, 8, 9), parent=BranchPoint("root", 2))
    grandchild = grown("grandchild", "abdf", ids(1, 5, 2, 6, 3, 8, 4), parent=BranchPoint("child", 3))
    other = grown("other", "abc", ids(1, 5))
    records = [grandchild, other, child, root]
    save_trajectories(tmp_path / "t.zip", records)
    assert contents(tmp_path / "t.zip") == (["abc", "abc", "de", "f"], 2 + 6 + 2 + 1)
    assert same(load_trajectories(tmp_path / "t.zip"), records)


def test_window_sequences_are_shared_one_by_one(tmp_path: Path) -> None:
    root = grown("root", "abc", ids(1, 5), ids(1, 2, 6), ids(2, 3, 7))
    branch = grown("branch", "abx", ids(1, 5), ids(1, 2, 6), ids(2, 3, 8), parent=BranchPoint("root", 2))
    longer = grown("longer", "xbcde", ids(4, 5), ids(1, 2, 6), ids(2), ids(9), parent=BranchPoint("root", 1))
    save_trajectories(tmp_path / "t.zip", [root, branch, longer])
    assert contents(tmp_path / "t.zip") == (["abc", "x", "xbcde"], 8 + 1 + 3)
    assert same(load_trajectories(tmp_path / "t.zip"), [root, branch, longer])


def test_branches_of_a_parent_that_is_not_in_the_file_share_with_the_first_of_them(tmp_path: Path) -> None:
    early = grown("early", "abx", ids(1, 5, 6), parent=BranchPoint("gone", 2))
    late = grown("late", "abcy", ids(1, 5, 7, 8), parent=BranchPoint("gone", 3))
    save_trajectories(tmp_path / "t.zip", [early, late])
    assert contents(tmp_path / "t.zip") == (["abx", "cy"], 3 + 2)
    assert same(load_trajectories(tmp_path / "t.zip"), [early, late])


@pytest.mark.parametrize("column", ["behavior_logprobs_L", "entropies_L", "turns_L", "action_mask_L"])
def test_a_prefix_that_differs_in_any_column_is_written_from_there(column: str, tmp_path: Path) -> None:
    root, branch = (grown(name, "ab", ids(1, 5, 2, 6)) for name in ("root", "branch"))
    branch.parent = BranchPoint("root", 1)
    values = getattr(branch.sequences[0], column)
    values[1] = not values[1] if values.dtype == bool else -values[1] - 1
    save_trajectories(tmp_path / "t.zip", [root, branch])
    assert contents(tmp_path / "t.zip") == (["ab", ""], 4 + 3)
    assert same(load_trajectories(tmp_path / "t.zip"), [root, branch])


def test_zero_and_minus_zero_and_nan_keep_their_bits(tmp_path: Path) -> None:
    root, branch = (grown(name, "ab", ids(0, 0)) for name in ("root", "branch"))
    branch.parent = BranchPoint("root", 1)
    root.sequences[0].behavior_logprobs_L[:] = [math.nan, 0.0]
    branch.sequences[0].behavior_logprobs_L[:] = [math.nan, -0.0]
    root.turns[1].reward, branch.turns[1].reward = 0.0, -0.0
    save_trajectories(tmp_path / "t.zip", [root, branch])
    assert contents(tmp_path / "t.zip") == (["ab", "b"], 2 + 1)
    read = load_trajectories(tmp_path / "t.zip")
    assert same(read, [root, branch]) and math.copysign(1, read[1].turns[1].reward) == -1


def test_what_was_shared_in_the_file_is_not_shared_in_memory(tmp_path: Path) -> None:
    root = grown("root", "ab", ids(1, 5))
    branch = grown("branch", "ax", ids(1, 6), parent=BranchPoint("root", 1))
    save_trajectories(tmp_path / "t.zip", [root, branch])
    loaded, other = load_trajectories(tmp_path / "t.zip")
    loaded.sequences[0].ids_L[:] = -5
    loaded.turns[0].reward = -5.0
    assert same(other, branch)


def test_parents_that_form_a_circle_are_kept_as_they_are(tmp_path: Path) -> None:
    circle = [grown(a, "ab", ids(1, 5), parent=BranchPoint(b, 1)) for a, b in ("xy", "yz", "zx", "ss")]
    save_trajectories(tmp_path / "t.zip", circle)
    assert same(load_trajectories(tmp_path / "t.zip"), circle)


forests = st.lists(
    st.tuples(st.sampled_from("abcd"), st.none() | st.sampled_from("abcde"), st.text("xy", max_size=4), st.booleans()),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(drawn=forests)
def test_any_forest_comes_back(drawn: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Ids may occur twice, parents may be absent, later or the trajectory itself, prefixes agree by chance."""
    records = []
    for name, parent, actions, is_window in drawn:
        tokens = [ord(letter) - 118 for letter in actions]
        pieces = [ids(*tokens[: t + 1]) for t in range(len(tokens))] if is_window else [ids(*tokens)]
        records.append(grown(name, actions, *pieces, parent=parent and BranchPoint(parent, 1)))
    path = tmp_path_factory.getbasetemp() / "forest.zip"
    save_trajectories(path, records)
    assert same(load_trajectories(path), records)


def test_files_of_the_first_format_are_still_read(tmp_path: Path) -> None:
    """As that format wrote them: records whole and in place, lengths of sequences."""
    root, branch = grown("root", "ab", ids(1, 5), ids(2)), grown("branch", "ac", ids(1, 6))
    branch.parent = BranchPoint("root", 1)
    records = [dataclasses.asdict(t) | {"sequences": [len(s) for s in t.sequences]} for t in (root, branch)]
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        archive.writestr("format.txt", "agentrl-trajectories-1")
        archive.writestr("records.jsonl", "".join(json.dumps(record) + "\n" for record in records))
        for field in dataclasses.fields(TokenSequence):
            column = np.concatenate([getattr(s, field.name) for t in (root, branch) for s in t.sequences])
            buffer = BytesIO()
            np.save(buffer, column)
            archive.writestr(f"{field.name}.npy", buffer.getvalue())
    assert same(load_trajectories(tmp_path / "old.zip"), [root, branch])


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
        ("records.jsonl", b'{"id": "x"}\n', "line 1 of records.jsonl has no field 'group'"),
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
