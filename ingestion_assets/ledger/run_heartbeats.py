"""The pulse of a Dagster run: which process serves it, and whether that process lives.

Dagster's default launcher cannot say: a run whose worker and code server died together stays STARTED until its
`dagster/max_runtime`. So the process that serves a run beats for it and holds a session lock that vanishes with it.

The other direction matters as much. A run that was ended from outside (timeout, cancellation, taken for dead) is only
marked by Dagster; a step that swallows the interrupt works on, beside its own retry. So the pulse also looks whether its
run is over, and then ends its own process: first by an interrupt, then for certain.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ingestion_assets.ledger.sightings import BY_HAND, Sightings
from ingestion_assets.ledger.uptime import ANSWERS_SINCE
from resources.postgres.database import Database

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger(__name__)

BEAT_EVERY = 5.0
"""Seconds between two beats."""
LEASE = timedelta(seconds=30)
"""Silence after which the process is dead even if its connection lives (paused, cut off)."""
MISSED_BEATS = timedelta(seconds=10)
"""Silence after which a process without its lock is dead; a restarted server drops the locks of the living too."""
INTERRUPT_AFTER = 10.0
KILL_AFTER = 30.0
"""Seconds after the end of its run at which a process that still serves it is interrupted, and killed."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is known of the process that serves a run, on the database's clock."""

    run_id: str
    process: str
    silence: timedelta
    """Since the last beat, or since the start of the server when that is later."""
    locked: bool
    same_beat: timedelta = BY_HAND
    """For how long the watcher has itself seen this beat as the last one."""

    def why_dead(self) -> str | None:
        """Why the process is dead, or None while it may be alive."""
        if self.silence > LEASE and self.same_beat >= MISSED_BEATS:
            return f"its process {self.process} has been silent for {self.silence.total_seconds():.0f} s"
        if not self.locked and self.silence > MISSED_BEATS:
            return f"its process {self.process} is gone"
        return None


def read_pulses(
    connection: Connection[Any], run_ids: Collection[str], *, sightings: Sightings | None = None
) -> Mapping[str, Pulse]:
    """The pulses of these runs, by run. A run that nobody serves, or that has ended properly, has none.

    `sightings` are of a watcher that looks again and again.
    """
    rows = connection.execute(
        f"SELECT run_id, process, clock_timestamp() - greatest(beat_at, {ANSWERS_SINCE}),"  # noqa: S608
        " pg_try_advisory_xact_lock(hashtextextended(token::text, 0)), token, beat_at"
        " FROM run_heartbeats WHERE run_id = ANY(%s)",
        (list(run_ids),),
    ).fetchall()
    watched = sightings.unchanged({row[4]: row[5] for row in rows}) if sightings is not None else {}
    return {
        row[0]: Pulse(row[0], row[1], row[2], locked=not row[3], same_beat=watched.get(row[4], BY_HAND)) for row in rows
    }


@contextmanager
def serving(
    database: Database,
    run_id: str,
    *,
    run_is_over: Callable[[], bool | None],
    end_process: Callable[[str], None] | None = None,
    beat_every: float = BEAT_EVERY,
) -> Iterator[None]:
    """Beat for a run that this process executes, for as long as the context lasts.

    `run_is_over` asks Dagster; None means that it could not be asked. When the run is over while the context lasts,
    the process is ended by `end_process`, which is given the stage: `interrupt`, later `kill`.
    """
    heart = _Heart(database, run_id, run_is_over, end_process or end_this_process, beat_every)
    heart.start()
    try:
        yield
    finally:
        heart.stop()


def end_this_process(stage: str) -> None:
    """Interrupt the main thread, or kill the process where that was of no use."""
    if stage == "interrupt":
        # A real signal, to the thread that runs steps: it also ends a wait inside the operating system.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


class _Heart(threading.Thread):
    """Beats until it is stopped. Its connection is its own: the work may hold the others for long."""

    def __init__(
        self,
        database: Database,
        run_id: str,
        run_is_over: Callable[[], bool | None],
        end_process: Callable[[str], None],
        beat_every: float,
    ) -> None:
        super().__init__(name=f"heartbeat of run {run_id}", daemon=True)
        self._database = database
        self._run_id = run_id
        self._run_is_over = run_is_over
        self._end_process = end_process
        self._beat_every = beat_every
        self._token = uuid.uuid4()
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._stopped = threading.Event()
        self._ready = threading.Event()
        self._over_since: float | None = None
        self._interrupted = False
        self._locked = False

    def start(self) -> None:
        super().start()
        # So that a run is not seen without a pulse; a server that is away is not waited for.
        self._ready.wait(timeout=15)

    def stop(self) -> None:
        self._stopped.set()
        self.join(timeout=15)

    def run(self) -> None:
        import psycopg

        connection: Connection[Any] | None = None
        while not self._stopped.is_set():
            try:
                if connection is None:
                    connection = self._connect()
                    self._ready.set()
                self._beat(connection)
            except psycopg.Error as error:
                log.debug("heartbeat of run %s missed: %s", self._run_id, type(error).__name__)
                if connection is not None:
                    connection.close()
                connection = None
            self._watch()
            self._stopped.wait(self._beat_every)
        with contextlib.suppress(psycopg.Error):  # when the server is away, the row stays and its pulse says dead
            connection = connection or self._connect()
            connection.execute("DELETE FROM run_heartbeats WHERE run_id = %s AND token = %s", self._mine)
            connection.close()

    @property
    def _mine(self) -> tuple[str, uuid.UUID]:
        return self._run_id, self._token

    def _connect(self) -> Connection[Any]:
        connection = self._database.connect(role="run heartbeat", autocommit=True)
        # One transaction: the row must not be seen without its lock. A lock that a broken connection of ours still
        # holds on the server is no reason to wait: somebody holds it, which is all it says, and each beat tries again.
        with connection.transaction():
            self._locked = self._lock(connection)
            connection.execute(
                "INSERT INTO run_heartbeats (run_id, token, process) VALUES (%s, %s, %s) ON CONFLICT (run_id) DO UPDATE"
                " SET token = EXCLUDED.token, process = EXCLUDED.process, beat_at = clock_timestamp()",
                (self._run_id, self._token, self._process),
            )
        return connection

    def _lock(self, connection: Connection[Any]) -> bool:
        query = "SELECT pg_try_advisory_lock(hashtextextended(%s::text, 0))"
        row = connection.execute(query, (self._token,)).fetchone()
        return bool(row and row[0])

    def _beat(self, connection: Connection[Any]) -> None:
        self._locked = self._locked or self._lock(connection)
        connection.execute(
            "UPDATE run_heartbeats SET beat_at = clock_timestamp() WHERE run_id = %s AND token = %s", self._mine
        )

    def _watch(self) -> None:
        if not self._run_is_over():
            self._over_since = None
            return
        now = time.monotonic()
        if self._over_since is None:
            self._over_since = now
        over_for = now - self._over_since
        if over_for >= KILL_AFTER:
            log.critical("run %s is over but its process works on: it is killed", self._run_id)
            self._end_process("kill")
        elif over_for >= INTERRUPT_AFTER and not self._interrupted:
            self._interrupted = True
            log.error("run %s was ended from outside: its process is interrupted", self._run_id)
            self._end_process("interrupt")
