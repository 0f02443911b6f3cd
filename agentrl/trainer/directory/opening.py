"""A run's directory while a trainer writes in it, and what is said when it could not go on."""

import errno
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from agentrl.errors import (
    AgentrlError,
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    LockedError,
    ModelError,
    StoppedError,
    TaskNotFoundError,
)
from agentrl.storage.files import recover, write_file
from agentrl.trainer.directory.checkpoint import latest_checkpoint, set_aside
from agentrl.trainer.directory.lock import NAME as LOCK
from agentrl.trainer.directory.lock import RunLock
from agentrl.trainer.directory.metrics import NAME as METRICS
from agentrl.update import distributed

_BEFORE_TRAINING = (CheckpointError, ConfigError, DataError, LockedError, ModelError, TaskNotFoundError)


@contextmanager
def opened(directory: Path, *, checkpoint: Path | None, fresh: bool) -> Iterator[Path | None]:
    """Hold a run's directory, in process 0; every process must call it.

    ``checkpoint`` is what the run goes on from: newer ones are set aside. Without one the directory must hold no run;
    with ``fresh`` it is moved aside with what it holds.

    Yields:
      The checkpoint, the same in every process.

    Raises:
      LockedError: another trainer holds it.
      ConfigError: it holds a run.
    """
    lock = None
    try:
        if distributed.rank() == 0:
            lock = RunLock(directory)
            if checkpoint is None and holds_run(directory):
                if not fresh:
                    raise already_there(directory)
                _move_aside(directory)
                lock.release()
                lock = RunLock(directory)
            if not lock.is_real:
                print(f"{directory} is on a file system without locks: see that no other trainer writes there")
            if checkpoint is not None:
                set_aside(checkpoint, print)
        yield distributed.gather(checkpoint)[0]
    finally:
        if lock is not None:
            lock.release()


def mend(directory: Path, say: Callable[[str], None] = print) -> None:
    """Put in order what an earlier trainer that was ended left half done in a run's directory.

    Raises:
      LockedError: it was not ended.
    """
    if not os.path.exists(directory / LOCK):
        return
    lock = RunLock(directory)
    try:
        for folder in (directory, directory / "checkpoints"):
            for path in recover(folder):
                say(f"{path} is put back: a process ended while it was replaced")
    finally:
        lock.release()


def holds_run(directory: Path) -> bool:
    """Return whether a run has begun here."""
    return latest_checkpoint(directory / "checkpoints") is not None or os.path.exists(directory / METRICS)


def already_there(directory: Path) -> ConfigError:
    """Return what is raised where a run would overwrite another."""
    return ConfigError(
        f"{directory} holds a run already: --resume continues it, --fresh moves it aside, "
        "--set run.directory=... starts another"
    )


def explained(error: Exception, directory: Path) -> AgentrlError:
    """Return what a run that was ended by ``error`` says, in one line: what happened, what is left, how to go on.

    The traceback of what was not raised on purpose goes to ``error.txt`` in the run's directory.
    """
    if isinstance(error, _BEFORE_TRAINING):
        return error
    newest = latest_checkpoint(directory / "checkpoints")
    left = f"the last good state is {newest}: --resume goes on from it"
    if newest is None:
        left = f"nothing was saved before; what it wrote is in {directory}: --fresh starts anew"
    if isinstance(error, DivergedError):
        instead = f", or start another run from it with --set policy.path={newest} and other settings" if newest else ""
        return DivergedError(f"{error}; nothing of it was saved; {left}{instead}")
    if isinstance(error, AgentrlError):
        return type(error)(f"{error}; {left}")
    reason = next(reversed([line.strip() for line in str(error).splitlines() if line.strip()]), "")
    return StoppedError(f"{type(error).__name__}: {reason}; {_remedy(error)}{left}{_kept_traceback(error, directory)}")


def _remedy(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on the disk; "
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "a smaller update.token_budget or rollout.concurrency needs less memory, and may be changed; "
    return ""


def _kept_traceback(error: Exception, directory: Path) -> str:
    path = directory / "error.txt"
    try:
        write_file(path, "".join(traceback.format_exception(error)))
    except OSError:  # the disk may be what is wrong
        return ""
    return f" ({path} has the traceback)"


def _move_aside(directory: Path) -> None:
    number = 1
    while (aside := directory.with_name(f"{directory.name}.old-{number}")).exists():
        number += 1
    os.replace(directory, aside)
    print(f"moved the run that was in {directory} to {aside}")
