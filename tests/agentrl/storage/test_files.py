"""Files and folders appear whole or not at all."""

import os
from pathlib import Path
from typing import Any

import pytest

from agentrl.storage import files
from agentrl.storage.files import append_line, recover, replacing, write_file


def test_a_file(tmp_path: Path) -> None:
    write_file(tmp_path / "name", "old")
    with pytest.raises(KeyError), replacing(tmp_path / "name") as partial:
        partial.write_text("half")
        raise KeyError
    assert (tmp_path / "name").read_text() == "old"
    write_file(tmp_path / "name", b"new")
    assert (tmp_path / "name").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_a_folder(tmp_path: Path) -> None:
    for number in (1, 2):
        with replacing(tmp_path / "name") as partial:
            (partial / "inner").mkdir(parents=True)
            (partial / "inner" / f"{number}.txt").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["name", "inner", "2.txt"]


@pytest.mark.parametrize("step", [1, 2])
def test_a_folder_that_was_being_replaced_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The process ends after the first or after the second of the two renames."""

    def write(content: str) -> None:
        with replacing(tmp_path / "name") as partial:
            partial.mkdir()
            (partial / "content").write_text(content)

    write("old")
    rename, done = os.replace, []

    def replace(source: Any, target: Any) -> None:
        if len(done) == step:
            raise SystemExit
        rename(source, target)
        done.append(source)

    def keep(path: Path) -> None:
        """Nothing is tidied up after the end."""
        if len(done) == step:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(files, "remove", keep)
        with pytest.raises(SystemExit):
            write("new")
    assert recover(tmp_path) == ([tmp_path / "name"] if step == 1 else [])
    assert (tmp_path / "name" / "content").read_text() == ("old" if step == 1 else "new")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_lines(tmp_path: Path) -> None:
    for line in ("one", "zwölf"):
        append_line(tmp_path / "name", line)
    assert (tmp_path / "name").read_text() == "one\nzwölf\n"
