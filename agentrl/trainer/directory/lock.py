"""One writer for a run's directory."""

import errno
import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from agentrl.errors import LockedError

NAME = "lock"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class RunLock:
    """Keeps other trainers off a directory for as long as this process lives and holds it.

    The file ``lock`` says who holds it. The lock itself is the kernel's (``flock``), which lets go of it whatever ends
    the process; a file that is left behind locks nothing. On NFS it holds between machines where the mount has locking
    (the default), on Lustre with ``-o flock``; a file system that has none is told by ``is_real``.

    Args:
      directory: is made where it is missing.

    Attributes:
      is_real: False on a file system that knows no locks.

    Raises:
      LockedError: another process holds it; says which, where and since when.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self.is_real = True
        while True:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(self._descriptor, 1000, 0).decode(errors="replace").strip()
                self.release()
                raise LockedError(
                    f"{directory} is being written by {holder or 'another process'}: wait for it or stop it, or choose "
                    "another run.directory"
                ) from None
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                self.is_real = False
            if self._is_there():
                break
            self.release()  # it was moved aside with its directory between the two calls
        said = f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n"
        os.pwrite(self._descriptor, said.encode(), 0)
        os.ftruncate(self._descriptor, len(said.encode()))

    def release(self) -> None:
        """Let others write."""
        os.close(self._descriptor)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False
