"""One run at a time writes an output: a lock file beside it, which is gone when nobody holds it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}  # of filesystems without any


class RunLock:
    """A lock that processes and threads exclude each other by, where the filesystem has locks.

    The file is removed while the lock is still held, and whoever has waited for a removed file looks again:
    released first, it would be somebody else's that is removed.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = -1

    def acquire(self) -> bool:
        """Whether the lock is ours now; False if somebody holds it."""
        while True:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            if not _locked(self._file):
                self._close()
                return False
            if self._is_in_its_place():
                return True
            self._close()

    def release(self) -> None:
        """Removes the file and gives the lock back."""
        if sys.platform == "win32":  # which removes no open file, and no file that somebody else has opened
            self._close()
            try:
                self.path.unlink(missing_ok=True)
            except OSError:
                return
        else:
            self.path.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self._file)
        self._file = -1

    def _is_in_its_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            return False


def _locked(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS
    return True
