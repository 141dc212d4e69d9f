"""The process that works off asynchronous jobs: one loop that talks to the database, one thread for each job.

The loop claims, beats, settles and watches deadlines; handlers never do. So a handler that hangs cannot keep its job: at
the deadline the loop gives the job up, the thread is left behind, and what it still writes is refused. A process that has
gathered too many such threads ends, for its supervisor to start a fresh one.

While the queue is empty the loop sleeps in `select` on the database's socket: a notification wakes it at once, polling
is only for what a notification missed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ingestion_assets.ledger import job_queue
from ingestion_assets.ledger.async_jobs import JobKinds, JobState, JobSupersededError
from ingestion_assets.ledger.incidents import Action, Incident, Subject, record
from ingestion_assets.ledger.job_context import JobContext, SessionPool
from ingestion_assets.ledger.job_queue import ClaimedJob, Settlement
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.polling import AdaptivePolling
from ingestion_assets.ledger.sightings import Sightings
from ingestion_assets.ledger.stuck_jobs import WORKER_LOCK_CLASS, Stuck, reclaim
from ingestion_assets.logs import log_context
from resources.postgres import notify
from resources.postgres.database import Database
from resources.postgres.tables.jobs import QUEUE_CHANNEL

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger(__name__)

RECYCLE_STATUS = 75
"""Exit status (EX_TEMPFAIL) of a worker that wants to be started afresh: too many hung handlers are left in it."""
_LONGEST_RECONNECT_WAIT = 5.0
_SUPERSEDED = "superseded"
_COALESCE = 0.002
"""Seconds between waking and looking: what ends together is settled by one statement."""


@dataclass(slots=True, kw_only=True)
class _Active:
    job: ClaimedJob
    context: JobContext
    thread: threading.Thread | None = None


@dataclass(slots=True)
class WorkerStats:
    """What a worker has done since it started."""

    claimed: int = 0
    settled: dict[str, int] = field(default_factory=dict)


class Worker:
    """Works off jobs of some kinds until it is stopped. `run` belongs to one thread; `stop` may come from any."""

    def __init__(self, database: Database, kinds: JobKinds, settings: JobSettings | None = None) -> None:
        self.stats = WorkerStats()
        self._database = database
        self._kinds = kinds
        self._names = list(kinds)
        self._settings = settings or JobSettings()
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._number = 0
        self._polling = AdaptivePolling(self._settings.first_poll_seconds, self._settings.longest_poll_seconds)
        self._sessions = SessionPool(database)
        self._sightings = Sightings()
        self._active: dict[Any, _Active] = {}
        self._outcomes: list[Settlement] = []
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._connection: Connection[Any] | None = None
        self._reconnect_wait = 0.2
        self._left_behind: list[threading.Thread] = []
        self._next_look = self._next_beat = self._next_reclaim = 0.0
        self._more = True
        self._reconnected = False

    @property
    def hung_handlers(self) -> int:
        """Threads that were left behind and still run."""
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        return len(self._left_behind)

    def stop(self) -> None:
        """Claim nothing more, let handlers end for a while, and return the rest to the queue. Safe in a signal handler."""
        self._stopping.set()
        self._wake()

    def run(self, *, until_idle: bool = False, seconds: float | None = None) -> int:
        """Work until `stop`; with `until_idle` until the queue is empty, with `seconds` at most that long.

        Returns an exit status: 0, or `RECYCLE_STATUS` when hung handlers fill the process.
        """
        import psycopg

        end = None if seconds is None else time.monotonic() + seconds
        try:
            while not self._done(until_idle=until_idle, end=end):
                try:
                    self._turn()
                except psycopg.OperationalError as error:
                    self._lost_connection(error)
        finally:
            self._finish()
        return RECYCLE_STATUS if self._must_recycle() else 0

    def _done(self, *, until_idle: bool, end: float | None) -> bool:
        if self._stopping.is_set() or (end is not None and time.monotonic() > end):
            return True
        with self._mutex:
            busy = bool(self._active or self._outcomes)
        if not busy and self._must_recycle():
            log.warning("%d hung handlers are left in this process: it ends to be started afresh", self.hung_handlers)
            return True
        return until_idle and not busy and not self._more

    def _must_recycle(self) -> bool:
        return self.hung_handlers >= self._settings.concurrency

    # -- one turn of the loop ----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        connection = self._connected()
        self._settle(connection)
        now = time.monotonic()
        if self._active and now >= self._next_beat:
            self._beat(connection)
        self._watch_deadlines()
        if now >= self._next_reclaim:
            reclaim(connection, "worker", self._settings, sightings=self._sightings)
            self._next_reclaim = now + max(self._settings.missed_beats_seconds, self._polling.interval)
        if self._more or now >= self._next_look:
            self._claim(connection)
        timeout = self._timeout()
        if timeout > 0:
            self._wait(connection, timeout)

    def _connected(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            connection = self._database.connect(role="job worker", autocommit=True)
            # A new number each time: the server may still hold the lock of a connection that it has not seen break.
            # Positive, because the key is a signed 32-bit number that pg_locks shows unsigned.
            self._number = random.SystemRandom().randrange(1, 2**31)
            connection.execute(
                "SELECT set_config('statement_timeout', %(ms)s, false), set_config('lock_timeout', %(ms)s, false),"
                " pg_try_advisory_lock(%(class)s, %(number)s)",
                {
                    "ms": str(int(self._settings.beat_timeout_seconds * 1000)),
                    "class": WORKER_LOCK_CLASS,
                    "number": self._number,
                },
            )
            notify.listen(connection, QUEUE_CHANNEL)
            self._connection = connection
            self._reconnect_wait = 0.2
            # What happened while nobody listened is unknown: look, and show that the worker is alive.
            self._next_look = self._next_beat = 0.0
        return self._connection

    def _lost_connection(self, error: Exception) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        log.warning("database connection lost (%s); trying again in %.1f s", type(error).__name__, self._reconnect_wait)
        self._reconnected = True
        self._stopping.wait(self._reconnect_wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        self._reconnect_wait = min(self._reconnect_wait * 2, _LONGEST_RECONNECT_WAIT)

    def _claim(self, connection: Connection[Any]) -> None:
        slots = self._settings.concurrency - len(self._active) - self.hung_handlers
        if slots <= 0:
            return  # the next free slot looks by itself
        if not self._active:
            self._next_beat = time.monotonic() + self._settings.beat_seconds
        jobs = job_queue.claim(connection, self._names, limit=slots, worker_id=self._number, worker=self._name)
        self.stats.claimed += len(jobs)
        for job in jobs:
            self._start(job)
        self._more = len(jobs) == slots
        now = time.monotonic()
        if jobs:
            self._polling.found_work()
            self._next_look = now + self._polling.interval
        else:
            due = job_queue.seconds_until_due(connection, self._names)
            wait = self._polling.interval
            self._polling.found_nothing()
            self._sessions.close()
            # At least a moment: what is due and was not claimed is locked by somebody who is claiming it.
            self._next_look = now + (wait if due is None else min(wait, max(due, 0.2)))

    def _start(self, job: ClaimedJob) -> None:
        active = _Active(job=job, context=JobContext(job, self._database, self._sessions))
        self._active[job.token] = active
        active.thread = threading.Thread(
            target=self._work, args=(active,), name=f"job {job.kind} {job.id}", daemon=True
        )
        active.thread.start()

    def _work(self, active: _Active) -> None:
        """In the handler's thread: run it and hand its outcome to the loop."""
        job = active.job
        kind = self._kinds[job.kind]
        with log_context(job=str(job.id), kind=job.kind, attempt=job.attempt, user=job.user_id):
            log.debug("started")
            try:
                outcome = job_queue.completed(job, kind.handler(active.context))
            except JobSupersededError as error:
                log.warning("late write refused: %s", error)
                outcome = Settlement(job=job, state=JobState.PENDING, error_code=_SUPERSEDED, counts=False)
            except BaseException as error:  # whatever a handler raises ends its job, not the worker
                outcome = job_queue.settlement_of(job, kind, error, now=datetime.now(UTC))
                level = logging.INFO if not outcome.counts else logging.WARNING
                log.log(
                    level,
                    "%s: %s",
                    outcome.state.value,
                    outcome.error_detail or "returned to the queue",
                    exc_info=error if outcome.error_code == "internal" else None,
                )
            finally:
                active.context.close()
        if job.token not in self._active and outcome == job_queue.returned(job):
            return  # left behind, and stopped as it was asked to: there is nothing to tell
        with self._mutex:
            self._outcomes.append(outcome)
        self._wake()

    def _settle(self, connection: Connection[Any]) -> None:
        with self._mutex:
            outcomes = list(self._outcomes)
        if not outcomes:
            return
        settled = self._write(connection, outcomes)
        late = [item for item in outcomes if item.job.id not in settled]
        if late:
            self._refuse(connection, late)
        with self._mutex:
            del self._outcomes[: len(outcomes)]
        for item in outcomes:
            self._active.pop(item.job.token, None)
            if item.job.id in settled:
                self.stats.settled[item.state.value] = self.stats.settled.get(item.state.value, 0) + 1
        self._reconnected = False

    def _write(self, connection: Connection[Any], outcomes: Sequence[Settlement]) -> set[Any]:
        import psycopg

        try:
            return job_queue.settle(connection, outcomes)
        except (psycopg.DataError, TypeError, ValueError) as error:
            if len(outcomes) > 1:
                return {job_id for item in outcomes for job_id in self._write(connection, [item])}
            # PostgreSQL's JSON takes neither U+0000 nor half of a surrogate pair, ours neither NaN nor an object.
            [item] = outcomes
            log.exception("the result of job %s cannot be stored", item.job.id)
            broken = Settlement(
                job=item.job,
                state=JobState.FAILED,
                error_code="bad_result",
                error_message=job_queue.INTERNAL_MESSAGE,
                error_detail=job_queue.clean(f"{type(error).__name__}: {error}", 4000),
            )
            return job_queue.settle(connection, [broken])

    def _refuse(self, connection: Connection[Any], late: Sequence[Settlement]) -> None:
        """Outcomes of jobs that are no longer ours, or whose settlement was committed before its answer got lost."""
        rows = connection.execute(
            "SELECT id, attempt_token, state FROM async_jobs WHERE id = ANY(%s)", ([item.job.id for item in late],)
        ).fetchall()
        known = {row[0]: (row[1], row[2]) for row in rows}
        incidents = []
        for item in late:
            token, state = known.get(item.job.id, (None, "deleted"))
            if token == item.job.token or (self._reconnected and state == item.state.value):
                continue  # its own settlement: only the acknowledgement was lost
            detail = (
                f"attempt {item.job.attempt} of {item.job.kind} ended as {item.state.value} too late: it is {state}"
            )
            incidents.append(
                Incident(
                    subject_type=Subject.ASYNC_JOB,
                    subject=str(item.job.id),
                    reason="late_write" if item.error_code == _SUPERSEDED else "late_outcome",
                    action=Action.REFUSED,
                    detail=detail,
                )
            )
        with connection.transaction():
            record(connection, "worker", incidents)

    def _beat(self, connection: Connection[Any]) -> None:
        answer = job_queue.beat(connection, list(self._active))
        self._next_beat = time.monotonic() + self._settings.beat_seconds
        with self._mutex:
            ended = {item.job.token for item in self._outcomes}
        for token, active in list(self._active.items()):
            if token in answer.cancelled:
                active.context.stop_requested.set()
            elif token not in answer.mine and token not in ended:
                log.warning("job %s was taken away from this worker", active.job.id)
                self._leave_behind(token)

    def _watch_deadlines(self) -> None:
        with self._mutex:
            ended = {item.job.token for item in self._outcomes}
        for token, active in list(self._active.items()):
            if active.context.seconds_left > 0 or token in ended:
                continue
            job = active.job
            log.warning("job %s (%s) passed its deadline of %.0f s", job.id, job.kind, job.timeout)
            self._leave_behind(token)
            outcome = job_queue.attempt_failed(
                job,
                self._kinds[job.kind],
                code=Stuck.DEADLINE.value,
                message=Stuck.DEADLINE.message,
                detail=f"attempt {job.attempt} took longer than {job.timeout:g} s",
            )
            with self._mutex:
                self._outcomes.append(outcome)

    def _leave_behind(self, token: Any) -> None:
        active = self._active.pop(token)
        active.context.stop_requested.set()
        if active.thread is not None:
            self._left_behind.append(active.thread)

    # -- waiting -----------------------------------------------------------------------------------------------------------

    def _timeout(self) -> float:
        """Seconds until something has to be done without being told."""
        with self._mutex:
            if self._outcomes:
                return 0.0
        now = time.monotonic()
        free = self._settings.concurrency - len(self._active) - self.hung_handlers > 0
        if free and self._more:
            return 0.0
        times = [self._next_reclaim]
        if free:
            times.append(self._next_look)
        if self._active:
            times.append(self._next_beat)
            times.append(min(active.context.deadline for active in self._active.values()))
        return max(0.0, min(times) - now)

    def _wait(self, connection: Connection[Any], timeout: float) -> None:
        if notify.wait(connection, timeout=timeout, wake=[self._wake_reader.fileno()]):
            self._more = True
        with contextlib.suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                continue
        time.sleep(_COALESCE)

    def _wake(self) -> None:
        # Full: the loop is being woken already. Closed: it is over.
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake_writer.send(b"x")

    # -- the end -----------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Let handlers end, return what is left to the queue, close the connection."""
        import psycopg

        for active in self._active.values():
            active.context.stop_requested.set()
        deadline = time.monotonic() + self._settings.grace_seconds
        for active in list(self._active.values()):
            if active.thread is not None:
                active.thread.join(max(0.0, deadline - time.monotonic()))
        with self._mutex:
            ended = {item.job.token for item in self._outcomes}
            self._outcomes += [
                job_queue.returned(active.job) for token, active in self._active.items() if token not in ended
            ]
        for token in [token for token in self._active if token not in ended]:
            self._leave_behind(token)
        for _ in range(2):
            try:
                self._settle(self._connected())
                break
            except psycopg.OperationalError as error:
                # Gone for good: the lock goes with the connection, and whoever reclaims sees at once that we are gone.
                self._lost_connection(error)
        if self._connection is not None:
            self._connection.close()
        self._sessions.close()
        self._wake_reader.close()
        self._wake_writer.close()
