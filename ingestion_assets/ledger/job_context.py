"""What a handler of an asynchronous job is given: its arguments, a fenced way to write, and the wish that it stop."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ingestion_assets.ledger.async_jobs import JobStoppedError, JobSupersededError
from resources.postgres.database import Database, Session

if TYPE_CHECKING:
    from psycopg import Connection

    from ingestion_assets.ledger.job_queue import ClaimedJob

T = TypeVar("T")


class _CommittedAlreadyError(Exception):
    """The transaction of a lost connection was still committing when its work began again; this one is rolled back."""


class SessionPool:
    """Database sessions that the handlers of one worker use one after the other: connecting costs more than most jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free: list[Session] = []
        self._mutex = threading.Lock()

    def take(self) -> Session:
        """A session that nobody else has; a new one when none is free."""
        with self._mutex:
            return self._free.pop() if self._free else self._database.session(role="job handler")

    def give(self, session: Session) -> None:
        """Let the next one have it. Only between transactions, which is where `Session.transact` leaves it."""
        with self._mutex:
            self._free.append(session)

    def close(self) -> None:
        """Close the connections that nobody has now."""
        with self._mutex:
            free, self._free = self._free, []
        for session in free:
            session.close()


class JobContext:
    """One attempt of one job, from its handler's side. For the handler's thread alone."""

    def __init__(self, job: ClaimedJob, database: Database, sessions: SessionPool) -> None:
        self.database = database
        self.deadline = time.monotonic() + job.timeout
        self.stop_requested = threading.Event()
        """Set when the job was cancelled, hit its deadline, was lost, or when the worker shuts down."""
        self._job = job
        self._sessions = sessions
        self._session: Session | None = None
        self._commits = 0

    @property
    def job_id(self) -> uuid.UUID:
        """The job, the same in every attempt: what handlers key their writes by."""
        return self._job.id

    @property
    def kind(self) -> str:
        """Name of the job's kind."""
        return self._job.kind

    @property
    def user_id(self) -> str | None:
        """Whose job it is; None is the platform's own."""
        return self._job.user_id

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What was asked for, as JSON."""
        return self._job.arguments

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._job.attempt

    @property
    def seconds_left(self) -> float:
        """Until the deadline; negative past it."""
        return self.deadline - time.monotonic()

    def check(self) -> None:
        """Raise `JobStoppedError` when the handler should stop. Call it where stopping is safe."""
        if self.stop_requested.is_set():
            raise JobStoppedError(f"job {self.job_id} was asked to stop")

    def wait(self, seconds: float) -> None:
        """Sleep, and stop sleeping to raise `JobStoppedError` when the handler should stop."""
        self.stop_requested.wait(seconds)
        self.check()

    def commit(self, work: Callable[[Connection[Any]], T]) -> T:
        """Run `work` in a transaction that only the current attempt may commit, exactly once; what it returned there.

        When the connection broke, `work` runs again unless its commit is found in the ledger: then only the
        acknowledgement was lost. Raises `JobSupersededError` when the job was reclaimed or deleted.
        """
        sequence = self._commits + 1
        mine = {"id": self._job.id, "token": self._job.token, "n": sequence}
        # Of the try that came to its end last: no other one can be the committed one.
        results: list[T] = []

        def guarded(connection: Connection[Any]) -> None:
            # Again, on a new connection: the transaction before may have been committed, only nobody heard of it.
            if results and self._committed(connection) >= sequence:
                return
            result = work(connection)
            # The check that counts. It locks the row for the rest of a transaction that is about to commit, not while
            # `work` runs: the worker beats on this row, and others must be able to take it away.
            counted = connection.execute(
                "UPDATE async_jobs SET commits = %(n)s WHERE id = %(id)s AND attempt_token = %(token)s"
                " AND state = 'running' AND commits < %(n)s",
                mine,
            )
            if counted.rowcount == 0:
                self._committed(connection)
                raise _CommittedAlreadyError
            results.append(result)

        if self._session is None:
            self._session = self._sessions.take()
        with contextlib.suppress(_CommittedAlreadyError):
            self._session.transact(guarded)
        self._commits = sequence
        return results[-1]

    def _committed(self, connection: Connection[Any]) -> int:
        row = connection.execute(
            "SELECT commits FROM async_jobs WHERE id = %s AND attempt_token = %s AND state = 'running'",
            (self._job.id, self._job.token),
        ).fetchone()
        if row is None:
            raise JobSupersededError(f"attempt {self.attempt} of job {self.job_id} was superseded: write refused")
        return int(row[0])

    def report(self, progress: Mapping[str, Any]) -> None:
        """Say how far the job is; shown to its user. Replaces what was said before."""
        from psycopg.types.json import Jsonb

        self.commit(
            lambda connection: connection.execute(
                "UPDATE async_jobs SET progress = %s WHERE id = %s", (Jsonb(dict(progress)), self._job.id)
            )
        )

    def close(self) -> None:
        """Give the database session back. The handler is done, in whatever way."""
        if self._session is not None:
            self._sessions.give(self._session)
            self._session = None
