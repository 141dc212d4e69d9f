"""Locks between processes that the kernel frees when a process dies, however it dies.

`flock` belongs to the open file, so three things would keep it alive by mistake, and all three are closed off here: a
program that is executed (the descriptor is close-on-exec), a forked child (it closes its copies at once; closing does
not unlock the parent's), and a lock file that was deleted while somebody waited for it (the file is compared with its
path after every lock).
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from pathlib import Path

from resources.postgres._files import open_private

_POLL = 0.02
_every_lock: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """A shared or exclusive lock on a file, which is made when it is missing. Not for use by two threads at once.

    `owner` is the (uid, gid) of who must be able to lock the file when root has made it.
    """

    def __init__(self, path: Path, *, owner: tuple[int, int] | None = None) -> None:
        self.path = path
        self._owner = owner
        self._fd: int | None = None
        _every_lock.add(self)

    @property
    def held(self) -> bool:
        """Whether this object holds its lock, shared or exclusive. False in a forked child."""
        return self._fd is not None

    def fileno(self) -> int:
        """The locked descriptor. A process that inherits it keeps the lock alive."""
        if self._fd is None:
            raise ValueError(f"{self.path} is not locked")
        return self._fd

    def acquire(self, *, exclusive: bool, timeout: float = 0.0) -> bool:
        """Lock within `timeout` seconds; False when somebody else kept it. A held lock is converted.

        A conversion that fails keeps nothing: the kernel may have given up the old lock before it tried the new one.
        Raises OSError when the file cannot be opened.
        """
        operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
        deadline = time.monotonic() + timeout
        while True:
            if self._fd is None:
                self._fd = self._open()
            try:
                fcntl.flock(self._fd, operation)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self.release()
                    return False
                time.sleep(_POLL)
                continue
            if self._is_current():
                return True
            self.release()

    def release(self) -> None:
        """Give the lock back. Harmless when it is not held."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _open(self) -> int:
        return open_private(self.path, os.O_RDWR, owner=self._owner)

    def _is_current(self) -> bool:
        """Whether the locked file is still the one at the path."""
        if self._fd is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.lstat())
        except FileNotFoundError:
            return False


def _forget_in_child() -> None:
    for lock in list(_every_lock):
        lock.release()


os.register_at_fork(after_in_child=_forget_in_child)
