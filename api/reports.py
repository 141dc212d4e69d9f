"""The health report, read once for all that ask at about the same time.

Anybody may ask, without a token or a rate, and a report opens connections outside the pool, one after another: with one for
each who asks, strangers could take all that the server has.
"""

from __future__ import annotations

import asyncio
import time

import anyio
import psycopg

from api.database import ApiDatabase
from api.problems import Problem, as_problem
from ingestion_assets.ledger.health import Health, read_health
from resources.postgres.database import Database

KEPT_SECONDS = 2.0


class Reports:
    """What this process has read last. Holds one connection at most, and only while it reads."""

    def __init__(self, pool: ApiDatabase, database: Database) -> None:
        self._pool = pool
        self._database = database
        self._reading = asyncio.Lock()
        self._kept: Health | Problem | None = None
        self._kept_until = 0.0

    async def health(self) -> Health:
        """At most `KEPT_SECONDS` old. Raises `Problem` 503 when the database does not answer."""
        async with self._reading:
            if self._kept is None or time.monotonic() > self._kept_until:
                self._kept = await self._read()
                self._kept_until = time.monotonic() + KEPT_SECONDS
            kept = self._kept
        if isinstance(kept, Problem):
            raise kept.with_traceback(None)
        return kept

    async def _read(self) -> Health | Problem:
        try:
            await self._pool.run(lambda connection: connection.execute("SELECT 1"))
        except (Problem, psycopg.Error) as error:
            # Kept as well: otherwise those who ask during an outage wait for one another's timeouts.
            return as_problem(error)
        return await anyio.to_thread.run_sync(read_health, self._database)
