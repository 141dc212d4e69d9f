"""Connections to the platform's database, and how work on it outlives a restart of the server."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString, Self, TypeVar

from resources.errors import TransientError

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")
log = logging.getLogger(__name__)

NETWORK: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""libpq parameters by which a client notices within half a minute that the network lost its connection, not after hours.

Keepalive probes are for a connection that is idle. What was sent and is not acknowledged, the kernel repeats for a quarter
of an hour: after a failover to another address, everybody would wait that long for the old one.
"""
_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0
_MOST_LOSSES = 10
"""How often one transaction is begun anew. What loses its connection every time is killed by its own work."""
_ROLLED_BACK_BY_SERVER = frozenset({"40001", "40P01"})
"""Serialisation failure and deadlock: the server undid the transaction and asks for it again."""


class DatabaseUnavailableError(TransientError):
    """The server did not come back within the patience of the caller."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where the tables are. Cheap to make and to pass on; it holds no connection."""

    url: str = field(repr=False)
    """libpq URL, for psycopg."""
    patience: float = 300.0
    """Seconds that `transact` waits for a server that went away before it gives up. A restart takes seconds, a
    failover a minute or two; past five minutes a person has to look."""

    def connect(self, *, role: str = "ingestion", autocommit: bool = False) -> Connection[Any]:
        """A new connection. `role` shows in `pg_stat_activity`, so that an operator sees who holds what."""
        import psycopg

        return psycopg.connect(
            self.url,
            autocommit=autocommit,
            application_name=application_name(role),
            connect_timeout=10,
            **NETWORK,
        )

    @contextmanager
    def transaction(self, *, role: str = "ingestion") -> Iterator[Connection[Any]]:
        """One transaction on a connection of its own; committed at the end, rolled back on an error."""
        with self.connect(role=role) as connection:
            yield connection

    def fetch_all(self, query: LiteralString, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of one query, as dictionaries. For small results: ledgers, status, previews."""
        from psycopg.rows import dict_row

        with self.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters).fetchall()

    def session(self, *, role: str = "ingestion") -> Session:
        """A connection that is made anew after the server went away."""
        return Session(self, role=role)


class Session:
    """One long-lived connection for one thread, with transactions that survive a restart of the server.

    `transact` runs its argument in a transaction. When the connection breaks, the argument runs again on a new one,
    so it must either change nothing outside the database or be able to tell that it was committed already: a commit
    whose acknowledgement was lost cannot be told from one that failed.
    """

    def __init__(self, database: Database, *, role: str) -> None:
        self._database = database
        self._role = role
        self._connection: Connection[Any] | None = None
        self.reconnects = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back. The session opens another one when it is used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connection(self) -> Connection[Any]:
        """The open connection, a new one when there is none."""
        if self._connection is None or self._connection.closed:
            connection = self._database.connect(role=self._role)
            # The server, too, gives up on a client that the network has lost; by default it holds its locks for two
            # hours, and the transaction that is tried again waits for them. Not as options of the connection: poolers
            # refuse those.
            connection.execute(
                "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),"
                " set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '25000', false)"
            )
            connection.commit()
            self._connection = connection
        return self._connection

    def transact(self, work: Callable[[Connection[Any]], T]) -> T:
        """Run `work` in a transaction and return what it returns.

        Raises `DatabaseUnavailableError` when the server stays away longer than the database's patience, or goes away
        again and again; any other error of `work` is raised as it is, after a rollback.
        """
        import psycopg

        losses, wait = 0, _FIRST_WAIT
        deadline: float | None = None
        while True:
            connected = False
            try:
                connection = self.connection()
                connected = True
                with connection.transaction():
                    return work(connection)
            except psycopg.OperationalError as error:
                lost = _connection_lost(error, self._connection)
                if not lost and error.sqlstate not in _ROLLED_BACK_BY_SERVER:
                    raise
                if lost:
                    self.close()
                if connected:  # the patience is for an outage, not for the work before it
                    losses, wait, deadline = losses + 1, _FIRST_WAIT, None
                deadline = deadline or time.monotonic() + self._database.patience
                if losses > _MOST_LOSSES or time.monotonic() + wait > deadline:
                    raise self._gave_up() from error
                log.warning("transaction lost (%s); trying again in %.1f s", type(error).__name__, wait)
                time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                wait = min(wait * 2, _LONGEST_WAIT)
                self.reconnects += lost

    def _gave_up(self) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            f"PostgreSQL did not answer for {self._database.patience:.0f} s. Is the server of DATABASE_URL up? "
            "The work can be repeated: what was committed stays, the rest is done then."
        )


def application_name(role: str) -> str:
    """How a connection of `role` is called in `pg_stat_activity`, which keeps 63 bytes."""
    return f"ingestion/{role}"[:63]


def _connection_lost(error: Exception, connection: Connection[Any] | None) -> bool:
    """Whether the connection, not the statement, failed. Class 57P: the server is going down or coming up."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is not None:
        return sqlstate.startswith(("57P", "08")) or sqlstate in {"53300", "25006"}
    return connection is None or connection.closed or connection.broken
