"""Files that we make in folders which may belong to somebody else.

Root uses the server of an ordinary user's folder too. Whoever owns a folder can place links in it; none of them may
make root write, empty or give away a file elsewhere.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def open_private(path: Path, flags: int, *, owner: tuple[int, int] | None) -> int:
    """Open a file, made with mode 0600 when it is missing, and never through a symbolic link.

    Root gives a file of its own to `owner` (uid, gid), so that this user can use it later; a hard link is not such a
    file, for it may be to one of the system's.
    """
    fd = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    status = os.fstat(fd)
    if owner is not None and os.geteuid() == 0 and status.st_uid == 0 and status.st_nlink == 1:
        os.fchown(fd, *owner)
    return fd


def replace_private(path: Path, text: str, *, owner: tuple[int, int] | None) -> None:
    """Write a file of mode 0600 in one step, in the place of whatever is there. Root gives it to `owner`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        if owner is not None and os.geteuid() == 0:
            os.fchown(fd, *owner)
        file.write(text)
    draft.replace(path)
