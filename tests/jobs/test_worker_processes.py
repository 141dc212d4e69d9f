"""Workers as processes: many at once, killed, paused and asked to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.stuck_jobs import reclaim
from tests.jobs.conftest import Queue, WorkerProcess, eventually
from tests.jobs.worker_process import COUNT, HANG, SLOW

Start = Callable[..., WorkerProcess]


def drain(queue: Queue, start: Start, folder: Path, *, jobs: int, workers: int) -> list[int]:
    """Let `workers` that begin together do `jobs`. How often each job was done."""
    queue.connection.execute("TRUNCATE async_jobs, tally")
    ids = queue.add(COUNT, jobs)
    go = folder / f"go-{time.monotonic_ns()}"
    running = [start("--until-idle", "--go", str(go)) for _ in range(workers)]
    for worker in running:
        worker.ready()
    go.touch()
    assert [worker.wait(240)[0] for worker in running] == [0] * workers
    assert queue.states() == {"completed": jobs}
    done: dict[object, int] = dict.fromkeys(ids, 0)
    for job_id, _, _ in queue.tally():
        done[job_id] += 1
    assert len({worker for _, _, worker in queue.tally()}) > 1
    return list(done.values())


def test_four_workers_never_do_a_job_twice(queue: Queue, start_process: Start, tmp_path: Path) -> None:
    assert drain(queue, start_process, tmp_path, jobs=1000, workers=4) == [1] * 1000


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_jobs_and_eight_workers_twenty_times(
    queue: Queue, start_process: Start, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for _ in range(20):
        assert drain(queue, start_process, tmp_path, jobs=10_000, workers=8) == [1] * 10_000
        record_property("jobs done once each", 10_000)


def test_the_job_of_a_killed_worker_is_seen_at_once_and_done_by_another(
    queue: Queue, start_process: Start, settings: JobSettings
) -> None:
    [job_id] = queue.add(SLOW)
    victim = start_process()
    victim.ready()
    assert victim.process.stdout is not None
    assert victim.process.stdout.readline().strip() == "working"
    victim.signal(signal.SIGKILL)
    victim.wait()
    other = start_process()
    eventually(lambda: queue.states() == {"completed": 1})
    other.signal(signal.SIGTERM)
    assert other.wait()[0] == 0
    assert [(job, attempt) for job, attempt, _ in queue.tally()] == [(job_id, 2)]
    assert queue.incidents() == [("worker_gone", "requeued")]


def test_a_paused_worker_that_comes_back_may_not_write(
    queue: Queue, start_process: Start, settings: JobSettings
) -> None:
    [job_id] = queue.add(SLOW)
    paused = start_process()
    paused.ready()
    assert paused.process.stdout is not None
    assert paused.process.stdout.readline().strip() == "working"
    paused.signal(signal.SIGSTOP)
    taken = eventually(lambda: reclaim(queue.connection, "test", settings))
    assert [(incident.reason, incident.action.value) for incident in taken] == [("silent", "requeued")]
    other = start_process("--until-idle")
    assert other.wait()[0] == 0
    paused.signal(signal.SIGCONT)
    eventually(lambda: ("late_write", "refused") in queue.incidents())
    paused.signal(signal.SIGTERM)
    status, log = paused.wait()
    assert status == 0
    assert "late write refused" in log
    assert [(job, attempt) for job, attempt, _ in queue.tally()] == [(job_id, 2)]
    assert queue.row(job_id)["result"] == {"worker": other.process.pid}


def test_a_terminated_worker_returns_its_jobs_and_ends(queue: Queue, start_process: Start) -> None:
    [job_id] = queue.add(HANG)
    worker = start_process()
    worker.ready()
    assert worker.process.stdout is not None
    assert worker.process.stdout.readline().strip() == "working"
    worker.signal(signal.SIGTERM)
    assert worker.wait(10)[0] == 0
    row = queue.row(job_id)
    assert (row["state"], row["attempt"]) == ("pending", 0)
    assert queue.incidents() == []
