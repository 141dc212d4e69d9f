"""Asynchronous jobs: what can be asked for, by whom, and what came of it.

`pending → running → completed | failed | cancelled`, and back to `pending` for another attempt. Belongs here: kinds, the
errors that a handler may raise, asking, reading and cancelling. Claiming and settling are `job_queue.py`, the loop that
runs handlers is `job_worker.py`, finding the dead is `stuck_jobs.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from resources.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from psycopg import Connection
    from pydantic import BaseModel

    from ingestion_assets.ledger.job_context import JobContext

DEFAULT_TIMEOUT = timedelta(minutes=5)
DEFAULT_ATTEMPTS = 3
LONGEST_RETRY_WAIT = timedelta(hours=1)


class JobState(StrEnum):
    """Where a job is. The last three are final: the database refuses to change such a row."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing happens any more."""
        return self in {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}


class JobSupersededError(Exception):
    """The job is no longer this attempt's: it was reclaimed, cancelled or deleted. The write was refused."""


class JobStoppedError(Exception):
    """The handler was asked to stop (cancelled, deadline, shutdown) and did so at a safe point."""


class JobFailedError(PermanentError):
    """The job cannot succeed; the message is fit for its user, and `code` for programs."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class JobDeferredError(Exception):
    """Not now: the job goes back to the queue until `not_before`, and the attempt does not count."""

    def __init__(self, message: str, *, not_before: datetime) -> None:
        super().__init__(message)
        self.not_before = not_before


class IdempotencyConflictError(PermanentError):
    """The key was used for another request."""


Handler = Callable[["JobContext"], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """What can be asked for: who does it and how long that may take."""

    name: str
    handler: Handler
    timeout: timedelta = DEFAULT_TIMEOUT
    """Of one attempt. The worker gives up on a handler that takes longer; its later writes are refused."""
    max_attempts: int = DEFAULT_ATTEMPTS
    priority: int = 0
    first_retry_wait: timedelta = timedelta(seconds=5)
    """Before the second attempt; four times longer before each one after that."""
    description: str = ""
    """For people who may ask for it."""
    arguments: type[BaseModel] | None = None
    """What has to be given; checked when it is asked for. None: anything."""
    result: type[BaseModel] | None = None
    """What comes of it, for documentation."""

    def __post_init__(self) -> None:
        if self.timeout <= timedelta(0) or self.max_attempts < 1:
            raise ValueError(f"job kind {self.name!r} needs a timeout over 0 and at least one attempt")

    def retry_wait(self, attempt: int, named: float | None) -> timedelta:
        """How long to wait after a failed attempt; never less than the delay in seconds that was named."""
        wait: timedelta = min(self.first_retry_wait * 4 ** (attempt - 1), LONGEST_RETRY_WAIT)
        return wait if named is None else max(wait, timedelta(seconds=named))


class JobKinds(Mapping[str, JobKind]):
    """The kinds that a process knows, by name."""

    def __init__(self, kinds: Iterable[JobKind] = ()) -> None:
        self._kinds: dict[str, JobKind] = {}
        for kind in kinds:
            if kind.name in self._kinds:
                raise ValueError(f"two job kinds are called {kind.name!r}")
            self._kinds[kind.name] = kind

    def __getitem__(self, name: str) -> JobKind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def only(self, names: Sequence[str]) -> JobKinds:
        """The named kinds. Raises `PermanentError` for a name that is not known."""
        if unknown := [name for name in names if name not in self._kinds]:
            raise PermanentError(f"no job kind is called {unknown[0]!r}; there are: {', '.join(self) or 'none'}")
        return JobKinds(self._kinds[name] for name in names)


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The job that does what was asked. `created` is False when an earlier request with the same key made it."""

    job_id: uuid.UUID
    created: bool


def enqueue(
    connection: Connection[Any],
    kind: JobKind,
    arguments: Mapping[str, Any] | None = None,
    *,
    user_id: str | None = None,
    idempotency_key: str | None = None,
    not_before: datetime | None = None,
    priority: int | None = None,
) -> Enqueued:
    """Ask for a job, in the transaction of the caller; workers are woken when it commits.

    Raises `IdempotencyConflictError` when the user's key belongs to another kind or other arguments.
    """
    from psycopg.types.json import Jsonb

    body = Jsonb(dict(arguments or {}))
    row = connection.execute(
        "INSERT INTO async_jobs (kind, user_id, arguments, idempotency_key, not_before, priority, max_attempts,"
        " timeout_seconds) VALUES (%s, %s, %s, %s, coalesce(%s, now()), %s, %s, %s)"
        " ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING id",
        (
            kind.name,
            user_id,
            body,
            idempotency_key,
            not_before,
            kind.priority if priority is None else priority,
            kind.max_attempts,
            kind.timeout.total_seconds(),
        ),
    ).fetchone()
    if row is not None:
        return Enqueued(row[0], created=True)
    earlier = connection.execute(
        "SELECT id, kind = %s AND arguments = %s FROM async_jobs"
        " WHERE user_id IS NOT DISTINCT FROM %s AND idempotency_key = %s",
        (kind.name, body, user_id, idempotency_key),
    ).fetchone()
    if earlier is None:  # its user was deleted between the two statements
        raise TransientError("the earlier job of this idempotency key has just been deleted; ask again")
    if not earlier[1]:
        raise IdempotencyConflictError("this idempotency key was used for a different request; use a new key")
    return Enqueued(earlier[0], created=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """What a user may see of a job."""

    id: uuid.UUID
    kind: str
    user_id: str | None
    state: JobState
    attempt: int
    max_attempts: int
    created_at: datetime
    claimed_at: datetime | None
    finished_at: datetime | None
    not_before: datetime
    cancel_requested: bool
    progress: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    error_code: str | None
    error_message: str | None


def read_job(connection: Connection[Any], job_id: uuid.UUID, *, user_id: str | None = None) -> JobView | None:
    """A job, or None when there is none; with `user_id`, also when it is somebody else's."""
    row = connection.execute(
        "SELECT id, kind, user_id, state, attempt, max_attempts, created_at, claimed_at, finished_at, not_before,"
        " cancel_requested_at IS NOT NULL, progress, result, error_code, error_message FROM async_jobs"
        " WHERE id = %s AND (%s::text IS NULL OR user_id = %s)",
        (job_id, user_id, user_id),
    ).fetchone()
    if row is None:
        return None
    return JobView(
        id=row[0],
        kind=row[1],
        user_id=row[2],
        state=JobState(row[3]),
        attempt=row[4],
        max_attempts=row[5],
        created_at=row[6],
        claimed_at=row[7],
        finished_at=row[8],
        not_before=row[9],
        cancel_requested=row[10],
        progress=row[11],
        result=row[12],
        error_code=row[13],
        error_message=row[14],
    )


def cancel(connection: Connection[Any], job_id: uuid.UUID, *, user_id: str | None = None) -> JobState | None:
    """Cancel a pending job at once; ask the handler of a running one to stop. The state afterwards.

    A finished job stays as it is. None when there is no such job, or it is not the user's.
    """
    row = connection.execute(
        "UPDATE async_jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()),"
        " state = CASE state WHEN 'pending' THEN 'cancelled' ELSE state END,"
        " finished_at = CASE state WHEN 'pending' THEN now() END"
        " WHERE id = %s AND (%s::text IS NULL OR user_id = %s) AND state IN ('pending', 'running') RETURNING state",
        (job_id, user_id, user_id),
    ).fetchone()
    if row is not None:
        return JobState(row[0])
    job = read_job(connection, job_id, user_id=user_id)
    return job.state if job else None
