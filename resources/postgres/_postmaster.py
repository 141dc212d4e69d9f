"""The server's processes: are any alive, start them, stop them.

Alive is what the kernel says, not what a file says. Every server process inherits a descriptor with a shared lock on
`server.lock`; when the lock can be taken, none is left, whatever `postmaster.pid` claims: its process may be a zombie
that nobody reaps (a container whose first process does not), or its number another program's by now.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from resources.postgres._accounts import Account
from resources.postgres._binaries import Installation
from resources.postgres._errors import EmbeddedServerBusyError, EmbeddedServerError
from resources.postgres._files import open_private, replace_private
from resources.postgres._home import Home, current_socket_folder, remove_sockets
from resources.postgres._locks import FileLock

if TYPE_CHECKING:
    import psutil

log = logging.getLogger(__name__)

DEFAULT_PORT = 5432
"""Names the socket's file; without TCP nothing listens on it."""

_POLL = 0.01
_LARGEST_LOG = 5 * 2**20
_KEPT_OF_LOG = 2**20

# A fast stop writes a checkpoint, which takes long on a slow disk; then an immediate one, which only makes the next
# start recover; at last the kernel's, for a process that cannot even do that.
_STOPPING = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))

# Backends leave by themselves within milliseconds of their postmaster's death, unless they are stuck. Nothing of theirs
# is worth waiting for: it is recovered from the log of committed work.
_ORPHANS = ((None, 2.0), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 10.0))


class _Detached(subprocess.Popen[bytes]):
    """A child that is meant to outlive us: no warning about that when the interpreter ends."""

    def __del__(self) -> None:
        """Leave the process alone."""


_started_here: dict[int, _Detached] = {}


@dataclass(frozen=True, slots=True)
class PidFile:
    """What a postmaster wrote about itself. A claim, not a proof."""

    pid: int
    port: int | None
    listens_on_tcp: bool
    ready: bool


def read_pid_file(home: Home) -> PidFile | None:
    """The contents of `postmaster.pid`; None when it is missing or empty."""
    try:
        lines = (home.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].strip().lstrip("-").isdecimal():
        return None
    port = int(lines[3]) if len(lines) > 3 and lines[3].strip().isdecimal() else None
    # The lines are those of miscadmin.h: pid, data directory, start time, port, socket folder, address, shm key, state.
    listens = len(lines) > 5 and bool(lines[5].strip())
    return PidFile(abs(int(lines[0])), port, listens, len(lines) > 7 and lines[7].strip() == "ready")


def port_of(home: Home) -> int:
    """The port that the server said it uses, or the one that it would use."""
    claim = read_pid_file(home)
    return claim.port if claim is not None and claim.port is not None else DEFAULT_PORT


def listens_on(home: Home, port: int) -> bool:
    """Whether the server listens on this TCP port, too."""
    claim = read_pid_file(home)
    return claim is not None and claim.listens_on_tcp and claim.port == port


def live_pid(home: Home) -> int | None:
    """The postmaster's process id, when it is one of a live `postgres` that works in our data directory."""
    claim = read_pid_file(home)
    if claim is None:
        return None
    process = _process(claim.pid)
    return claim.pid if process is not None and _works_in(process, home.data) else None


def alive(home: Home) -> bool:
    """Whether any process of the server lives. Zombies and other programs with its number do not count.

    Only for who holds the start lock: the look at the lock is a short exclusive lock, which another look mistakes for
    a server.
    """
    reap()
    lock = FileLock(home.server_lock)
    try:
        if not lock.acquire(exclusive=True):
            return True
    finally:
        lock.release()
    # The lock is not held by a server that somebody started by hand with pg_ctl.
    return live_pid(home) is not None


def is_cut_off(home: Home) -> bool:
    """Whether the server lives and is ready, but its socket was removed from outside: nobody will ever reach it."""
    claim = read_pid_file(home)
    if claim is None or not claim.ready or live_pid(home) is None:
        return False
    return not (current_socket_folder(home) / f".s.PGSQL.{port_of(home)}").exists()


def wait_until_gone(home: Home, patience: float) -> bool:
    """Wait at most `patience` seconds until no process of the server lives; False when one still does."""
    deadline = time.monotonic() + patience
    while alive(home):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def launch(home: Home, account: Account, installation: Installation, socket: Path, tcp_port: int | None) -> int:
    """Start a postmaster and return its process id. The caller knows that none is alive, and waits for answers."""
    (home.data / "postmaster.pid").unlink(missing_ok=True)
    remove_sockets(home)
    trim_log(home)
    lock = FileLock(home.server_lock, owner=home.owner())
    if not lock.acquire(exclusive=False, timeout=1.0):
        raise EmbeddedServerBusyError(f"{home.server_lock} is locked by another process. Try again.")
    listen = ("-h", "127.0.0.1" if tcp_port else "", "-p", str(tcp_port or DEFAULT_PORT))
    try:
        with _open_log(home) as output:
            process = _Detached(
                account.command([installation.program("postgres"), "-D", home.data, "-k", f'"{socket}"', *listen]),
                **account.options(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock.fileno(),),
                # Ctrl-C in a terminal signals the whole group, and SIGINT is a stop to PostgreSQL.
                start_new_session=True,
            )
    except subprocess.SubprocessError as error:  # the child could not change its user
        raise EmbeddedServerError(
            f"PostgreSQL could not be started as user {account.uid}: {error}. "
            "Run as an ordinary user, or set DATABASE_URL to a PostgreSQL server."
        ) from error
    finally:
        lock.release()
    _started_here[process.pid] = process
    return process.pid


def stop(home: Home) -> None:
    """Stop the server: fast, then with force. Returns when no process of it is left.

    Raises `EmbeddedServerError` when something of it survives, as when it runs in another container.
    """
    for number, patience in _STOPPING:
        pid = live_pid(home)
        if pid is None:
            break
        log.info("stopping PostgreSQL (process %d) with %s", pid, number.name)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        except PermissionError as error:
            raise EmbeddedServerError(
                f"PostgreSQL (process {pid}) belongs to another user. Stop it as that user: kill -INT {pid}"
            ) from error
        if wait_until_gone(home, patience):
            break
    clear_orphans(home)
    remove_sockets(home)


def clear_orphans(home: Home) -> None:
    """Wait for, and at last kill, what is left of a server whose postmaster is dead.

    Raises `EmbeddedServerError` when something keeps living: two servers on one data directory would ruin it.
    """
    import psutil

    for number, patience in _ORPHANS:
        if number is not None:
            for process in _processes_in(home.data):
                with suppress(psutil.Error):  # gone in the meantime, or not ours: the wait below tells
                    process.send_signal(number)
        if wait_until_gone(home, patience):
            return
    raise EmbeddedServerError(
        f"a PostgreSQL process keeps using {home.data}, and it is not one that can be stopped from here. "
        "Stop the container or session that runs it."
    )


def reap() -> None:
    """Let go of servers that we started and that have ended since, lest they stay as zombies."""
    for pid, process in list(_started_here.items()):
        if process.poll() is not None:
            _started_here.pop(pid, None)


def trim_log(home: Home) -> None:
    """Keep the end of a log that has grown, as `server.log.1`, and empty it. Safe while the server appends to it."""
    try:
        with os.fdopen(os.open(home.log, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size <= _LARGEST_LOG:
                return
            file.seek(size - _KEPT_OF_LOG)
            kept = home.log.with_name(f"{home.log.name}.1")
            replace_private(kept, file.read().decode(errors="replace"), owner=home.owner())
            file.truncate(0)
    except FileNotFoundError:
        return


def _open_log(home: Home) -> BinaryIO:
    """The server's log, to append to."""
    return os.fdopen(open_private(home.log, os.O_WRONLY | os.O_APPEND, owner=home.owner()), "ab")


def _process(pid: int) -> psutil.Process | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD} else process
    except psutil.Error:
        return None


def _works_in(process: psutil.Process, data: Path) -> bool:
    """Whether this is a `postgres` whose working folder is the data directory, as it is for each of its processes."""
    import psutil

    try:
        return process.name().startswith("postgres") and Path(process.cwd()).samefile(data)
    except (psutil.Error, OSError):
        return False


def _processes_in(data: Path) -> Iterator[psutil.Process]:
    import psutil

    for process in psutil.process_iter(["status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and _works_in(process, data):
            yield process
