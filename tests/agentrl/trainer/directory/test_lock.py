"""One writer for a directory."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentrl.errors import LockedError
from agentrl.trainer.directory.lock import RunLock


def test_the_second_is_refused_with_who_holds_it(tmp_path: Path) -> None:
    first = RunLock(tmp_path / "run")
    with pytest.raises(LockedError, match=rf"run is being written by process {os.getpid()} on .* since 20.* UTC: wait"):
        RunLock(tmp_path / "run")
    first.release()
    RunLock(tmp_path / "run").release()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from agentrl.trainer.directory.lock import RunLock
lock = RunLock(Path({str(tmp_path)!r}))
print("held", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {process.pid} on"):
            RunLock(tmp_path)
        process.send_signal(signal.SIGKILL)
    RunLock(tmp_path).release()


def test_a_directory_that_is_moved_takes_its_lock_along(tmp_path: Path) -> None:
    old = RunLock(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "aside")
    new = RunLock(tmp_path / "run")
    with pytest.raises(LockedError):
        RunLock(tmp_path / "aside")
    old.release()
    new.release()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = RunLock(tmp_path)
    assert not lock.is_real
    lock.release()
