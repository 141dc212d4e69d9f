"""The right to run Dagster's daemon on a storage: one holder at a time, whoever starts it and on whatever machine.

Two daemons on one storage launch runs twice, retry them twice and fail each other's. Dagster only logs that it has seen
another one.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from resources.errors import PermanentError
from resources.postgres.database import Database

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger(__name__)

DAEMON_LOCK = 7_201_604_551_002
"""Key of the session advisory lock in Dagster's database."""
_ROLE = "daemon lock"


class DaemonLockError(PermanentError):
    """Somebody else runs a daemon on this storage."""


class DaemonLock:
    """Held from `__enter__` on. `still_held` has to be asked from time to time: a restarted server drops the lock."""

    def __init__(self, dagster_url: str) -> None:
        """`dagster_url` is the libpq URL of Dagster's storage."""
        # A session, because there the server gives up on us, too: a machine that lost its power must not hold the lock
        # for the two hours after which the server would notice by itself.
        self._session = Database(dagster_url).session(role=_ROLE)
        self._connection: Connection[Any] | None = None

    def __enter__(self) -> Self:
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def still_held(self) -> bool:
        """Whether the lock is known to be held. Takes the lock again after a restart of the server.

        False while the server is away: nobody else can take the lock then, and a daemon does nothing without it, so it
        may stay.
        Raises `DaemonLockError` when somebody else has taken it meanwhile: the daemon has to be stopped.
        """
        import psycopg

        try:
            if self._connection is None:
                self._take()
            else:
                self._connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            log.warning("the daemon's lock cannot be checked: %s", type(error).__name__)
            self._close()
            return False
        return True

    def _take(self) -> None:
        connection = self._session.connection()
        connection.autocommit = True
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (DAEMON_LOCK,)).fetchone()
        if row and row[0]:
            self._connection = connection
            return
        holder = connection.execute(
            "SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'this machine'), a.backend_start"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
            " AND l.objsubid = 1 AND l.classid::bigint = %s AND l.objid::bigint = %s",
            (DAEMON_LOCK >> 32, DAEMON_LOCK & 0xFFFFFFFF),
        ).fetchone()
        self._session.close()
        who = f" (from {holder[2]}, since {holder[3]:%Y-%m-%d %H:%M:%S %Z})" if holder else ""
        raise DaemonLockError(
            f"a daemon is at work on this storage already{who}: two would launch and fail each other's runs. "
            "Use the one that is up, or stop it first."
        )

    def _close(self) -> None:
        self._session.close()
        self._connection = None
