"""The queue of asynchronous jobs as workers see it: claim, beat, settle. Single statements, so that nothing lies between.

A worker holds an attempt token for each job. Whoever reclaims a job clears the token, and every write of the old attempt
is refused from then on, in the transaction that would have made it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ingestion_assets.ledger.async_jobs import JobDeferredError, JobKind, JobState, JobStoppedError
from resources.errors import PermanentError, TransientError
from resources.redaction import redact

if TYPE_CHECKING:
    from psycopg import Connection

INTERNAL_MESSAGE = "Something went wrong on our side. The job was tried several times and given up."


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """A job that this worker holds."""

    id: uuid.UUID
    kind: str
    user_id: str | None
    arguments: Mapping[str, Any]
    attempt: int
    max_attempts: int
    token: uuid.UUID
    timeout: float
    """Seconds."""


_CLAIM = """
WITH picked AS (
    SELECT id FROM async_jobs WHERE state = 'pending' AND not_before <= clock_timestamp() AND kind = ANY(%(kinds)s)
    ORDER BY priority DESC, not_before, sequence LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE async_jobs j SET state = 'running', attempt = attempt + 1, attempt_token = gen_random_uuid(),
    worker_id = %(worker_id)s, worker = %(worker)s, claimed_at = clock_timestamp(), beat_at = NULL, commits = 0,
    deadline_at = clock_timestamp() + make_interval(secs => timeout_seconds), error_code = NULL, error_message = NULL,
    error_detail = NULL
FROM picked WHERE j.id = picked.id
RETURNING j.id, j.kind, j.user_id, j.arguments, j.attempt, j.max_attempts, j.attempt_token, j.timeout_seconds
"""


def claim(
    connection: Connection[Any], kinds: Sequence[str], *, limit: int, worker_id: int, worker: str
) -> list[ClaimedJob]:
    """Take up to `limit` due jobs, the most urgent first. Two workers never get the same one."""
    rows = connection.execute(
        _CLAIM, {"kinds": list(kinds), "limit": limit, "worker_id": worker_id, "worker": worker}
    ).fetchall()
    return [
        ClaimedJob(
            id=row[0],
            kind=row[1],
            user_id=row[2],
            arguments=row[3],
            attempt=row[4],
            max_attempts=row[5],
            token=row[6],
            timeout=row[7],
        )
        for row in rows
    ]


def seconds_until_due(connection: Connection[Any], kinds: Sequence[str]) -> float | None:
    """Seconds until the next pending job may start, 0 when one may now, None when there is none."""
    row = connection.execute(
        "SELECT extract(epoch FROM min(not_before) - clock_timestamp())::float8 FROM async_jobs"
        " WHERE state = 'pending' AND kind = ANY(%s)",
        (list(kinds),),
    ).fetchone()
    return None if row is None or row[0] is None else max(0.0, row[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How an attempt ended."""

    job: ClaimedJob
    state: JobState
    result: Mapping[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_detail: str | None = None
    delay: float = 0.0
    """Seconds until the next attempt, for `PENDING`."""
    counts: bool = True
    """Whether the attempt counts towards `max_attempts`."""


def clean(text: str, length: int) -> str:
    """Text of an error as it may be stored: without secrets, without what PostgreSQL does not take, not too long."""
    return redact(text).replace("\0", "").encode("utf-8", "replace").decode()[:length]


def completed(job: ClaimedJob, result: Mapping[str, Any] | None) -> Settlement:
    """The handler did it."""
    return Settlement(job=job, state=JobState.COMPLETED, result=result)


def returned(job: ClaimedJob, *, delay: float = 0.0) -> Settlement:
    """The worker stops, or the job is not due: back to the queue as if the attempt had not been made."""
    return Settlement(job=job, state=JobState.PENDING, delay=delay, counts=False)


def attempt_failed(
    job: ClaimedJob, kind: JobKind, *, code: str, message: str, detail: str, named_wait: float | None = None
) -> Settlement:
    """The attempt failed in a way that may pass: the next attempt, or the end when there are none left."""
    if job.attempt >= job.max_attempts:
        return Settlement(
            job=job, state=JobState.FAILED, error_code=code, error_message=message, error_detail=clean(detail, 4000)
        )
    wait = kind.retry_wait(job.attempt, named_wait).total_seconds()
    return Settlement(
        job=job,
        state=JobState.PENDING,
        delay=wait,
        error_code=code,
        error_message=message,
        error_detail=clean(detail, 4000),
    )


def settlement_of(job: ClaimedJob, kind: JobKind, error: BaseException, *, now: datetime) -> Settlement:
    """What an exception of the handler means for its job."""
    detail = f"{type(error).__name__}: {error}"
    match error:
        case JobDeferredError():
            return returned(job, delay=max(0.0, (error.not_before - now).total_seconds()))
        case JobStoppedError():
            return returned(job)
        case PermanentError():
            return Settlement(
                job=job,
                state=JobState.FAILED,
                error_code=getattr(error, "code", None) or "failed",
                error_message=clean(getattr(error, "user_message", None) or str(error), 2000),
                error_detail=clean(detail, 4000),
            )
        case TransientError():
            return attempt_failed(
                job,
                kind,
                code=getattr(error, "code", None) or "unavailable",
                message=clean(getattr(error, "user_message", None) or str(error), 2000),
                detail=detail,
                named_wait=error.retry_after,
            )
        case _:
            return attempt_failed(job, kind, code="internal", message=INTERNAL_MESSAGE, detail=detail)


_SETTLE = """
UPDATE async_jobs j SET
    state = o.final, finished_at = CASE WHEN o.final <> 'pending' THEN clock_timestamp() END,
    result = o.result::jsonb, error_code = o.code, error_message = o.message, error_detail = o.detail,
    not_before = CASE WHEN o.final = 'pending' THEN clock_timestamp() + make_interval(secs => o.delay)
                      ELSE j.not_before END,
    attempt = j.attempt - CASE WHEN o.counts THEN 0 ELSE 1 END,
    attempt_token = CASE WHEN o.final = 'pending' THEN NULL ELSE j.attempt_token END
FROM (SELECT u.*, CASE WHEN u.state = 'pending' AND c.cancel_requested_at IS NOT NULL THEN 'cancelled'
                       ELSE u.state END AS final
      FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::float8[],
                  %s::bool[]) AS u (id, token, state, result, code, message, detail, delay, counts)
      JOIN async_jobs c ON c.id = u.id) AS o
WHERE j.id = o.id AND j.attempt_token = o.token AND j.state = 'running'
RETURNING j.id
"""


def settle(connection: Connection[Any], settlements: Sequence[Settlement]) -> set[uuid.UUID]:
    """Write how attempts ended, in one statement. Returns the jobs that were still this worker's.

    A job that should go back to the queue and was asked to stop meanwhile is cancelled instead.
    """
    if not settlements:
        return set()
    columns: list[list[Any]] = [[] for _ in range(9)]
    for item in settlements:
        result = None if item.result is None else json.dumps(dict(item.result), allow_nan=False)
        for column, value in zip(
            columns,
            (
                item.job.id,
                item.job.token,
                item.state.value,
                result,
                item.error_code,
                item.error_message,
                item.error_detail,
                item.delay,
                item.counts,
            ),
            strict=True,
        ):
            column.append(value)
    return {row[0] for row in connection.execute(_SETTLE, columns).fetchall()}


@dataclass(frozen=True, slots=True)
class Beat:
    """What the queue said to a heartbeat."""

    mine: frozenset[uuid.UUID] = field(default_factory=frozenset)
    """Tokens that are still held."""
    cancelled: frozenset[uuid.UUID] = field(default_factory=frozenset)
    """Tokens whose jobs somebody wants stopped."""


def beat(connection: Connection[Any], tokens: Sequence[uuid.UUID]) -> Beat:
    """Say that the holder of these tokens lives, on the database's clock, and learn which it has lost."""
    rows = connection.execute(
        "UPDATE async_jobs SET beat_at = clock_timestamp() WHERE attempt_token = ANY(%s) AND state = 'running'"
        " RETURNING attempt_token, cancel_requested_at IS NOT NULL",
        (list(tokens),),
    ).fetchall()
    return Beat(frozenset(row[0] for row in rows), frozenset(row[0] for row in rows if row[1]))
