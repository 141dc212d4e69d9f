"""Queues with work in them, workers in threads and workers in processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingestion_assets.ledger.async_jobs import JobKind, JobKinds, enqueue
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.job_worker import Worker
from resources.postgres.database import Database

REPOSITORY = Path(__file__).parents[2]
SHORT = {
    "INGESTION_JOB_BEAT_SECONDS": "0.2",
    "INGESTION_JOB_BEAT_TIMEOUT_SECONDS": "1",
    "INGESTION_JOB_MISSED_BEATS_SECONDS": "0.6",
    "INGESTION_JOB_LEASE_SECONDS": "1.5",
    "INGESTION_JOB_POLL_SECONDS": "0.1",
    "INGESTION_JOB_LONGEST_POLL_SECONDS": "0.5",
    "INGESTION_JOB_GRACE_SECONDS": "0.3",
}
"""The times of production divided by about twenty, in the same order."""


def eventually(condition: Callable[[], Any], *, seconds: float = 20) -> Any:
    """What `condition` returns once it is true. Fails when that takes too long."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
    return value


class Queue:
    """A test's view of the queue, on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = database.connect(autocommit=True)
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS tally (job_id uuid, attempt int, worker int, at timestamptz DEFAULT now())"
        )
        self.connection.execute("TRUNCATE tally")

    def add(self, kind: JobKind, count: int = 1, **options: Any) -> list[uuid.UUID]:
        with self.connection.transaction():
            return [enqueue(self.connection, kind, {"n": n}, **options).job_id for n in range(count)]

    def row(self, job_id: uuid.UUID) -> dict[str, Any]:
        [row] = self.database.fetch_all("SELECT * FROM async_jobs WHERE id = %(id)s", {"id": job_id})
        return row

    def states(self) -> dict[str, int]:
        return dict(self.connection.execute("SELECT state, count(*) FROM async_jobs GROUP BY state").fetchall())

    def incidents(self) -> list[tuple[str, str]]:
        return self.connection.execute("SELECT reason, action FROM incidents ORDER BY id").fetchall()

    def tally(self) -> list[tuple[uuid.UUID, int, int]]:
        return self.connection.execute("SELECT job_id, attempt, worker FROM tally").fetchall()


@pytest.fixture
def queue(database: Database) -> Iterator[Queue]:
    made = Queue(database)
    yield made
    made.connection.close()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> JobSettings:
    """Short times, for this process and its children."""
    for name, value in SHORT.items():
        monkeypatch.setenv(name, value)
    return JobSettings()


@pytest.fixture
def start_worker(database: Database, settings: JobSettings) -> Iterator[Callable[..., Worker]]:
    """Workers in threads of this process; they are stopped after the test."""
    running: list[tuple[Worker, threading.Thread]] = []

    def start(*kinds: JobKind, times: JobSettings | None = None) -> Worker:
        worker = Worker(database, JobKinds(kinds), times or settings)
        thread = threading.Thread(target=worker.run)
        thread.start()
        running.append((worker, thread))
        return worker

    yield start
    for worker, _ in running:
        worker.stop()
    for _, thread in running:
        thread.join(15)
        assert not thread.is_alive()


class WorkerProcess:
    """A worker as a process, with the kinds of `worker_process.py`."""

    def __init__(self, database: Database, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker_process.py")), database.url, *arguments],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == "ready"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 30) -> tuple[int, str]:
        _, log = self.process.communicate(timeout=seconds)
        return self.process.returncode, log


@pytest.fixture
def start_process(database: Database, settings: JobSettings) -> Iterator[Callable[..., WorkerProcess]]:
    """Workers in processes of their own; what is left of them is killed after the test."""
    started: list[WorkerProcess] = []

    def start(*arguments: str) -> WorkerProcess:
        started.append(WorkerProcess(database, *arguments))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.communicate()
        for stream in (worker.process.stdout, worker.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def claim_as(queue: Queue) -> Callable[..., Any]:
    """Claim jobs as a worker that is not there: it neither holds a lock nor beats."""
    from ingestion_assets.ledger.job_queue import claim

    def take(*kinds: str, limit: int = 10, connection: psycopg.Connection[Any] | None = None) -> list[Any]:
        return claim(connection or queue.connection, kinds, limit=limit, worker_id=7, worker="ghost:1")

    return take
