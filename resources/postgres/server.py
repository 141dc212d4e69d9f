"""The embedded PostgreSQL: started by the first process that needs it, stopped by the last one that leaves.

Used where `DATABASE_URL` is not set: development, tests, a first look. No system package, no container, no daemon.

Each process that uses the server is a *holder*: it keeps a shared lock on a file. The kernel frees the lock when the
process ends in whatever way, so a killed process neither keeps the server alive for ever nor has to be found out about.
Starting and stopping are serialised by an exclusive lock. Whether the server is up is only ever decided by asking it
`SELECT 1`; whether it is dead, by a lock that its own processes hold (`_postmaster.py`). Nothing trusts a process id.

Who has only the URL of a database is not a holder: such clients lose their connections when the last holder leaves.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from resources.postgres import _cluster, _home, _postmaster
from resources.postgres._cluster import ROLE, SUPERUSER
from resources.postgres._errors import EmbeddedServerBusyError, EmbeddedServerError, log_tail
from resources.postgres._home import Home
from resources.postgres._locks import FileLock

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["EmbeddedServer", "EmbeddedServerBusyError", "EmbeddedServerError", "ServerStatus"]

log = logging.getLogger(__name__)

_GATE_TIMEOUT = 180.0
"""Seconds to wait for another process that is starting or stopping the server. A first start takes a second or a few,
a stop at most 80 s (`_postmaster`)."""

_START_TIMEOUT = 60.0
_RECOVERY_TIMEOUT = 900.0
"""Seconds that a server may take to answer; the second while it says that it is starting up or recovering."""

_INITDB_TIMEOUT = 120.0
"""Seconds that an `initdb` may go on whose parent was killed. Its files can be removed when it has ended."""

_ORPHAN_TIMEOUT = 2.0
"""Seconds that processes without a postmaster may take to leave by themselves."""

_POLL = 0.02

_servers: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What there is to know about the server without using it."""

    running: bool
    """It answered a query."""
    pid: int | None = None
    version: str | None = None
    """Of the running server (`18.4`), otherwise of the data directory (`18`); None when there is none yet."""
    socket: Path | None = None
    """The folder that the socket is in."""
    port: int | None = None
    data_directory: Path | None = None


class EmbeddedServer:
    """A PostgreSQL server whose files lie in `directory` (or where root's are, see `_home.py`).

    `tcp_port` makes it listen on 127.0.0.1 too, for tools that cannot use a Unix socket; see `tcp_url`. Threads may
    share one object. A forked child does not hold what its parent holds; it may call `start` itself.
    """

    def __init__(self, directory: Path, *, tcp_port: int | None = None) -> None:
        self.directory = Path(os.path.realpath(directory))
        self._tcp_port = tcp_port
        self._mutex = threading.RLock()
        self._hold: FileLock | None = None
        self._home: Home | None = None
        self._socket: Path | None = None
        self._port = _postmaster.DEFAULT_PORT
        self._password: str | None = None
        _servers.add(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"EmbeddedServer({str(self.directory)!r})"

    def start(self) -> None:
        """Make the server run and hold it. Harmless when it runs or is held already.

        Raises `EmbeddedServerError` when it cannot run here, `EmbeddedServerBusyError` when it may work later.
        """
        with self._mutex, _readable_errors(self.directory):
            _home.make_folder(self.directory)
            with self._gate():
                self._ensure_up()
                self._hold_on()

    def release(self) -> None:
        """Let go of the server; the last holder stops it. Harmless when it is not held. Runs at exit by itself."""
        with self._mutex:
            hold = self._hold
            if hold is None or not hold.held:
                return
            if self._home is not None and not self._home.root.is_dir():
                self._drop_hold()
                log.warning(
                    "%s was deleted while in use; its PostgreSQL notices and ends within a minute", self.directory
                )
                return
            try:
                with _readable_errors(self.directory), self._gate():
                    if hold.acquire(exclusive=True):
                        self._stop()
            except EmbeddedServerBusyError as error:
                # Somebody else is starting or stopping it at this moment: a holder, who will stop it in his turn.
                log.warning("left PostgreSQL running: %s", error)
            except EmbeddedServerError as error:
                # Who leaves has done his work; that it cannot be stopped from here is not his failure.
                log.error("PostgreSQL was not stopped: %s", error)  # noqa: TRY400 - a sentence, no traceback
            finally:
                self._drop_hold()

    def stop(self, *, force: bool = False) -> None:
        """Stop the server and let go of it. With `force` also while other processes hold it.

        Raises `EmbeddedServerBusyError` when others hold it and `force` is not set.
        """
        with self._mutex, _readable_errors(self.directory), self._gate():
            self._home = self._current_home()
            if self._home is None:
                self._drop_hold()
                return
            hold = self._hold or FileLock(self._home.holders_lock, owner=self._home.owner())
            if not hold.acquire(exclusive=True) and not force:
                if self._hold is not None:  # the attempt cost us our own
                    hold.acquire(exclusive=False, timeout=1.0)
                raise EmbeddedServerBusyError(
                    f"other processes use the PostgreSQL of {self.directory}. Stop them first, or stop it by force."
                )
            self._stop()
            hold.release()
            self._drop_hold()

    def destroy(self) -> None:
        """Stop the server, whoever uses it, and delete its data and all that was made for it. For tests."""
        with self._mutex, _readable_errors(self.directory):
            self.stop(force=True)
            with self._gate():
                _home.delete(self.directory, self._home)
            self._home = self._socket = self._password = None

    def url(self, database: str) -> str:
        """The libpq URL of a database, through the Unix socket. It holds no secret."""
        if self._socket is None:
            raise EmbeddedServerError("the embedded PostgreSQL is not started: call start() first")
        # User, host and port are written out: PGUSER, PGHOST and PGPORT of somebody's shell change nothing.
        name, folder = quote(database, safe=""), quote(str(self._socket), safe="/")
        return f"postgresql://{ROLE}@/{name}?host={folder}&port={self._port}"

    def tcp_url(self, database: str) -> str:
        """The libpq URL of a database through 127.0.0.1. It holds the password. Only with `tcp_port`."""
        if self._password is None:
            raise EmbeddedServerError("the embedded PostgreSQL does not listen on TCP: give tcp_port and start it")
        return f"postgresql://{ROLE}:{quote(self._password, safe='')}@127.0.0.1:{self._port}/{quote(database, safe='')}"

    def ensure_database(self, name: str) -> None:
        """Create a database when it is missing. Several processes may ask at once. The server is started."""
        from psycopg import sql

        if self._home is None or self._socket is None:
            raise EmbeddedServerError("the embedded PostgreSQL is not started: call start() first")
        with _superuser(self._home) as connection:
            # CREATE DATABASE has no IF NOT EXISTS, and two at once would both try. The key is any fixed number.
            connection.execute("SELECT pg_advisory_lock(5400712001)")
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                create = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(ROLE))
                connection.execute(create)

    def status(self) -> ServerStatus:
        """Look at the server without starting or holding it."""
        import psycopg

        home = _home.existing_home(self.directory)
        if home is None:
            return ServerStatus(running=False)
        try:
            with _superuser(home) as connection:
                version = connection.execute("SELECT current_setting('server_version')").fetchone()
        except psycopg.OperationalError:
            return ServerStatus(running=False, version=str(_cluster.data_version(home)), data_directory=home.data)
        return ServerStatus(
            running=True,
            pid=_postmaster.live_pid(home),
            version=version[0] if version else None,
            socket=_home.current_socket_folder(home),
            port=_postmaster.port_of(home),
            data_directory=home.data,
        )

    # Everything below is called under the mutex; what starts or stops the server also under the gate.

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Only one process at a time starts or stops the server, and nobody becomes a holder meanwhile."""
        asked = Home(self.directory)
        with ExitStack() as stack:
            if self.directory.is_dir():
                _lock_gate(asked, stack)
            home = self._current_home()
            if home is not None and home != asked:
                _lock_gate(home, stack)  # copies of the asked folder lead to the same place; there they meet
            yield

    def _current_home(self) -> Home | None:
        """Where the cluster is; if the folder that leads there was deleted, where it was when we used it."""
        home = _home.existing_home(self.directory)
        if home is None and self._home is not None and self._home.initialised:
            return self._home
        return home

    def _ensure_up(self) -> None:
        """Join a live server or start one, and leave when it has answered."""
        home = _home.existing_home(self.directory)
        if home is None:
            home, account, installation = _home.settle(self.directory)
            if not _postmaster.wait_until_gone(home, _INITDB_TIMEOUT):
                raise EmbeddedServerBusyError(
                    f"an initdb whose parent was killed still works in {home.root}. Wait for it to end, or end it."
                )
            _cluster.create(home, account, installation)
        self._home = home
        launched = not _postmaster.alive(home)
        try:
            self._wait_until_up(home)
            self._adopt(home)
        except EmbeddedServerBusyError:
            raise  # it is recovering: whoever tries next finds it further on
        except BaseException:  # Ctrl-C too: nobody holds what we have begun to start
            if launched:
                self._stop()
            raise

    def _adopt(self, home: Home) -> None:
        """Take down the address of the live server, and see to the role and password."""
        self._socket = _home.current_socket_folder(home)
        self._port = _postmaster.port_of(home)
        with _superuser(home) as connection:
            _cluster.ensure_role(connection)
            if self._tcp_port is not None:
                if not _postmaster.listens_on(home, self._tcp_port):
                    raise EmbeddedServerError(
                        f"the PostgreSQL of {self.directory} is already running without TCP port {self._tcp_port}. "
                        "End the processes that use it, then start with the port first."
                    )
                self._password = _cluster.ensure_password(connection, home)
        _postmaster.trim_log(home)

    def _launch(self, home: Home) -> None:
        account = home.account()
        installation = _home.installation_for(account, _cluster.data_version(home))
        _cluster.configure(home, account)
        socket = _home.socket_folder(home, account)
        pid = _postmaster.launch(home, account, installation, socket, self._tcp_port)
        log.info("started PostgreSQL %s (process %d) in %s", installation.version, pid, home.root)

    def _wait_until_up(self, home: Home) -> None:
        """Start the server unless one lives, and ask until it answers."""
        import psycopg

        began = time.monotonic()
        log_start = home.log.stat().st_size if home.log.exists() else 0
        launched = False
        while True:
            if not _postmaster.alive(home):
                if launched:
                    raise EmbeddedServerError(
                        f"PostgreSQL in {home.root} ended while it was starting.{log_tail(home.log, start=log_start)}"
                    )
                self._launch(home)
                launched, began = True, time.monotonic()
            try:
                with _superuser(home) as connection:
                    connection.execute("SELECT 1")
            except psycopg.OperationalError as error:
                said = str(error)
            else:
                return
            # "the database system is starting up", "... is in recovery mode", "... is shutting down"
            speaks = "the database system is" in said
            waited = time.monotonic() - began
            if waited > (_RECOVERY_TIMEOUT if speaks else _START_TIMEOUT):
                raise EmbeddedServerBusyError(
                    f"PostgreSQL in {home.root} runs but did not answer for {waited:.0f} s: {said}"
                    f"{log_tail(home.log, start=log_start)}"
                )
            if _postmaster.is_cut_off(home):
                log.warning("the socket of the PostgreSQL in %s was deleted; starting it again", home.root)
                _postmaster.stop(home)
                continue
            # What we have just launched has no pid file for a moment either, and is no orphan.
            if not (launched or speaks) and waited > _ORPHAN_TIMEOUT and _postmaster.live_pid(home) is None:
                _postmaster.clear_orphans(home)
            time.sleep(_POLL)

    def _hold_on(self) -> None:
        if self._home is None or (self._hold is not None and self._hold.held):
            return
        hold = FileLock(self._home.holders_lock, owner=self._home.owner())
        # Only who has passed the gate locks this file exclusively, and that is us.
        if not hold.acquire(exclusive=False, timeout=1.0):
            raise EmbeddedServerBusyError(
                f"{hold.path} is locked by another program. Find and end it: fuser {hold.path}"
            )
        self._hold = hold
        atexit.register(self.release)

    def _drop_hold(self) -> None:
        if self._hold is not None:
            self._hold.release()
            self._hold = None
            atexit.unregister(self.release)

    def _stop(self) -> None:
        if self._home is not None:
            _postmaster.stop(self._home)
            _postmaster.trim_log(self._home)

    def _forget(self) -> None:
        """In a forked child: the parent's hold is not ours, and a thread of the parent may have had the mutex."""
        self._mutex = threading.RLock()
        self._hold = None


def _forget_in_child() -> None:
    for server in list(_servers):
        server._forget()


os.register_at_fork(after_in_child=_forget_in_child)


def _lock_gate(home: Home, stack: ExitStack) -> None:
    gate = FileLock(home.start_lock, owner=home.owner())
    if not gate.acquire(exclusive=True, timeout=_GATE_TIMEOUT):
        raise EmbeddedServerBusyError(
            f"another process has been starting or stopping PostgreSQL for {_GATE_TIMEOUT:.0f} s. Look for a process "
            f"that hangs (fuser {home.start_lock}), then try again."
        )
    stack.callback(gate.release)


@contextmanager
def _superuser(home: Home) -> Iterator[Connection[Any]]:
    """A connection for the manager itself. Raises `psycopg.OperationalError` when nobody answers."""
    import psycopg

    connection = psycopg.connect(
        host=str(_home.current_socket_folder(home)),
        port=_postmaster.port_of(home),
        user=SUPERUSER,
        dbname="postgres",
        autocommit=True,
        connect_timeout=5,
        application_name="ingestion/server-manager",
        options="",  # not PGOPTIONS of somebody's shell
    )
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _readable_errors(directory: Path) -> Iterator[None]:
    """Trouble with the file system as an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"the embedded PostgreSQL cannot use {directory}: {error}. Make the folder writable, with space left, or "
            "set INGESTION_HOME to another folder, or DATABASE_URL to a PostgreSQL server."
        ) from error
