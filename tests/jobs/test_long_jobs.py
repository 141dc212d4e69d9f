"""Jobs that take most of their time, for an hour, on the settings that people run: nobody takes them for stuck."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.stuck_jobs import reclaim
from resources.postgres.database import Database
from tests.jobs.conftest import Queue, WorkerProcess
from tests.jobs.worker_process import LONG

WORKERS = 4
ROUNDS = 15
JOB_SECONDS = 240


@pytest.mark.soak
@pytest.mark.timeout(2 * 3600)
def test_an_hour_of_four_minute_jobs_has_no_false_alarm(
    queue: Queue, database: Database, record_property: Callable[[str, object], None]
) -> None:
    settings = JobSettings()
    jobs = queue.add(LONG, WORKERS * settings.concurrency * ROUNDS)
    workers = [WorkerProcess(database) for _ in range(WORKERS)]
    end = time.monotonic() + 2 * ROUNDS * JOB_SECONDS
    while queue.states() != {"completed": len(jobs)} and time.monotonic() < end:
        assert reclaim(queue.connection, "test", settings) == []
        time.sleep(5)
    for worker in workers:
        worker.signal(signal.SIGTERM)
    assert [worker.wait(30)[0] for worker in workers] == [0] * WORKERS
    record_property("jobs", len(jobs))
    assert queue.incidents() == []
    assert sorted((job, attempt) for job, attempt, _ in queue.tally()) == sorted((job, 1) for job in jobs)
