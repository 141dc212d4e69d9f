"""Runs that people ask for: written down first, launched after, once.

Dagster lets nobody choose the id of a run, so a launch whose answer was lost may have happened. Each carries the id of its
row as a tag: before such a launch is tried again, Dagster is asked for a run with that tag, after a pause in which a slow
webserver has either made the run or given up.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

LAUNCH_TAG = "ingestion/launch"
CHANNEL = "run_launches"
CLAIM = timedelta(seconds=45)
"""How long one process has a launch to itself: more than the longest request to Dagster takes."""
SETTLE = timedelta(seconds=60)
"""After a launch whose answer was lost."""
_LONGEST_WAIT_SECONDS = 300.0
_LONGEST_SHORT_HOLD = timedelta(minutes=10)
"""More than any hold but the sensor's: `CLAIM` and `SETTLE`, and the waits between attempts."""
_ATTEMPTS_THAT_ANSWERED = 20
"""Refusals that may pass (a code location that is loading) before a launch is given up: about an hour and a half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A run that was asked for."""

    id: uuid.UUID
    job_name: str
    source: str
    tags: Mapping[str, str]
    state: str
    created_at: datetime
    attempts: int
    unsure: int
    run_id: str | None
    error: str | None


_COLUMNS = "id, job_name, source, tags, state, created_at, attempts, unsure, run_id, error"


def request_run(
    connection: Connection[Any],
    *,
    job_name: str,
    source: str,
    tags: Mapping[str, str],
    requested_by: str | None,
) -> tuple[Launch, bool]:
    """Write down that a run is wanted. The same one is wanted once: False when it waits to be launched already."""
    from psycopg.types.json import Jsonb

    parameters = (job_name, source, Jsonb(dict(tags)), requested_by)
    for _ in range(2):
        row = connection.execute(
            "INSERT INTO run_launches (job_name, source, tags, requested_by) VALUES (%s, %s, %s, %s)"  # noqa: S608
            f" ON CONFLICT (job_name, tags) WHERE state = 'pending' DO NOTHING RETURNING {_COLUMNS}",
            parameters,
        ).fetchone()
        if row is not None:
            connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
            return _launch(row), True
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM run_launches WHERE job_name = %s AND tags = %s AND state = 'pending'",  # noqa: S608
            parameters[0:3:2],
        ).fetchone()
        if row is not None:
            return _launch(row), False
    raise RuntimeError("a launch was finished twice while it was asked for")


def claim(connection: Connection[Any], *, limit: int = 10, waited: timedelta = timedelta(0)) -> list[Launch]:
    """Pending launches whose time has come, for this process alone until `CLAIM` has passed.

    With `waited`, only those that were asked for so long ago.
    """
    rows = connection.execute(
        "UPDATE run_launches SET attempts = attempts + 1, not_before = clock_timestamp() + %s"  # noqa: S608
        " WHERE id IN (SELECT id FROM run_launches WHERE state = 'pending' AND not_before <= clock_timestamp()"
        " AND created_at <= clock_timestamp() - %s"
        f" ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}",
        (CLAIM, waited, limit),
    ).fetchall()
    return [_launch(row) for row in rows]


def held(connection: Connection[Any], *, limit: int) -> list[Launch]:
    """Pending launches that may have happened, oldest first, also those whose time has not come. Nothing is claimed."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM run_launches WHERE state = 'pending' AND unsure > 0"  # noqa: S608
        " AND not_before > clock_timestamp() ORDER BY created_at LIMIT %s",
        (limit,),
    ).fetchall()
    return [_launch(row) for row in rows]


def claim_again(connection: Connection[Any], *, hold: timedelta, after: timedelta, limit: int) -> list[Launch]:
    """Pending launches that were sent with this `hold` longer ago than `after`, for as long again.

    For a sender that may send twice. Those whose holds are short, the service's, are left to it.
    """
    rows = connection.execute(
        "UPDATE run_launches SET not_before = clock_timestamp() + %(hold)s"  # noqa: S608
        " WHERE id IN (SELECT id FROM run_launches WHERE state = 'pending' AND unsure > 0"
        " AND not_before > clock_timestamp() + %(short)s AND not_before <= clock_timestamp() + %(hold)s - %(after)s"
        f" ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}",
        {"hold": hold, "after": after, "limit": limit, "short": _LONGEST_SHORT_HOLD},
    ).fetchall()
    return [_launch(row) for row in rows]


def about_to_send(connection: Connection[Any], launch: Launch, *, hold: timedelta = CLAIM + SETTLE) -> bool:
    """Remember that the request goes out now: if this process dies, its answer is lost. False when it was taken over.

    Nobody else tries this launch for as long as `hold`.
    """
    return (
        connection.execute(
            "UPDATE run_launches SET unsure = unsure + 1, not_before = clock_timestamp() + %s"
            " WHERE id = %s AND state = 'pending' AND attempts = %s",
            (hold, launch.id, launch.attempts),
        ).rowcount
        == 1
    )


def launched(connection: Connection[Any], launch_id: uuid.UUID, run_id: str) -> None:
    """The run exists."""
    connection.execute(
        "UPDATE run_launches SET state = 'launched', run_id = %s, finished_at = now(), error = NULL"
        " WHERE id = %s AND state = 'pending'",
        (run_id, launch_id),
    )


def refused(connection: Connection[Any], launch: Launch, error: str, *, final: bool) -> None:
    """Dagster answered, and made no run. With `final` it never will: the job is not there, or the tags are wrong."""
    final = final or launch.attempts >= _ATTEMPTS_THAT_ANSWERED
    connection.execute(
        "UPDATE run_launches SET error = %s, unsure = 0, state = CASE WHEN %s THEN 'failed' ELSE 'pending' END,"
        " finished_at = CASE WHEN %s THEN now() END, not_before = clock_timestamp() + %s"
        " WHERE id = %s AND state = 'pending'",
        (error[:2000], final, final, retry_wait(launch.attempts), launch.id),
    )


def unreachable(connection: Connection[Any], launch: Launch, error: str) -> None:
    """Dagster could not be asked: nothing was sent. Such attempts are not bounded; an outage ends."""
    connection.execute(
        "UPDATE run_launches SET error = %s, unsure = %s, attempts = least(attempts, 6),"
        " not_before = clock_timestamp() + %s WHERE id = %s AND state = 'pending'",
        (error[:2000], launch.unsure, retry_wait(min(launch.attempts, 4)), launch.id),
    )


def answer_lost(connection: Connection[Any], launch: Launch, error: str) -> None:
    """The request went out and no answer came: the run may be there."""
    connection.execute(
        "UPDATE run_launches SET error = %s, not_before = clock_timestamp() + %s WHERE id = %s AND state = 'pending'",
        (error[:2000], SETTLE, launch.id),
    )


def retry_wait(attempts: int) -> timedelta:
    """2 s, doubling, up to five minutes."""
    return timedelta(seconds=min(_LONGEST_WAIT_SECONDS, 2.0 * 2 ** max(0, attempts - 1)))


def recent(connection: Connection[Any], *, limit: int = 20) -> list[Launch]:
    """The last ones, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM run_launches ORDER BY created_at DESC LIMIT %s",  # noqa: S608
        (limit,),
    ).fetchall()
    return [_launch(row) for row in rows]


def _launch(row: tuple[Any, ...]) -> Launch:
    return Launch(
        id=row[0],
        job_name=row[1],
        source=row[2],
        tags=row[3],
        state=row[4],
        created_at=row[5],
        attempts=row[6],
        unsure=row[7],
        run_id=row[8],
        error=row[9],
    )
