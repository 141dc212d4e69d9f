"""Who runs the server. PostgreSQL refuses to run as root, for good reasons; yet root must be able to use it.

An ordinary user runs it as himself. For root it runs, in this order,

1. as the owner of the folder that it works in, when that is not root (a mounted clone, `sudo` in a home): the files
   then belong to whom the folder belongs;
2. as a number that no account has: nobody else's processes can reach its files or signal it, and nothing is added to
   the system's user list;
3. in a user namespace in which root has another number, where we may not change to another user at all (a container
   whose only user is root).

What `initdb` does is an exception: it insists on a name for its user, so for a nameless number it runs as `nobody`, in
a folder that only our group can enter, and the files change hands afterwards.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from resources.postgres._binaries import Installation

# systemd's list of uid ranges (https://systemd.io/UIDS-GIDS) calls 60578 to 61183 unused: above people's accounts and
# below those that it hands out itself.
_UNUSED = range(60578, 61184)

# Accounts that exist nearly everywhere and may lend their name to `initdb`.
_LENDERS = ("nobody", "postgres", "daemon")

_OVERFLOW = 65534
"""`nobody` on Linux: the number that root takes inside the user namespace, since `initdb` needs one with a name."""


class Switch(Enum):
    """How a child process becomes the account."""

    NONE = "none"
    SETUID = "setuid"
    NAMESPACE = "namespace"


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group, as their numbers are outside of any namespace, and the way to become them."""

    uid: int
    gid: int
    switch: Switch

    def command(self, arguments: list[str | Path]) -> list[str]:
        """The command line that runs `arguments` as this account, with `options`."""
        plain = [str(argument) for argument in arguments]
        if self.switch is Switch.NAMESPACE:
            return ["unshare", "--user", f"--map-user={_OVERFLOW}", f"--map-group={_OVERFLOW}", "--", *plain]
        return plain

    def options(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess`: the user, a clean environment and a folder that everybody can enter.

        The environment is not ours: API keys have no business in the server, and PGDATA or PGPORT would change it.
        """
        options: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
        if self.switch is Switch.NAMESPACE:
            options["env"]["PATH"] = os.environ.get("PATH", os.defpath)
        if self.switch is Switch.SETUID:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def can_enter(self, folder: Path) -> bool:
        """Whether this account exists for us and can pass through all folders on the way into `folder`."""
        return self._succeeds(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder])

    def can_run(self, installation: Installation) -> bool:
        """Whether this account can reach and execute the programs."""
        return self._succeeds([installation.program("postgres"), "--version"])

    def _succeeds(self, arguments: list[str | Path]) -> bool:
        try:
            done = subprocess.run(  # noqa: S603 - fixed programs, no shell syntax from outside
                self.command(arguments), **self.options(), capture_output=True, timeout=30, check=False
            )
        except (OSError, subprocess.SubprocessError):  # SubprocessError: the child could not change its user
            return False
        return done.returncode == 0

    def give(self, path: Path) -> None:
        """Make `path` (not what a link points to) belong to this account, when we are another user and may."""
        if self.switch is Switch.SETUID:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def owner_account(uid: int, gid: int) -> Account:
    """The account that owns files of `uid` and `gid`, as seen from this process."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), Switch.NONE)
    return Account(uid, gid, Switch.SETUID if uid != 0 else Switch.NAMESPACE)


def candidates(folder: Path) -> Iterator[Account]:
    """The accounts that may run a new server for `folder` (which exists), the best first."""
    if os.geteuid() != 0:
        yield Account(os.geteuid(), os.getegid(), Switch.NONE)
        return
    status = folder.stat()
    if status.st_uid != 0:
        yield Account(status.st_uid, status.st_gid, Switch.SETUID)
    yield nameless_account(folder)


def nameless_account(folder: Path) -> Account:
    """A number without an account, the same for the same folder, usually another for another."""
    start = int.from_bytes(hashlib.sha256(os.fsencode(folder)).digest()[:4], "big")
    for step in range(len(_UNUSED)):
        uid = _UNUSED[(start + step) % len(_UNUSED)]
        if not _has_name(uid):
            return Account(uid, uid, Switch.SETUID)
    return Account(_OVERFLOW, _OVERFLOW, Switch.SETUID)


def namespace_account() -> Account:
    """Ourselves, under another number."""
    return Account(os.geteuid(), os.getegid(), Switch.NAMESPACE)


def initdb_accounts(account: Account) -> Iterator[Account]:
    """Who may run `initdb` on behalf of `account`, the best first."""
    if account.switch is Switch.NAMESPACE or _has_name(account.uid):
        yield account
    elif account.switch is Switch.NONE:
        yield namespace_account()
    else:
        for name in _LENDERS:
            try:
                lender = pwd.getpwnam(name)
            except KeyError:
                continue
            if lender.pw_uid != 0:
                yield Account(lender.pw_uid, account.gid, Switch.SETUID)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
