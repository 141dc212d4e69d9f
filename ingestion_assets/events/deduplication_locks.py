"""Which weeks a resolution holds, so that several may be under way at once and still give what one after the other gives.

A resolution reads the records of its week and of a day on each side, and writes the events of its week and every id that
those records carry. So it holds its week, both neighbours, and the weeks of those ids, as locks of its transaction, from
before it reads until it commits. Two that could touch the same record or id hold a week in common: one waits. Locks are
taken in the order of the weeks, so that nobody waits in a circle.

An import may move a record to a week far away between the looks of two resolutions; each may then give the record an
event of its own. The later one finds the link that it did not expect (`LinkTakenError`) and begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ingestion_assets.ledger.import_jobs import ImportJob, end_silent_sessions
from resources.errors import TransientError

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

_WEEK = timedelta(days=7)
_CLASS = 0x5EE4_0001
"""First half of the locks' keys, the day number of the Monday is the second. Other advisory locks have undivided keys."""
LOOK_AFTER = 5.0
"""Seconds of waiting for a week before the sessions of workers that fell silent are ended."""
PATIENCE = 900.0
"""Seconds. A week is held for as long as it takes to resolve one: seconds. Whoever takes longer is stuck."""
_TRIES = 10


class WeeksMissingError(Exception):
    """The resolution reaches weeks that it does not hold."""

    def __init__(self, weeks: Collection[date]) -> None:
        super().__init__(f"{len(weeks)} more weeks have to be held")
        self.weeks = frozenset(weeks)


class LinkTakenError(Exception):
    """Another resolution gave one of the records an event in the meantime."""


def holding_weeks(job: ImportJob, week: date, work: Callable[[Connection[Any], frozenset[date]], T]) -> T:
    """`job.commit` of `work`, which is told the weeks that it holds: `week`, its neighbours and what it asks for.

    `work` raises `WeeksMissingError` for weeks that it needs besides, and is then begun anew with them. Raises
    `TransientError` when a week stays locked.
    """
    from psycopg.errors import LockNotAvailable

    held = frozenset({week - _WEEK, week, week + _WEEK})
    deadline = time.monotonic() + PATIENCE
    tries = 0
    while True:
        try:
            return job.commit(partial(_locked, weeks=held, work=work))
        except LockNotAvailable:
            job.session.transact(lambda connection: end_silent_sessions(connection, job.source))
            if time.monotonic() > deadline:
                raise TransientError(
                    f"the week of {week} is locked by another resolution for {PATIENCE:.0f} s. Look for a session that "
                    "is idle in a transaction."
                ) from None
        except (WeeksMissingError, LinkTakenError) as error:
            tries += 1
            if tries >= _TRIES:
                raise TransientError(
                    f"the records of the week of {week} keep moving while it is resolved ({error}); try again later"
                ) from error
            if isinstance(error, WeeksMissingError):
                held |= error.weeks


def _locked(
    connection: Connection[Any], *, weeks: frozenset[date], work: Callable[[Connection[Any], frozenset[date]], T]
) -> T:
    _lock(connection, weeks)
    return work(connection, weeks)


def _lock(connection: Connection[Any], weeks: Iterable[date]) -> None:
    """Wait for the weeks; what is read by later statements is what their last holders left."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOOK_AFTER * 1000:.0f}",))
    connection.execute(
        "SELECT pg_advisory_xact_lock(%s, day) FROM unnest(%s::int[]) AS day",
        (_CLASS, sorted(week.toordinal() for week in weeks)),
    )
    connection.execute("SELECT set_config('lock_timeout', '0', true)")
