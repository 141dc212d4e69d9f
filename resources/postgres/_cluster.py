"""Making a cluster and telling the server how to run: `initdb`, `postgresql.conf`, `pg_hba.conf`, roles."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.postgres import _accounts
from resources.postgres._accounts import Account, Switch
from resources.postgres._binaries import Installation
from resources.postgres._errors import EmbeddedServerBusyError, EmbeddedServerError
from resources.postgres._files import replace_private
from resources.postgres._home import DRAFT_PREFIX, Home
from resources.postgres._locks import FileLock

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger(__name__)

SUPERUSER = "postgres"
"""Used by the manager alone."""

ROLE = "ingestion"
"""Who the platform connects as. Not a superuser: an injected statement reads no files and starts no programs."""

# PostgreSQL's built-in locale provider (17 and newer) sorts and folds by code point on every machine; with the C
# library's locales an upgrade of the operating system can change the order under an index.
_BUILTIN_LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_BUILTIN_LOCALE_SINCE = 17

_SETTINGS = """\
# Written by the embedded server manager at every start; changes here are lost.
# Settings of your own belong in local.conf in this folder, which is read last.

# Beside webserver, daemon and runs on a laptop; 128 MB holds the working set of some 100,000 events.
shared_buffers = 128MB
# Dagster opens a connection a query in every process: measured 6 at once for a quiet instance, times runs in flight.
max_connections = 100
# Dropping or migrating whole schemas locks every table, index and TOAST table of theirs in one transaction.
max_locks_per_transaction = 256

# Data survives a power cut. These are the defaults, written out so that nobody wonders.
fsync = on
synchronous_commit = on
full_page_writes = on
# The same WAL as on a production server, so that what is measured here holds there; but nobody replicates from here.
wal_level = replica
max_wal_senders = 0
# Bounds what WAL takes on a small disk, and how long recovery after a crash lasts.
max_wal_size = 1GB
min_wal_size = 80MB

# Parallel workers pass data through /dev/shm, which is 64 MB in a container; two cores gain nothing from them.
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
# Compiling a plan costs more than our queries take.
jit = off
# A worker that was killed stops waiting for locks and computing within seconds, not when its query ends.
client_connection_check_interval = 5s

# Only the owner of the socket's folder connects without a password (pg_hba.conf).
unix_socket_permissions = 0700
password_encryption = scram-sha-256

# The same messages and times everywhere: the manager reads some of them.
lc_messages = 'C'
timezone = 'UTC'
log_timezone = 'UTC'
# To server.log, which the manager bounds. Clients get their errors themselves; the log does not repeat the statements
# and values of failed ones, which may be personal data and come by the thousand.
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] %q%a '
log_error_verbosity = terse
log_min_error_statement = panic
log_checkpoints = off

include_if_exists = 'local.conf'
"""

_ACCESS = f"""\
# Written by the embedded server manager at every start; changes here are lost.
# The socket lies in a folder of mode 0700: who reaches it is the server's own user or root, who need no password to
# read the data directory either. TCP, open to every user of the machine, is for one role and asks for a password.
local  all  all                         trust
host   all  {ROLE}  127.0.0.1/32     scram-sha-256
"""


def create(home: Home, account: Account, installation: Installation) -> None:
    """Run `initdb` beside and rename, so that an interrupted one leaves no half cluster.

    Raises `EmbeddedServerError` with the output of `initdb` when it fails.
    """
    for leftover in home.root.glob(f"{DRAFT_PREFIX}*"):
        shutil.rmtree(leftover)  # of a process that was killed in the middle; the caller holds the start lock
    if home.data.exists():
        if any(home.data.iterdir()):
            raise EmbeddedServerError(
                f"{home.data} exists and is no PostgreSQL data directory. Move it away, or set INGESTION_HOME to "
                "another folder."
            )
        home.data.rmdir()
    helper = next((h for h in _accounts.initdb_accounts(account) if h.can_enter(home.root)), None)
    if helper is None:
        raise EmbeddedServerError(
            f"PostgreSQL's initdb needs a user with a name, and user {account.uid} has none on this machine. Add one "
            "to /etc/passwd, or set DATABASE_URL to a PostgreSQL server."
        )
    draft = home.root / f"{DRAFT_PREFIX}{secrets.token_hex(4)}"
    draft.mkdir(mode=0o700)
    data = draft / "data"
    data.mkdir(mode=0o700)
    helper.give(data)
    if account.switch is Switch.SETUID:
        os.chown(draft, 0, account.gid)
        draft.chmod(0o710)  # initdb's user may be `nobody`; only with our group does it come in here
    locale = _BUILTIN_LOCALE if installation.major >= _BUILTIN_LOCALE_SINCE else ()
    arguments: list[str | Path] = [
        *(installation.program("initdb"), "--pgdata", data, "--username", SUPERUSER, "--auth", "trust"),
        *("--encoding", "UTF8", "--locale", "C", *locale, "--data-checksums", "--no-instructions"),
    ]
    lock = FileLock(home.server_lock, owner=home.owner())
    if not lock.acquire(exclusive=False, timeout=1.0):
        raise EmbeddedServerBusyError(f"{home.server_lock} is locked by another process. Try again.")
    try:
        done = subprocess.run(  # noqa: S603 - a program of an installed wheel, no shell
            helper.command(arguments),
            **helper.options(),
            # It goes on when we are killed; while it does, the lock tells the next one not to touch its files.
            pass_fds=(lock.fileno(),),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    finally:
        lock.release()
    if done.returncode != 0:
        shutil.rmtree(draft)
        output = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise EmbeddedServerError(f"initdb could not make a database in {home.root}:\n  {output}")
    if helper.uid != account.uid:
        for path in (data, *data.rglob("*")):
            account.give(path)
    data.rename(home.data)
    draft.rmdir()
    log.info("made a PostgreSQL %s data directory in %s", installation.version, home.data)


def data_version(home: Home) -> int:
    """The major version that made the data directory."""
    text = (home.data / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    if not text.isdecimal():
        raise EmbeddedServerError(
            f"{home.data / 'PG_VERSION'} is damaged. Restore the data directory from a backup, or remove it "
            "to begin anew."
        )
    return int(text)


def configure(home: Home, account: Account) -> None:
    """Write the server's settings. At every start, so that a newer version of the platform brings its own along."""
    owner = (account.uid, account.gid)
    replace_private(home.data / "postgresql.conf", _SETTINGS, owner=owner)
    replace_private(home.data / "pg_hba.conf", _ACCESS, owner=owner)
    if not (home.data / "local.conf").exists():
        own = "# Settings of your own; they win over postgresql.conf.\n"
        replace_private(home.data / "local.conf", own, owner=owner)


def ensure_role(connection: Connection[Any]) -> None:
    """Make the platform's role when it is missing. `connection` is the superuser's, with autocommit."""
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
        with connection.transaction():
            connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB")
            # What benchmarks, health checks and tests of broken connections need, and no more.
            connection.execute(f"GRANT pg_monitor, pg_checkpoint, pg_signal_backend TO {ROLE}")


def ensure_password(connection: Connection[Any], home: Home) -> str:
    """The role's password for TCP, made and set when it is missing. Kept in a file of mode 0600."""
    from psycopg import sql

    if home.password.exists():
        password = home.password.read_text(encoding="ascii").strip()
    else:
        password = secrets.token_urlsafe(32)
        replace_private(home.password, f"{password}\n", owner=home.owner())
    # The server gets the SCRAM verifier: a password in a statement could reach a log.
    verifier = connection.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(verifier)))
    return password
