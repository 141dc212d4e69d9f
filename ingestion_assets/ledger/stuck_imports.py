"""Imports that stay RUNNING although nobody works on them, or nothing comes of it.

Before this, an import whose process was killed stayed RUNNING until the next import of its source took it over, and one
that hung stayed so for ever. Closing a row also takes the right to write from whoever still holds its token.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ingestion_assets.ledger.import_jobs import close_import, session_role
from ingestion_assets.ledger.incidents import Action, Incident, Subject, record
from ingestion_assets.ledger.sightings import BY_HAND, Sightings
from ingestion_assets.ledger.uptime import ANSWERS_SINCE
from resources.postgres.database import Database, application_name

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger(__name__)

LOCK_TIMEOUT = "2s"
"""A worker that was stopped in the middle of a transaction holds its row; others are not kept waiting for it."""
A_PAGE = timedelta(minutes=10)
"""An import that its machine has kept asleep is given this long for its next page."""


class StuckReason(StrEnum):
    """Why an import is closed. Kept as the row's `error_code`."""

    RUN_GONE = "run_gone"
    WORKER_GONE = "worker_gone"
    NO_HEARTBEAT = "no_heartbeat"
    NO_PROGRESS = "no_progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long an import may be quiet."""

    silence: timedelta = timedelta(seconds=30)
    """Without a heartbeat."""
    missed_beats: timedelta = timedelta(seconds=10)
    """Without a heartbeat and without its worker's lock."""
    no_progress: timedelta = timedelta(hours=1)
    """Without a committed page, however well it beats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningImport:
    """An import as its ledger row shows it, on the database's clock."""

    job_id: int
    source: str
    run_id: str
    token: uuid.UUID
    silence: timedelta
    stalled: timedelta
    """Since the last committed page."""
    locked: bool
    """Its worker's session lock is held."""
    same_beat: timedelta = BY_HAND
    same_page: timedelta = BY_HAND
    """For how long the watcher has itself seen this heartbeat, and this page as the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckImport:
    """An import to close, and why."""

    job: RunningImport
    reason: StuckReason

    def __str__(self) -> str:
        job = self.job
        match self.reason:
            case StuckReason.RUN_GONE:
                what = f"its run {job.run_id} is over"
            case StuckReason.WORKER_GONE:
                what = "its worker is gone"
            case StuckReason.NO_HEARTBEAT:
                what = f"no heartbeat for {job.silence.total_seconds():.0f} s"
            case StuckReason.NO_PROGRESS:
                what = f"no page committed for {job.stalled.total_seconds() / 60:.0f} minutes"
        return f"import job {job.job_id} of {job.source}: {what}"


def why_stuck(job: RunningImport, *, run_finished: bool | None, limits: Limits) -> StuckReason | None:
    """Why an import should be closed; None while all is well.

    `run_finished=None` means that Dagster could not be asked: then the run is no reason.
    """
    if not job.locked and job.silence > limits.missed_beats:
        return StuckReason.WORKER_GONE
    if job.silence > limits.silence and job.same_beat >= limits.missed_beats:
        return StuckReason.NO_HEARTBEAT
    if run_finished:
        return StuckReason.RUN_GONE
    if job.stalled > limits.no_progress and job.same_page >= min(limits.no_progress, A_PAGE):
        return StuckReason.NO_PROGRESS
    return None


def stuck_imports(
    jobs: Iterable[RunningImport], *, run_finished: Callable[[str], bool | None], limits: Limits
) -> list[StuckImport]:
    """The imports to close, each with its reason."""
    return [
        StuckImport(job=job, reason=reason)
        for job in jobs
        if (reason := why_stuck(job, run_finished=run_finished(job.run_id), limits=limits)) is not None
    ]


def running_imports(
    connection: Connection[Any], *, sightings: Sightings | None = None, limit: int = 200
) -> list[RunningImport]:
    """All imports that are RUNNING by the ledger. `sightings` are of a watcher that looks again and again."""
    # The first half of the token names the session lock, as in import_jobs.
    rows = connection.execute(
        f"SELECT id, source, run_id, attempt_token, clock_timestamp() - greatest(heartbeat_at, {ANSWERS_SINCE}),"  # noqa: S608
        " clock_timestamp() - progress_at,"
        " pg_try_advisory_xact_lock(('x' || left(replace(attempt_token::text, '-', ''), 16))::bit(64)::bigint),"
        " heartbeat_at, progress_at FROM import_jobs WHERE status = 'RUNNING' ORDER BY id LIMIT %s",
        (limit,),
    ).fetchall()
    watched = {}
    if sightings is not None:
        watched = sightings.unchanged(
            {(row[3], "beat"): row[7] for row in rows} | {(row[3], "page"): row[8] for row in rows}
        )
    return [
        RunningImport(
            job_id=row[0],
            source=row[1],
            run_id=row[2],
            token=row[3],
            silence=row[4],
            stalled=row[5],
            locked=not row[6],
            same_beat=watched.get((row[3], "beat"), BY_HAND),
            same_page=watched.get((row[3], "page"), BY_HAND),
        )
        for row in rows
    ]


def close_stuck(
    database: Database,
    watcher: str,
    stuck: Iterable[StuckImport],
    *,
    evict_after: timedelta = timedelta(seconds=10),
) -> list[StuckImport]:
    """Close these imports as ERROR and record each. Returns those that were still running with the same attempt.

    Each in a transaction of its own, so that one that is locked does not hold back the others. A session of the stuck
    worker that has kept its row locked for `evict_after` is ended. Safe to repeat.
    """
    from psycopg.errors import LockNotAvailable

    closed = []
    with database.connect(role="stuck imports", autocommit=True) as connection:
        for item in stuck:
            for last in (False, True):
                try:
                    with connection.transaction():
                        if _close(connection, watcher, item):
                            closed.append(item)
                    break
                except LockNotAvailable:
                    if last:
                        log.warning("%s stays locked; it is tried again at the next look", item)
                    else:
                        _evict(connection, item.job, evict_after)
    return closed


def _close(connection: Connection[Any], watcher: str, item: StuckImport) -> bool:
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
    job = item.job
    # Still as silent as it was seen: a worker that was paused may have come back since.
    beating = connection.execute(
        "SELECT heartbeat_at > clock_timestamp() - %s FROM import_jobs WHERE id = %s FOR UPDATE",
        (job.silence, job.job_id),
    ).fetchone()
    if beating is None or (beating[0] and item.reason in {StuckReason.NO_HEARTBEAT, StuckReason.WORKER_GONE}):
        return False
    if not close_import(connection, job.job_id, code=item.reason.value, text=f"Closed: {item}.", token=job.token):
        return False
    record(
        connection,
        watcher,
        [
            Incident(
                subject_type=Subject.IMPORT_JOB,
                subject=f"{job.source}:{job.job_id}",
                reason=item.reason.value,
                action=Action.CLOSED,
                detail=str(item),
            )
        ],
    )
    return True


def _evict(connection: Connection[Any], job: RunningImport, after: timedelta) -> None:
    """End the session of a worker that was stopped in a transaction, so that its row can be closed."""
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = %s AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - %s",
        (application_name(session_role(job.source, job.run_id)), after),
    ).rowcount
    log.warning("%s: its row is locked; ended %d sessions that a stuck worker left in a transaction", job.source, ended)


def close_imports_of_run(
    connection: Connection[Any], run_id: str, *, code: str, text: str, watcher: str = "run_outcomes"
) -> list[str]:
    """Close what a run that is over left RUNNING. The sources that were closed; none when all is in order."""
    rows = connection.execute(
        "SELECT id, source FROM import_jobs WHERE run_id = %s AND status = 'RUNNING'", (run_id,)
    ).fetchall()
    closed = []
    for job_id, source in rows:
        if not close_import(connection, job_id, code=code, text=text):
            continue
        closed.append(source)
        incident = Incident(
            subject_type=Subject.IMPORT_JOB,
            subject=f"{source}:{job_id}",
            reason=code,
            action=Action.CLOSED,
            detail=f"import job {job_id} of {source} was open when its run {run_id} ended: {text[:500]}",
        )
        record(connection, watcher, [incident])
    return closed
