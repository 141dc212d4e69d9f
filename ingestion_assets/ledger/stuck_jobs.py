"""Asynchronous jobs that nobody works on any more, and what becomes of them.

Two things are told apart. A worker that is gone: its advisory lock went with its connection, which shows at once; or it
has been silent for a lease (paused, cut off). A handler that hangs: the worker beats, but the deadline has passed. Silence
never counts from before the last start of the server: nobody could beat while it was down, and all would be called dead.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ingestion_assets.ledger.incidents import Action, Incident, Subject, record
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.sightings import BY_HAND, Sightings
from ingestion_assets.ledger.uptime import ANSWERS_SINCE

if TYPE_CHECKING:
    from psycopg import Connection

WORKER_LOCK_CLASS = 720_160
"""First key of the two-key advisory lock that every worker holds; the second one is its number."""

DEADLINE_GRACE = timedelta(seconds=5)
"""The worker itself ends a job at its deadline; only when it did not, somebody else does."""

_MESSAGES = {
    "worker_gone": "The process that worked on this job ended unexpectedly, several times.",
    "silent": "The process that worked on this job stopped answering, several times.",
    "deadline": "The job took longer than it may and was stopped.",
}


class Stuck(StrEnum):
    """Why a running job is given to somebody else."""

    WORKER_GONE = "worker_gone"
    SILENT = "silent"
    DEADLINE = "deadline"

    @property
    def message(self) -> str:
        """For the user of a job that has no attempt left."""
        return _MESSAGES[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """What is known of a running job, on the database's clock."""

    id: uuid.UUID
    kind: str
    token: uuid.UUID
    attempt: int
    max_attempts: int
    silence: timedelta
    """Since the last beat, the claim when there was none, or the start of the server when that is later."""
    overdue: timedelta
    """Past the deadline; negative before it."""
    worker_alive: bool
    """The worker's advisory lock is held."""
    worker: str
    same_beat: timedelta = BY_HAND
    """For how long the watcher has itself seen this beat as the last one."""


def why_stuck(job: RunningJob, settings: JobSettings) -> Stuck | None:
    """Why the job should be taken from its worker; None while all is well."""
    if not job.worker_alive and job.silence > settings.missed_beats:
        return Stuck.WORKER_GONE
    if job.silence > settings.lease and job.same_beat >= settings.missed_beats:
        return Stuck.SILENT
    if job.overdue > DEADLINE_GRACE:
        return Stuck.DEADLINE
    return None


_SUSPECTS = f"""
SELECT j.id, j.kind, j.attempt_token, j.attempt, j.max_attempts,
       clock_timestamp() - greatest(coalesce(j.beat_at, j.claimed_at), {ANSWERS_SINCE}) AS silence,
       clock_timestamp() - j.deadline_at AS overdue, l.objid IS NOT NULL AS worker_alive, coalesce(j.worker, ''),
       coalesce(j.beat_at, j.claimed_at)
FROM async_jobs j
LEFT JOIN (SELECT DISTINCT objid::bigint AS objid FROM pg_locks WHERE locktype = 'advisory' AND classid = %(lock)s
           AND objsubid = 2 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          ) AS l ON l.objid = j.worker_id
WHERE j.state = 'running' AND (coalesce(j.beat_at, j.claimed_at) < clock_timestamp() - %(silence)s
                               OR j.deadline_at < clock_timestamp())
LIMIT %(limit)s
"""  # noqa: S608


def suspects(
    connection: Connection[Any], settings: JobSettings, *, sightings: Sightings | None = None, limit: int = 500
) -> list[RunningJob]:
    """Running jobs that have been silent for a while or are past their deadline. Decides nothing.

    `sightings` are of a watcher that looks again and again.
    """
    rows = connection.execute(
        _SUSPECTS, {"lock": WORKER_LOCK_CLASS, "silence": settings.missed_beats, "limit": limit}
    ).fetchall()
    watched = sightings.unchanged({row[2]: row[9] for row in rows}) if sightings is not None else {}
    return [
        RunningJob(
            id=row[0],
            kind=row[1],
            token=row[2],
            attempt=row[3],
            max_attempts=row[4],
            silence=row[5],
            overdue=row[6],
            worker_alive=row[7],
            worker=row[8],
            same_beat=watched.get(row[2], BY_HAND),
        )
        for row in rows
    ]


_TAKE = """
UPDATE async_jobs SET
    state = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled' WHEN attempt < max_attempts THEN 'pending'
                 ELSE 'failed' END,
    finished_at = CASE WHEN cancel_requested_at IS NULL AND attempt < max_attempts THEN NULL
                       ELSE clock_timestamp() END,
    error_code = %(code)s, error_message = %(message)s, error_detail = %(detail)s, not_before = clock_timestamp(),
    attempt_token = NULL
WHERE id = %(id)s AND attempt_token = %(token)s AND state = 'running'
    AND (%(deadline)s OR coalesce(beat_at, claimed_at) < clock_timestamp() - %(silence)s)
RETURNING state
"""

_ACTIONS = {"pending": Action.REQUEUED, "failed": Action.FAILED, "cancelled": Action.CANCELLED}


def reclaim(
    connection: Connection[Any],
    watcher: str,
    settings: JobSettings,
    *,
    jobs: Sequence[RunningJob] | None = None,
    sightings: Sightings | None = None,
) -> list[Incident]:
    """Give stuck jobs back to the queue, or fail those without attempts left, and record each.

    Safe to repeat and to do from several places at once: a job that has beaten meanwhile, or was taken by somebody
    else, is left alone.
    """
    stuck = stuck_jobs(suspects(connection, settings, sightings=sightings) if jobs is None else jobs, settings)
    if not stuck:
        return []
    with connection.transaction():
        return record(connection, watcher, _take(connection, settings, stuck))


def stuck_jobs(jobs: Iterable[RunningJob], settings: JobSettings) -> list[tuple[RunningJob, Stuck]]:
    """Those that are stuck, each with the reason."""
    return [(job, reason) for job in jobs if (reason := why_stuck(job, settings)) is not None]


def _take(
    connection: Connection[Any], settings: JobSettings, stuck: Iterable[tuple[RunningJob, Stuck]]
) -> list[Incident]:
    incidents = []
    for job, reason in stuck:
        detail = _detail(job, reason)
        row = connection.execute(
            _TAKE,
            {
                "id": job.id,
                "token": job.token,
                "code": reason.value,
                "message": reason.message,
                "detail": detail,
                "deadline": reason is Stuck.DEADLINE,
                "silence": settings.missed_beats,
            },
        ).fetchone()
        if row is not None:
            incidents.append(
                Incident(
                    subject_type=Subject.ASYNC_JOB,
                    subject=str(job.id),
                    reason=reason.value,
                    action=_ACTIONS[row[0]],
                    detail=detail,
                )
            )
    return incidents


def _detail(job: RunningJob, reason: Stuck) -> str:
    who = f"attempt {job.attempt} of {job.max_attempts} of {job.kind}"
    match reason:
        case Stuck.WORKER_GONE:
            return f"{who}: its worker {job.worker} is gone"
        case Stuck.SILENT:
            return f"{who}: its worker {job.worker} has been silent for {job.silence.total_seconds():.0f} s"
        case Stuck.DEADLINE:
            return f"{who}: {job.overdue.total_seconds():.0f} s past its deadline on {job.worker}"
