"""Metrics are added to, mended from a checkpoint, and nothing of them goes unsaid."""

import json
from pathlib import Path

import pytest

from agentrl.errors import DataError
from agentrl.trainer.directory.metrics import ASIDE, NAME, Metrics, read_lines, read_metrics

LINES = [json.dumps({"stage": "reinforce", "index": index}) for index in range(1, 6)]
WHOLE = "".join(f"{line}\n" for line in LINES)


def resumed(directory: Path, kept: int) -> list[str]:
    """Go on after the first ``kept`` lines; return what was said."""
    said: list[str] = []
    Metrics(directory, said.append).begin(LINES[:kept], "iteration-000003")
    assert (directory / NAME).read_text() == "".join(f"{line}\n" for line in LINES[:kept])
    return said


def test_a_run_that_begins_and_adds(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, pytest.fail)
    metrics.begin([], "")
    for line in LINES:
        metrics.add(json.loads(line))
    assert (tmp_path / NAME).read_text() == WHOLE and metrics.lines == LINES
    (tmp_path / "folder").mkdir()
    metrics.copy_to(tmp_path / "folder")
    assert read_lines(tmp_path / "folder") == LINES
    assert read_metrics(tmp_path, pytest.fail) == [json.loads(line) for line in LINES]


def test_a_clean_end_is_gone_on_from_in_silence(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(WHOLE)
    assert resumed(tmp_path, 5) == []
    assert not (tmp_path / ASIDE).exists()


def test_what_is_played_again_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(WHOLE + '{"stage": "re')
    [said] = resumed(tmp_path, 3)
    assert said.startswith("3 lines of") and (tmp_path / ASIDE).read_text().splitlines() == [
        *LINES[3:],
        '{"stage": "re',
    ]
    (tmp_path / NAME).write_text(WHOLE)
    resumed(tmp_path, 4)
    assert len((tmp_path / ASIDE).read_text().splitlines()) == 4, "what was there stays"


@pytest.mark.parametrize(
    ("content", "lost", "others"),
    [
        (WHOLE.replace('"index": 2', '"indx": 2'), 1, 1),
        (WHOLE.replace(LINES[1] + "\n", ""), 1, 0),
        (WHOLE[: len(WHOLE) // 2], 3, 1),
        ("", 5, 0),
        ("\x00" * 100, 5, 1),
    ],
)
def test_damage_is_said_and_mended(tmp_path: Path, content: str, lost: int, others: int) -> None:
    (tmp_path / NAME).write_text(content)
    said = resumed(tmp_path, 5)
    assert f"lacked {lost} of 5 records, or they were damaged: restored from iteration-000003" in said[-1]
    assert len(said) == 1 + (others > 0)


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    [said] = resumed(tmp_path, 4)
    assert said.endswith(f"{NAME} was missing: restored from iteration-000003")


def test_what_others_did_while_it_ran_is_noticed_at_the_next_checkpoint(tmp_path: Path) -> None:
    said: list[str] = []
    metrics = Metrics(tmp_path, said.append)
    metrics.begin(LINES[:2], "a checkpoint")
    (tmp_path / NAME).unlink()
    metrics.add(json.loads(LINES[2]))
    (tmp_path / "folder").mkdir()
    metrics.copy_to(tmp_path / "folder")
    assert read_lines(tmp_path / "folder") == LINES[:3] == (tmp_path / NAME).read_text().splitlines()
    assert "lacked 2 of 3 records" in said[-1]


def test_damaged_lines_are_left_out_and_said(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    (tmp_path / NAME).write_bytes(
        b'{"stage": "eval", "index": 0}\n{"stage"\n[1]\n\xff\n{"stage": "eval", "index": 1}\n{"st'
    )
    said: list[str] = []
    assert read_metrics(tmp_path, said.append) == [{"stage": "eval", "index": 0}, {"stage": "eval", "index": 1}]
    assert said == [f"{tmp_path / NAME}: 4 damaged lines are left out (2, 3, 4, 6)"]


def test_a_checkpoint_without_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_lines(tmp_path)
