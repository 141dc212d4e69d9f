"""One import of one source, or of some weeks of it: who may write, how far it is, how it ended.

A step opens the job of its run and holds an attempt token. Every transaction that writes goes through `ImportJob.commit`:
it locks the ledger row against a takeover and refuses a writer whose token was taken over, so a killed run that lives
on, or one that was paused and comes back, cannot add a row. Dagster's pools keep two imports of a source apart most of
the time; after a kill they do not, which is why the token exists.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ingestion_assets.ledger.sightings import BY_HAND, Sightings
from ingestion_assets.ledger.uptime import ANSWERS_SINCE
from resources.errors import TransientError
from resources.postgres.database import Database, Session, application_name

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")
log = logging.getLogger(__name__)

BEAT_EVERY = 5.0
"""Seconds between two heartbeats."""
LEASE = timedelta(seconds=30)
"""A worker that has not beaten for this long is dead, even if its connection lives (paused, hung)."""
MISSED_BEATS = timedelta(seconds=10)
"""A worker without its session lock is dead after two missed beats: a restarted server drops the locks of the living
too, and they take them again with the next beat."""
LOCK_PATIENCE = 5.0
"""Seconds that a claim waits for a lock of the import that it replaces, before it looks who holds it."""
BY_WEEKS = frozenset({"deduplicated_events"})
"""What several jobs may work on at once, each on weeks of its own; of everything else one job is RUNNING at most. The
database holds both rules, and names these too (`resources/postgres/tables/ledger.py`)."""


class AttemptSupersededError(Exception):
    """Another attempt has taken over; this write was refused. Never retried: the other one does the work."""


class ImportBusyError(TransientError):
    """A live import of the same source is under way."""


class _CommittedAlreadyError(Exception):
    """The lost connection's transaction was still committing when its work began again; this one is rolled back."""


@dataclass(frozen=True, slots=True)
class RunningImport:
    """What is known of the import that stands in the way of a new one."""

    job_id: int
    run_id: str
    silence: timedelta
    locked: bool
    same_beat: timedelta = BY_HAND
    """For how long the new import has itself seen this heartbeat as the last one."""


def is_dead(job: RunningImport, *, run_finished: bool | None) -> str | None:
    """Why a RUNNING import may be taken over, or None while its worker may be alive.

    `run_finished` is what Dagster says of its run; None means that it could not be asked, which proves nothing.
    """
    if run_finished:
        return "its run has finished"
    if job.silence > LEASE and job.same_beat >= MISSED_BEATS:
        return f"no heartbeat for {job.silence.total_seconds():.0f} s"
    if not job.locked and job.silence > MISSED_BEATS:
        return "its worker is gone"
    return None


class ImportJob:
    """The open job of one step. Use as a context manager: leaving it closes the ledger row, whatever happened."""

    def __init__(
        self,
        database: Database,
        *,
        source: str,
        run_id: str,
        partition_start: date | None = None,
        partition_end: date | None = None,
        earlier_runs: Collection[str] = (),
        run_finished: Callable[[str], bool | None] = lambda _run_id: None,
        wait: float = 60.0,
    ) -> None:
        """`earlier_runs` are the runs that this one retries: their imports are taken over at once.

        `wait` is how many seconds a live import of the same source, or of some of the same weeks where those are
        apart (`BY_WEEKS`), is waited for before `ImportBusyError`.
        """
        self.database = database
        self.source = source
        self.run_id = run_id
        self.partition_start = partition_start
        self.partition_end = partition_end
        self.token = uuid.uuid4()
        self.job_id = 0
        self.attempt = 0
        self.session: Session = database.session(role=session_role(source, run_id))
        self.took_over: list[str] = []
        """The runs whose dead imports this one closed."""
        self._committed = 0
        self._earlier_runs = frozenset(earlier_runs)
        self._run_finished = run_finished
        self._wait = wait
        self._sightings = Sightings()
        self._heart = _Heart(database, self)

    def __enter__(self) -> Self:
        self._heart.start()
        try:
            self._claim()
        except BaseException:
            self._heart.stop()
            self.session.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heart.stop()
        try:
            if isinstance(error, AttemptSupersededError):
                self.session.transact(self._count_refusal)
            elif error is not None:
                self.session.transact(lambda connection: self._close(connection, error))
        finally:
            self.session.close()

    def commit(self, work: Callable[[Connection[Any]], T]) -> T:
        """Run `work` in a transaction that only the current attempt may commit, exactly once; what it returned there.

        When the connection broke, `work` runs again unless its commit is found in the ledger: then only the
        acknowledgement was lost. Raises `AttemptSupersededError` when the attempt was taken over; a takeover waits for
        the ledger row, so the transaction is either committed before it or refused.
        """
        sequence = self._committed + 1
        # Of the try that came to its end last: no other one can be the committed one.
        results: list[T] = []

        def guarded(connection: Connection[Any]) -> None:
            # KEY SHARE keeps a takeover out (it takes FOR UPDATE) and lets the heart beat however long `work` takes.
            row = connection.execute(
                "SELECT pages, status FROM import_jobs WHERE id = %s AND attempt_token = %s FOR KEY SHARE",
                (self.job_id, self.token),
            ).fetchone()
            if row is not None and row[0] >= sequence:
                return
            if row is None or row[1] != "RUNNING":
                raise AttemptSupersededError(
                    f"attempt {self.attempt} of import job {self.job_id} ({self.source}) was taken over: write refused"
                )
            result = work(connection)
            # now() is when the transaction began: a beat in the past would make a long transaction look dead.
            counted = connection.execute(
                "UPDATE import_jobs SET pages = %(n)s, progress_at = clock_timestamp(), heartbeat_at = clock_timestamp()"
                " WHERE id = %(id)s AND pages < %(n)s",
                {"id": self.job_id, "n": sequence},
            )
            if counted.rowcount == 0:
                raise _CommittedAlreadyError
            results.append(result)

        with contextlib.suppress(_CommittedAlreadyError):
            self.session.transact(guarded)
        self._committed = sequence
        return results[-1]

    def succeed(self, connection: Connection[Any]) -> None:
        """Close the row as SUCCESS, within a transaction of `commit`."""
        connection.execute(
            "UPDATE import_jobs SET status = 'SUCCESS', finished_at = now(), progress_at = now(), error_code = NULL,"
            " error_text = NULL WHERE id = %s AND attempt_token = %s",
            (self.job_id, self.token),
        )

    # -- claim -------------------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        from psycopg.errors import LockNotAvailable

        deadline = time.monotonic() + self._wait
        while True:
            try:
                obstacle = self.session.transact(self._try_claim)
            except LockNotAvailable:
                self.session.transact(self._evict)
                if time.monotonic() < deadline:
                    continue
                raise ImportBusyError(
                    f"the ledger row of {self.source} stays locked. Look for a session that is idle in a transaction.",
                    retry_after=LEASE.total_seconds(),
                ) from None
            if obstacle is None:
                return
            if time.monotonic() > deadline:
                raise ImportBusyError(
                    f"{self.source} is being imported by run {obstacle.run_id} (job {obstacle.job_id}), alive. "
                    "Wait for it, or cancel that run.",
                    retry_after=LEASE.total_seconds(),
                )
            time.sleep(min(1.0, self._wait))

    def _try_claim(self, connection: Connection[Any]) -> RunningImport | None:
        """Take the source, or say what stands in the way. Claims of one source queue on an advisory lock."""
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_PATIENCE * 1000:.0f}",))
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (self._claim_lock,))
        mine = connection.execute(
            "SELECT id, attempt_token FROM import_jobs WHERE source = %s AND run_id = %s FOR UPDATE",
            (self.source, self.run_id),
        ).fetchone()
        if mine is not None and mine[1] == self.token:  # claimed already; only the acknowledgement was lost
            return None
        others = self._running_imports(connection)
        for other in others:
            reason = "taken over by its retry" if other.run_id in self._earlier_runs else None
            reason = reason or is_dead(other, run_finished=self._run_finished(other.run_id))
            if reason is None:
                return other
            log.warning("closing import job %d of %s: %s", other.job_id, self.source, reason)
            close_import(connection, other.job_id, code="superseded", text=f"closed by run {self.run_id}: {reason}")
        self.took_over = [other.run_id for other in others]
        if mine is None:
            row = connection.execute(
                "INSERT INTO import_jobs (source, status, run_id, attempt_token, partition_start, partition_end)"
                " VALUES (%s, 'RUNNING', %s, %s, %s, %s) RETURNING id, attempt",
                (self.source, self.run_id, self.token, self.partition_start, self.partition_end),
            ).fetchone()
        else:
            row = self._reopen(connection, mine[0])
        assert row is not None, "INSERT and UPDATE of a locked row return it"  # noqa: S101
        self.job_id, self.attempt = row
        return None

    def _evict(self, connection: Connection[Any]) -> None:
        """End the sessions of dead workers that were stopped in the middle of a transaction and still hold the row, or
        the lock of a claim.
        """
        runs = [self.run_id, *(other.run_id for other in self._running_imports(connection))]
        rows = connection.execute(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity a WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - %s AND (application_name = ANY(%s)"
            " OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND locktype = 'advisory' AND granted"
            " AND (classid::bigint << 32) | objid::bigint = hashtextextended(%s, 0) AND objsubid = 1))",
            (MISSED_BEATS, [application_name(session_role(self.source, run)) for run in runs], self._claim_lock),
        ).fetchall()
        log.warning("ended %d database sessions that a dead worker of %s left in a transaction", len(rows), self.source)

    @property
    def _claim_lock(self) -> str:
        return f"import {self.source}"

    def _running_imports(self, connection: Connection[Any]) -> list[RunningImport]:
        """What other runs have RUNNING that leaves no room for this import."""
        rows = connection.execute(
            f"SELECT id, run_id, clock_timestamp() - greatest(heartbeat_at, {ANSWERS_SINCE}), attempt_token, heartbeat_at"  # noqa: S608
            " FROM import_jobs WHERE source = %(source)s AND status = 'RUNNING' AND run_id <> %(run)s"
            " AND (NOT %(by_weeks)s OR daterange(partition_start, partition_end, '[]')"
            " && daterange(%(first)s, %(last)s, '[]')) ORDER BY id",
            {
                "source": self.source,
                "run": self.run_id,
                "by_weeks": self.source in BY_WEEKS,
                "first": self.partition_start,
                "last": self.partition_end,
            },
        ).fetchall()
        same_beat = self._sightings.unchanged({row[3]: row[4] for row in rows})
        found = []
        for job_id, run_id, silence, token, _ in rows:
            free = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_lock_key(token),)).fetchone()
            locked = not (free and free[0])
            found.append(
                RunningImport(job_id=job_id, run_id=run_id, silence=silence, locked=locked, same_beat=same_beat[token])
            )
        return found

    def _reopen(self, connection: Connection[Any], job_id: int) -> tuple[Any, ...] | None:
        """A retry within the same run goes on with its job: what was created or updated stays counted, while what was
        skipped or rejected is counted anew, because the retry fetches it again.
        """
        connection.execute("DELETE FROM rejected_records WHERE job_id = %s", (job_id,))
        connection.execute(
            "UPDATE import_job_partitions SET nb_skipped = 0, nb_errors = 0 WHERE job_id = %s", (job_id,)
        )
        return connection.execute(
            "UPDATE import_jobs SET status = 'RUNNING', attempt = attempt + 1, attempt_token = %s, finished_at = NULL,"
            " heartbeat_at = now(), progress_at = now(), pages = 0, nb_skipped = 0, nb_errors = 0, errors = '{}',"
            " warnings = '[]', error_code = NULL, error_text = NULL WHERE id = %s RETURNING id, attempt",
            (self.token, job_id),
        ).fetchone()

    # -- close -------------------------------------------------------------------------------------------------------

    def _close(self, connection: Connection[Any], error: BaseException) -> None:
        from resources.redaction import redact

        code = "cancelled" if not isinstance(error, Exception) else type(error).__name__
        close_import(connection, self.job_id, code=code, text=redact(str(error)) or code, token=self.token)

    def _count_refusal(self, connection: Connection[Any]) -> None:
        log.warning(
            "late write refused: attempt %d of import job %d (%s) is no longer the current one",
            self.attempt,
            self.job_id,
            self.source,
        )
        connection.execute("UPDATE import_jobs SET nb_refused = nb_refused + 1 WHERE id = %s", (self.job_id,))


def close_import(
    connection: Connection[Any], job_id: int, *, code: str, text: str, token: uuid.UUID | None = None
) -> bool:
    """Close a RUNNING import as ERROR; `token` limits it to one attempt. False when it was closed already.

    Waits for the transaction that its worker is in: that one is committed before the row closes, every later one refused.
    """
    connection.execute("SELECT FROM import_jobs WHERE id = %s FOR UPDATE", (job_id,))
    return (
        connection.execute(
            "UPDATE import_jobs SET status = 'ERROR', finished_at = now(), error_code = %(code)s, error_text = %(text)s"
            " WHERE id = %(id)s AND status = 'RUNNING' AND attempt_token = coalesce(%(token)s, attempt_token)",
            {"id": job_id, "code": code, "text": text[:4000], "token": token},
        ).rowcount
        == 1
    )


def session_role(source: str, run_id: str) -> str:
    """The role of a job's connection: an operator, and whoever ends the session of a dead worker, sees whose it is."""
    return f"import {source} {run_id[:8]}"


def end_silent_sessions(connection: Connection[Any], source: str) -> int:
    """End what jobs of a source that do not beat any more left in a transaction; how many sessions that were.

    For those who wait for a lock of such a job: a process that was stopped, or hangs, keeps its locks for ever.
    """
    silent = connection.execute(
        "SELECT run_id FROM import_jobs WHERE source = %s AND status = 'RUNNING'"  # noqa: S608
        f" AND clock_timestamp() - greatest(heartbeat_at, {ANSWERS_SINCE}) > %s",
        (source, LEASE),
    ).fetchall()
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = ANY(%s) AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - %s",
        ([application_name(session_role(source, run_id)) for (run_id,) in silent], MISSED_BEATS),
    ).rowcount
    if ended:
        log.warning("ended %d sessions that silent workers of %s left in a transaction", ended, source)
    return ended


def _lock_key(token: uuid.UUID) -> int:
    """The advisory lock that says that the holder of `token` has a live connection."""
    return int.from_bytes(token.bytes[:8], signed=True)


class _Heart(threading.Thread):
    """Beats in the ledger while the step works, and holds the session lock that vanishes with its process."""

    def __init__(self, database: Database, job: ImportJob) -> None:
        super().__init__(name=f"heartbeat {job.source}", daemon=True)
        self._database = database
        self._job = job
        self._stopped = threading.Event()
        self._ready = threading.Event()

    def start(self) -> None:
        super().start()
        # The claim must not be seen without its lock; a server that is away is the claim's business, not ours.
        self._ready.wait(timeout=15)

    def stop(self) -> None:
        self._stopped.set()
        self.join(timeout=15)

    def run(self) -> None:
        import psycopg

        session = self._database.session(role=f"heartbeat {self._job.source}")
        held: Connection[Any] | None = None
        while not self._stopped.is_set():
            try:
                connection = session.connection()
                connection.autocommit = True
                # Not waited for: the server may keep it for a connection that only we know to be lost, and to be silent
                # so long is to be dead. Somebody holds it then, which is all it says; the next beat tries again.
                if connection is not held and self._lock(connection):
                    held = connection
                    self._ready.set()
                connection.execute(
                    "UPDATE import_jobs SET heartbeat_at = now() WHERE id = %s AND attempt_token = %s",
                    (self._job.job_id, self._job.token),
                )
            except psycopg.Error as error:
                # The database is away; the next beat connects again. The writer has its own patience.
                log.debug("heartbeat of %s missed: %s", self._job.source, type(error).__name__)
                session.close()
                held = None
            self._stopped.wait(BEAT_EVERY)
        with contextlib.suppress(psycopg.Error):  # the server frees the lock with the connection in any case
            session.close()

    def _lock(self, connection: Connection[Any]) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_lock_key(self._job.token),)).fetchone()
        return bool(row and row[0])
