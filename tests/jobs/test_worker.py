"""The worker's loop, in a thread of this process, with short times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingestion_assets.ledger.async_jobs import JobDeferredError, JobKind, JobKinds, cancel
from ingestion_assets.ledger.job_context import JobContext
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.job_worker import RECYCLE_STATUS, Worker
from resources.errors import PermanentError, TransientError
from tests.jobs.conftest import Queue, eventually
from tests.ledger.faults import LostCommits

Start = Callable[..., Worker]


def kind(handler: Callable[[JobContext], Mapping[str, Any] | None], **options: Any) -> JobKind:
    return JobKind(name="work", handler=handler, first_retry_wait=timedelta(milliseconds=10), **options)


def insert(context: JobContext) -> Any:
    return context.commit(
        lambda connection: (
            connection.execute(
                "INSERT INTO tally (job_id, attempt) VALUES (%s, %s)", (context.job_id, context.attempt)
            ).rowcount
        )
    )


def test_work_is_done_and_its_result_kept(queue: Queue, start_worker: Start) -> None:
    def add(context: JobContext) -> dict[str, Any]:
        context.report({"done": 1, "of": 2})
        insert(context)
        return {"n": context.arguments["n"], "user": context.user_id}

    ids = queue.add(kind(add), 20)
    worker = start_worker(kind(add))
    eventually(lambda: queue.states() == {"completed": 20})
    assert [queue.row(job_id)["result"]["n"] for job_id in ids] == list(range(20))
    assert queue.row(ids[0])["progress"] == {"done": 1, "of": 2}
    assert sorted(queue.tally()) == sorted((job_id, 1, None) for job_id in ids)
    assert worker.stats.claimed == 20


def test_a_waiting_worker_is_woken_by_the_database(queue: Queue, start_worker: Start) -> None:
    times = JobSettings(INGESTION_JOB_POLL_SECONDS=600, INGESTION_JOB_LONGEST_POLL_SECONDS=600)
    work = kind(insert_and_return)
    worker = start_worker(work, times=times)
    eventually(lambda: not worker._more)
    queue.add(work)
    eventually(lambda: queue.states() == {"completed": 1}, seconds=5)


def insert_and_return(context: JobContext) -> None:
    insert(context)


def test_a_job_that_becomes_due_is_done_without_a_notification(queue: Queue, start_worker: Start) -> None:
    times = JobSettings(INGESTION_JOB_POLL_SECONDS=600, INGESTION_JOB_LONGEST_POLL_SECONDS=600)
    work = kind(insert_and_return)
    queue.add(work, not_before=datetime.now(UTC) + timedelta(seconds=0.7))
    start_worker(work, times=times)
    eventually(lambda: queue.states() == {"completed": 1}, seconds=5)


def test_transient_failures_are_tried_again_and_permanent_ones_are_not(queue: Queue, start_worker: Start) -> None:
    tried: list[tuple[int, int]] = []

    def fail(context: JobContext) -> None:
        tried.append((context.arguments["n"], context.attempt))
        raise TransientError("busy") if context.arguments["n"] == 0 else PermanentError("It is not a PDF.")

    transient, permanent = queue.add(kind(fail), 2)
    start_worker(kind(fail))
    eventually(lambda: queue.states() == {"failed": 2})
    assert sorted(tried) == [(0, 1), (0, 2), (0, 3), (1, 1)]
    assert queue.row(transient)["error_code"] == "unavailable"
    assert queue.row(permanent)["error_message"] == "It is not a PDF."


def test_a_deferred_job_keeps_its_attempts(queue: Queue, start_worker: Start) -> None:
    times = 0

    def defer(context: JobContext) -> None:
        nonlocal times
        times += 1
        if times <= 5:
            raise JobDeferredError("quota", not_before=datetime.now(UTC) + timedelta(milliseconds=20))

    [job_id] = queue.add(kind(defer, max_attempts=1))
    start_worker(kind(defer))
    eventually(lambda: queue.states() == {"completed": 1})
    assert times == 6
    assert queue.row(job_id)["attempt"] == 1


def test_a_hung_handler_loses_its_job_at_the_deadline_and_may_not_write(queue: Queue, start_worker: Start) -> None:
    release, refused = threading.Event(), threading.Event()

    def hang_once(context: JobContext) -> dict[str, int]:
        if context.attempt == 1:
            release.wait(20)
            try:
                insert(context)
            except Exception:
                refused.set()
                raise
        else:
            insert(context)
        return {"attempt": context.attempt}

    work = kind(hang_once, timeout=timedelta(seconds=0.3))
    [job_id] = queue.add(work)
    worker = start_worker(work)
    eventually(lambda: queue.states() == {"completed": 1})
    assert worker.hung_handlers == 1
    release.set()
    assert refused.wait(5)
    eventually(lambda: ("late_write", "refused") in queue.incidents())
    assert queue.row(job_id)["result"] == {"attempt": 2}
    assert queue.tally() == [(job_id, 2, None)]
    eventually(lambda: worker.hung_handlers == 0)


def test_a_handler_that_always_hangs_fails_its_job_and_the_worker_asks_for_a_fresh_process(
    queue: Queue, settings: JobSettings
) -> None:
    release = threading.Event()
    work = kind(lambda _: release.wait(20) and None, timeout=timedelta(seconds=0.2), max_attempts=2)
    ids = queue.add(work, 1)
    worker = Worker(queue.database, JobKinds([work]), JobSettings(INGESTION_JOB_CONCURRENCY=2))
    assert worker.run(seconds=20) == RECYCLE_STATUS
    release.set()
    row = queue.row(ids[0])
    assert (row["state"], row["error_code"], row["attempt"]) == ("failed", "deadline", 2)
    assert "longer than it may" in row["error_message"]


def test_stopping_returns_unfinished_jobs_at_once_and_lets_finished_ones_count(
    queue: Queue, start_worker: Start
) -> None:
    begun = threading.Semaphore(0)

    def work(context: JobContext) -> None:
        begun.release()
        if context.arguments["n"] == 0:
            context.wait(60)
        else:
            time.sleep(60)  # does not listen

    ids = queue.add(kind(work), 2)
    worker = start_worker(kind(work))
    for _ in ids:
        assert begun.acquire(timeout=10)
    worker.stop()
    eventually(lambda: queue.states() == {"pending": 2}, seconds=5)
    assert [queue.row(job_id)["attempt"] for job_id in ids] == [0, 0]
    assert queue.incidents() == []


def test_a_running_job_that_is_cancelled_stops_where_it_is_safe(queue: Queue, start_worker: Start) -> None:
    begun = threading.Event()

    def work(context: JobContext) -> None:
        begun.set()
        context.wait(60)

    [job_id] = queue.add(kind(work))
    start_worker(kind(work))
    assert begun.wait(10)
    cancel(queue.connection, job_id)
    eventually(lambda: queue.states() == {"cancelled": 1}, seconds=5)


def test_a_job_whose_user_was_deleted_is_refused_and_harms_nobody(queue: Queue, start_worker: Start) -> None:
    from ingestion_assets.ledger import users

    begun, go = threading.Event(), threading.Event()

    def work(context: JobContext) -> None:
        begun.set()
        go.wait(10)
        insert(context)

    users.ensure_user(queue.connection, "ana")
    queue.add(kind(work), user_id="ana")
    start_worker(kind(work))
    assert begun.wait(10)
    users.delete_user(queue.connection, "ana")
    go.set()
    eventually(lambda: ("late_write", "refused") in queue.incidents())
    assert queue.tally() == []


@pytest.mark.parametrize("result", [{"x": "\x00"}, {"x": "\ud800"}, {"x": float("nan")}, {"x": object()}])
def test_a_result_that_cannot_be_stored_fails_its_own_job_only(
    queue: Queue, start_worker: Start, result: dict[str, Any]
) -> None:
    barrier = threading.Barrier(3)

    def work(context: JobContext) -> dict[str, Any]:
        barrier.wait(10)
        return result if context.arguments["n"] == 1 else {"ok": True}

    ids = queue.add(kind(work), 3)
    start_worker(kind(work))
    eventually(lambda: queue.states() == {"completed": 2, "failed": 1})
    assert queue.row(ids[1])["error_code"] == "bad_result"


def test_an_error_text_that_postgresql_does_not_take_is_cleaned(queue: Queue, start_worker: Start) -> None:
    def work(context: JobContext) -> None:
        raise PermanentError("bad\x00 \ud800 text")

    [job_id] = queue.add(kind(work))
    start_worker(kind(work))
    eventually(lambda: queue.states() == {"failed": 1})
    assert queue.row(job_id)["error_message"] == "bad ? text"


def test_work_ends_by_itself_when_the_database_drops_every_connection_again_and_again(
    queue: Queue, start_worker: Start
) -> None:
    def work(context: JobContext) -> None:
        for _ in range(3):
            insert(context)
            context.wait(0.03)

    ids = queue.add(kind(work), 30)
    start_worker(kind(work))
    for _ in range(12):
        queue.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        time.sleep(0.1)
    eventually(lambda: queue.states() == {"completed": 30}, seconds=40)
    rows = queue.tally()
    best = {job_id: max(attempt for found, attempt, _ in rows if found == job_id) for job_id in ids}
    # Each attempt that finished wrote its three rows once: no commit was lost or repeated by a lost acknowledgement.
    assert [sum(1 for row in rows if row[:2] == (job_id, best[job_id])) for job_id in ids] == [3] * 30


def test_a_handler_is_told_what_its_work_returned_when_only_the_acknowledgement_was_lost(
    queue: Queue, start_worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(context: JobContext) -> dict[str, int]:
        return {"rows": insert(context)}

    LostCommits(monkeypatch)
    [job_id] = queue.add(kind(work))
    start_worker(kind(work))
    row = eventually(lambda: queue.row(job_id) if queue.states() == {"completed": 1} else None)
    assert (row["result"], row["attempt"], len(queue.tally())) == ({"rows": 1}, 1, 1)


def test_an_idle_worker_asks_at_most_five_times_for_each_longest_poll(
    queue: Queue, settings: JobSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Production's longest poll is 30 s: five statements for each are ten a minute. Here it lasts 0.2 s."""
    times = JobSettings(
        INGESTION_JOB_BEAT_SECONDS=0.05,
        INGESTION_JOB_MISSED_BEATS_SECONDS=0.1,
        INGESTION_JOB_POLL_SECONDS=0.2,
        INGESTION_JOB_LONGEST_POLL_SECONDS=0.2,
    )
    worker = Worker(queue.database, JobKinds([kind(insert_and_return)]), times)
    connection = worker._connected()
    asked: list[str] = []
    execute = connection.execute

    def counted(query: Any, *rest: Any, **options: Any) -> Any:
        asked.append(str(query))
        return execute(query, *rest, **options)

    monkeypatch.setattr(connection, "execute", counted)
    worker.run(seconds=2.0)
    assert 10 <= len(asked) <= 10 * 5
