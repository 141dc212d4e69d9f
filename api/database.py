"""Connections of the service: a pool that looks before it hands out, and threads for work that blocks.

The ledger's functions are synchronous and take a connection. They are the only place that knows the rules, so the
service calls them as they are, in threads: never more threads than connections, so nobody waits while holding one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import psycopg
from psycopg_pool import ConnectionPool

from api.problems import unavailable
from api.settings import ApiSettings
from resources.postgres.database import NETWORK, Database, Session, application_name

T = TypeVar("T")

_POOL_SECONDS = 3.0
"""Wait for a connection that works. A client is better told to come back than left hanging."""
_QUEUE_SECONDS = 10.0
"""Wait for a free thread: what is queued longer is refused, so that overload answers and does not pile up."""


class ApiDatabase:
    """Transactions for requests. Opened with the service, closed with it."""

    def __init__(self, url: str, settings: ApiSettings) -> None:
        self.url = url
        self._statement_seconds = settings.statement_seconds
        self._pool = ConnectionPool(
            url,
            min_size=1,
            max_size=settings.database_connections,
            open=False,
            timeout=_POOL_SECONDS,
            # Its tries grow further and further apart: one of minutes would answer 503 long after the database is back.
            # A connection that is given up is made anew for the next request that needs one.
            reconnect_timeout=_POOL_SECONDS,
            check=self._check,
            configure=self._configure,
            kwargs={"application_name": application_name("api"), "connect_timeout": 3, **NETWORK},
            name="api",
        )
        self._threads = anyio.CapacityLimiter(settings.database_connections)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open without waiting for the server: the service starts, and says 503 until the database is there."""
        await anyio.to_thread.run_sync(lambda: self._pool.open(wait=False))
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(self._pool.close)

    def paces(self) -> Database:
        """The database to the paces of language models, whose sessions here are turns of the pool."""
        return _Pooled(self.url, pool=self._pool)

    async def run(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """What `work` returns, from one transaction: committed at the end, rolled back on an error.

        Raises `Problem` 503 when all connections stay busy, psycopg's errors as they are.
        """

        def transact() -> T:
            with self._pool.connection() as connection:
                return work(connection)

        with anyio.move_on_after(_QUEUE_SECONDS):
            await self._threads.acquire_on_behalf_of(transact)
            try:
                # A transaction that has begun is not abandoned: its client may go, what it asked for is done or not.
                with anyio.CancelScope(shield=True):
                    return await anyio.to_thread.run_sync(transact, limiter=anyio.CapacityLimiter(1))
            finally:
                self._threads.release_on_behalf_of(transact)
        raise unavailable("Too many requests are waiting for the database.")

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        """Raises `OperationalError` for a connection that does not work any more."""
        try:
            ConnectionPool.check_connection(connection)
        except psycopg.OperationalError:
            # A server that ended one has mostly ended all. The pool finds that out one by one, and waits a second after the
            # first, two after the next: longer than a request does.
            self._pool.drain()
            raise

    def _configure(self, connection: psycopg.Connection[Any]) -> None:
        # Not as connection options: poolers refuse those.
        connection.execute(
            "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', '5000', false),"
            " set_config('idle_in_transaction_session_timeout', '60000', false)",
            (str(int(self._statement_seconds * 1000)),),
        )
        connection.commit()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pooled(Database):
    """Every chat keeps a session for its pace. A connection for each would have no bound but that of the server."""

    pool: ConnectionPool = field(repr=False)

    def session(self, *, role: str = "ingestion") -> Session:
        return _Turns(self, self.pool, role=role)


class _Turns(Session):
    def __init__(self, database: Database, pool: ConnectionPool, *, role: str) -> None:
        super().__init__(database, role=role)
        self._pool = pool

    def transact(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """As the pool does it, which looks at a connection before it lends it: raises psycopg's errors as they are."""
        with self._pool.connection() as connection:
            return work(connection)
