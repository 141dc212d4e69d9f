"""Where a pace is kept: in this process, or in PostgreSQL where every process with the same account shares it.

A store does one thing: apply a pure function to the pace of a key, atomically, on one clock. In PostgreSQL that is
a read and a compare-and-swap by version, never a lock held between two statements: a process that is stopped or killed
in the middle holds up nobody.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from resources.errors import TransientError
from resources.llm.errors import QuotaScope
from resources.llm.pacing.bucket import Block, Bucket, Pace

if TYPE_CHECKING:
    from psycopg import Connection

    from resources.postgres.database import Database

Change = Callable[[Pace, float], Pace]
"""From the pace and the store's time to the new pace."""


@dataclass(frozen=True, slots=True)
class PaceKey:
    """Who shares a pace: everybody with this account and model."""

    provider: str
    account: str
    model: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change left, and how the store's clock stands to `time.monotonic` of this process."""

    pace: Pace
    now: float
    ahead: float
    """Add to `time.monotonic()` to get the store's time."""


class PaceStore(Protocol):
    """Keeps paces. `fresh` is called for a key that the store has never seen."""

    async def apply(self, key: PaceKey, change: Change, *, fresh: Callable[[float], Pace]) -> Applied:
        """Change the pace of `key` atomically and return it."""
        ...

    async def aclose(self) -> None:
        """Give back connections."""
        ...


class MemoryStore:
    """For one process. The same arithmetic, no database."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ahead = time.time() - clock()
        self._paces: dict[PaceKey, Pace] = {}

    async def apply(self, key: PaceKey, change: Change, *, fresh: Callable[[float], Pace]) -> Applied:
        now = self._clock() + self._ahead
        pace = self._paces.get(key) or fresh(now)
        self._paces[key] = pace = change(pace, now)
        return Applied(pace, now, self._ahead)

    async def aclose(self) -> None:
        """Nothing to give back."""


_READ = """
SELECT extract(epoch FROM clock_timestamp())::float8 AS now, version, dimension, empty_at, rate, ceiling, granted,
       learned, slowed_at, raised_at, refusals, extract(epoch FROM blocked_until)::float8 AS blocked_until,
       blocked_scope, blocked_reason
  FROM (SELECT 1) AS one LEFT JOIN llm_pacing
    ON provider = %(provider)s AND account = %(account)s AND model = %(model)s
 ORDER BY dimension
"""
_CREATE = """
INSERT INTO llm_pacing (provider, account, model, dimension, version, empty_at, rate, ceiling, granted, learned,
                        slowed_at, raised_at, refusals, blocked_until, blocked_scope, blocked_reason)
VALUES (%(provider)s, %(account)s, %(model)s, 'requests', 1, %(empty_at)s, %(rate)s, %(ceiling)s, %(granted)s,
        %(learned)s, %(slowed_at)s, %(raised_at)s, %(refusals)s, to_timestamp(%(until)s), %(scope)s, %(reason)s),
       (%(provider)s, %(account)s, %(model)s, 'tokens', 1, %(t_empty_at)s, %(t_rate)s, %(t_ceiling)s, %(t_granted)s,
        %(t_learned)s, %(t_slowed_at)s, %(t_raised_at)s, %(t_refusals)s, NULL, NULL, NULL)
ON CONFLICT DO NOTHING
"""
# Both rows or none. The rows are locked in one order and compared after the lock is held, inside one statement.
_SWAP = """
WITH mine AS (
    SELECT version FROM llm_pacing
     WHERE provider = %(provider)s AND account = %(account)s AND model = %(model)s
     ORDER BY dimension FOR UPDATE
), unchanged AS (
    SELECT count(*) = 2 AND bool_and(version = %(version)s) AS yes FROM mine
)
UPDATE llm_pacing SET
       version = version + 1,
       empty_at = new.empty_at, rate = new.rate, ceiling = new.ceiling, granted = new.granted, learned = new.learned,
       slowed_at = new.slowed_at, raised_at = new.raised_at, refusals = new.refusals,
       blocked_until = to_timestamp(new.until), blocked_scope = new.scope, blocked_reason = new.reason,
       updated_at = clock_timestamp()
  FROM (VALUES
        ('requests', %(empty_at)s::float8, %(rate)s::float8, %(ceiling)s::float8, %(granted)s::float8,
         %(learned)s::text, %(slowed_at)s::float8, %(raised_at)s::float8, %(refusals)s::bigint,
         %(until)s::float8, %(scope)s::text, %(reason)s::text),
        ('tokens', %(t_empty_at)s, %(t_rate)s, %(t_ceiling)s, %(t_granted)s,
         %(t_learned)s, %(t_slowed_at)s, %(t_raised_at)s, %(t_refusals)s, NULL, NULL, NULL)
       ) AS new (dimension, empty_at, rate, ceiling, granted, learned, slowed_at, raised_at, refusals,
                 until, scope, reason), unchanged
 WHERE unchanged.yes
   AND provider = %(provider)s AND account = %(account)s AND model = %(model)s
   AND llm_pacing.dimension = new.dimension
"""

_TRIES = 50
"""Lost races before giving up. With groups of slots a process writes a few times a second."""


class PaceContentionError(TransientError):
    """The row changed under every attempt to write it: far more processes share it than was ever measured."""


class PostgresStore:
    """Shared by every process that uses the same database. One connection and one thread a store."""

    def __init__(self, database: Database) -> None:
        self._session = database.session(role="llm-pacing")
        # One thread: a connection serves one statement at a time, and calls stay in order.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llm-pacing")
        self._closed = False

    async def apply(self, key: PaceKey, change: Change, *, fresh: Callable[[float], Pace]) -> Applied:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._apply, key, change, fresh)

    def _apply(self, key: PaceKey, change: Change, fresh: Callable[[float], Pace]) -> Applied:
        names = {"provider": key.provider, "account": key.account, "model": key.model}

        def once(connection: Connection[Any]) -> Applied | None:
            asked = time.monotonic()
            rows = connection.execute(_READ, names).fetchall()
            now = rows[0][0]
            # The store's clock was read somewhere between asking and hearing.
            ahead = now - (asked + time.monotonic()) / 2
            if rows[0][1] is None:
                pace = change(fresh(now), now)
                done = connection.execute(_CREATE, names | _columns(pace))
                return Applied(pace, now, ahead) if done.rowcount == 2 else None
            pace = change(_pace(rows), now)
            done = connection.execute(_SWAP, names | _columns(pace) | {"version": rows[0][1]})
            return Applied(pace, now, ahead) if done.rowcount == 2 else None

        for attempt in range(_TRIES):
            applied = self._session.transact(once)
            if applied is not None:
                return applied
            time.sleep(random.uniform(0, 0.002 * (attempt + 1)))  # noqa: S311 - spreads rivals, no secret
        raise PaceContentionError(
            f"the pace of {key.provider} {key.model} in llm_pacing changed under {_TRIES} attempts to write it"
        )

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._session.close)
            self._thread.shutdown(wait=False)


def _columns(pace: Pace) -> dict[str, Any]:
    values: dict[str, Any] = {"until": None, "scope": None, "reason": None}
    for prefix, bucket in (("", pace.requests), ("t_", pace.tokens)):
        for name in ("empty_at", "rate", "ceiling", "granted", "learned", "slowed_at", "raised_at", "refusals"):
            values[prefix + name] = getattr(bucket, name)
    if pace.block is not None:
        values |= {"until": pace.block.until, "scope": str(pace.block.scope), "reason": pace.block.reason}
    return values


def _pace(rows: list[Any]) -> Pace:
    buckets, block = {}, None
    for row in rows:
        _, _, dimension, empty_at, rate, ceiling, granted, learned, slowed_at, raised_at, refusals, *blocked = row
        buckets[dimension] = Bucket(
            empty_at=empty_at,
            rate=rate,
            learned=learned,
            ceiling=ceiling,
            granted=granted,
            slowed_at=slowed_at,
            raised_at=raised_at,
            refusals=refusals,
        )
        if dimension == "requests" and blocked[0] is not None:
            block = Block(until=blocked[0], scope=QuotaScope(blocked[1]), reason=blocked[2])
    return Pace(requests=buckets["requests"], tokens=buckets["tokens"], block=block)


def moment(seconds: float) -> datetime:
    """An aware datetime from the store's time."""
    return datetime.fromtimestamp(seconds, UTC)
