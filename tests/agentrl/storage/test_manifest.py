"""Checksums: what is damaged in any way is found, what is foreign is left alone."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrl.errors import DataError
from agentrl.storage.manifest import MANIFEST, check_manifest, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "part").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "part" / "name with blanks.json").write_text("{}")
    (tmp_path / "empty").touch()
    write_manifest(tmp_path)
    return tmp_path


def test_a_folder_as_it_was_written(folder: Path) -> None:
    check_manifest(folder, required=True)
    text = (folder / MANIFEST).read_text()
    assert text.startswith("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty\n"), (
        "SHA-256 of nothing"
    )
    write_manifest(folder)
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, "empty", "part", "weights.bin"]
    (folder / "notes.txt").write_text("a file that came later")
    check_manifest(folder)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_the_form_is_that_of_sha256sum(folder: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", MANIFEST], cwd=folder, check=True)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_is_found(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["weights.bin", "part/name with blanks.json", MANIFEST]))
    content = bytearray((folder / name).read_bytes())
    before, place = bytes(content), data.draw(st.integers(0, len(content) * 8 - 1))
    content[place // 8] ^= 1 << place % 8
    (folder / name).write_bytes(content)
    try:
        with pytest.raises(DataError) as caught:
            check_manifest(folder)
        assert f"remove {folder / MANIFEST}" in str(caught.value) and "\n" not in str(caught.value)
    finally:
        (folder / name).write_bytes(before)


def test_damage_is_named(folder: Path) -> None:
    (folder / "empty").unlink()
    with pytest.raises(DataError, match=r"is incomplete: empty is missing; restore it, or"):
        check_manifest(folder)
    (folder / "empty").write_text("more")
    with pytest.raises(DataError, match=r"empty is not as it was written: its checksum differs"):
        check_manifest(folder)
    for content in (b"", b"\n", b"\xff", b"e3b0  empty\n"):
        (folder / MANIFEST).write_bytes(content)
        with pytest.raises(DataError, match=MANIFEST):
            check_manifest(folder)
    (folder / MANIFEST).unlink()
    check_manifest(folder)
    with pytest.raises(DataError, match=f"holds no {MANIFEST}"):
        check_manifest(folder, required=True)
