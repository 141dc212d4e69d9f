"""The sensor that works off the queue when nobody else does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from ingestion_assets import job_kinds as registry
from ingestion_assets.ledger.async_jobs import JobKind, enqueue
from ingestion_assets.ledger.job_context import JobContext
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.job_worker import Worker
from ingestion_assets.ledger.polling import AdaptivePolling
from ingestion_assets.ledger.stuck_jobs import WORKER_LOCK_CLASS, RunningJob, Stuck, why_stuck
from resources.definitions import PostgresResource
from sensors import job_queue
from sensors.job_queue import QueueView, Watch, job_queue_sensor, should_drain, work_off_async_jobs
from sensors.stuck_async_jobs import stuck_async_jobs_sensor
from tests.jobs.conftest import eventually
from tests.sensors.conftest import Ledger, WatchersClock


def answer(context: JobContext) -> dict[str, Any]:
    return {"n": context.arguments["n"]}


KIND = JobKind(name="answer", handler=answer)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "PROVIDERS", [lambda: [KIND]])


@pytest.fixture(autouse=True)
def doorbell() -> Iterator[None]:
    yield
    job_queue._doorbell.close()


def test_looks_become_rarer_while_there_is_nothing_and_frequent_after_work() -> None:
    watch, waits = Watch(), []
    for _ in range(9):
        watch = watch.after_look(now=100.0, found_work=False)
        waits.append(round(watch.interval, 2))
    assert waits == [3.0, 4.5, 6.75, 10.12, 15.19, 22.78, 30.0, 30.0, 30.0]
    assert watch.next_look == 130.0
    assert not watch.is_due(now=129.0, rung=False)
    assert watch.is_due(now=129.0, rung=True)
    assert watch.is_due(now=130.0, rung=False)
    assert watch.after_look(now=130.0, found_work=True) == Watch(2.0, 132.0)


def test_a_worker_waits_like_the_sensor() -> None:
    polling, waits = AdaptivePolling(), []
    for _ in range(8):
        waits.append(round(polling.interval, 2))
        polling.found_nothing()
    assert waits == [2.0, 3.0, 4.5, 6.75, 10.12, 15.19, 22.78, 30.0]
    polling.found_work()
    assert polling.interval == 2.0


@pytest.mark.parametrize("cursor", [None, "", "nonsense", "[]", '{"x": 1}'])
def test_a_cursor_that_cannot_be_read_means_look_now(cursor: str | None) -> None:
    assert Watch.parse(cursor).is_due(now=1.0, rung=False)


def test_a_cursor_is_read_as_it_was_written() -> None:
    assert Watch.parse(Watch(4.5, 99.0).dumps()) == Watch(4.5, 99.0)


@pytest.mark.parametrize(
    ("due", "workers", "draining", "waited", "expected"),
    [
        (1, 0, False, 20, True),
        (0, 0, False, 20, False),
        (1, 1, False, 20, False),
        (1, 0, True, 20, False),
        (1, 0, False, 5, False),
    ],
)
def test_a_run_is_launched_only_when_nobody_else_takes_the_jobs(
    due: int, workers: int, draining: bool, waited: float, expected: bool
) -> None:
    queue = QueueView(due=due, oldest_seconds=waited, oldest_job="j", workers=workers)
    assert should_drain(queue, draining=draining, patience=15) is expected


def test_the_sensor_asks_for_a_run_once_and_the_run_does_the_work(
    tick: Callable[..., Any],
    ledger: Ledger,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INGESTION_JOB_QUEUE_PATIENCE_SECONDS", "0")
    assert "0 jobs are due" in tick(job_queue_sensor).skip_reason.skip_message
    job_id = enqueue(ledger.connection, KIND, {"n": 7}).job_id
    far_away = json.dumps({"interval": 30.0, "next_look": 1e12})
    # Rung: the next look lies in the far future. The server may deliver the notification a moment after the commit.
    [request] = eventually(lambda: tick(job_queue_sensor, cursor=far_away).run_requests)
    assert request.run_key.startswith(f"{job_id}:")
    outcome = work_off_async_jobs.execute_in_process(instance=instance, resources={"postgres": PostgresResource()})
    assert outcome.success
    [row] = ledger.database.fetch_all("SELECT state, result FROM async_jobs")
    assert row == {"state": "completed", "result": {"n": 7}}
    assert "0 jobs are due" in tick(job_queue_sensor).skip_reason.skip_message


def test_between_looks_a_tick_asks_the_database_nothing(tick: Callable[..., Any], ledger: Ledger) -> None:
    first = tick(job_queue_sensor)
    again = tick(job_queue_sensor, cursor=first.cursor)
    assert "The next look is in" in again.skip_reason.skip_message
    assert again.cursor == first.cursor


def test_a_worker_that_is_up_is_seen(tick: Callable[..., Any], ledger: Ledger) -> None:
    worker = Worker(ledger.database, registry.job_kinds())
    worker._connected()
    enqueue(ledger.connection, KIND, {"n": 1})
    assert "1 jobs are due, 1 workers are up" in tick(job_queue_sensor).skip_reason.skip_message
    worker.run(until_idle=True)


SETTINGS = JobSettings()


@pytest.mark.parametrize(
    ("silence", "overdue", "alive", "expected"),
    [
        (1, -60, True, None),
        (9, -60, False, None),
        (11, -60, False, Stuck.WORKER_GONE),
        (29, -60, True, None),
        (31, -60, True, Stuck.SILENT),
        (1, 4, True, None),
        (1, 6, True, Stuck.DEADLINE),
        (31, 6, False, Stuck.WORKER_GONE),
    ],
)
def test_a_job_is_stuck_by_its_worker_or_by_its_deadline(
    silence: float, overdue: float, alive: bool, expected: Stuck | None
) -> None:
    job = RunningJob(
        id=uuid.uuid4(),
        kind="k",
        token=uuid.uuid4(),
        attempt=1,
        max_attempts=3,
        silence=timedelta(seconds=silence),
        overdue=timedelta(seconds=overdue),
        worker_alive=alive,
        worker="here:1",
    )
    assert why_stuck(job, SETTINGS) is expected


def claim_silently(ledger: Ledger, *, attempt: int = 1, silent: str = "11 s", beat: str | None = None) -> uuid.UUID:
    """A job of a worker that is not there."""
    job_id = enqueue(ledger.connection, KIND, {"n": 1}).job_id
    ledger.connection.execute(
        "UPDATE async_jobs SET state = 'running', attempt = %s, attempt_token = gen_random_uuid(), worker_id = 7,"
        " worker = 'ghost:1', claimed_at = now() - %s::interval, deadline_at = now() + interval '5 min',"
        " beat_at = now() - %s::interval WHERE id = %s",
        (attempt, silent, beat, job_id),
    )
    return job_id


@pytest.mark.parametrize(
    ("attempt", "state", "action"), [(1, "pending", "requeued"), (2, "pending", "requeued"), (3, "failed", "failed")]
)
def test_jobs_of_a_dead_worker_are_tried_again_until_no_attempt_is_left(
    tick: Callable[..., Any], ledger: Ledger, long_running_server: None, attempt: int, state: str, action: str
) -> None:
    """It has never beaten: then silence counts from the claim."""
    job_id = claim_silently(ledger, attempt=attempt)
    assert action in tick(stuck_async_jobs_sensor).skip_message
    assert tick(stuck_async_jobs_sensor).skip_message == "No job is stuck."
    [row] = ledger.database.fetch_all("SELECT * FROM async_jobs WHERE id = %(id)s", {"id": job_id})
    assert (row["state"], row["error_code"], row["attempt"]) == (state, "worker_gone", attempt)
    assert ledger.incidents() == [("stuck_async_jobs", "worker_gone", action)]


def test_jobs_of_a_living_worker_are_not_taken_because_the_clock_was_set_or_the_machine_slept(
    tick: Callable[..., Any], ledger: Ledger, long_running_server: None, watchers_clock: WatchersClock
) -> None:
    ledger.connection.execute("SELECT pg_advisory_lock(%s, 7)", (WORKER_LOCK_CLASS,))
    claim_silently(ledger, silent="1 h", beat="1 h")
    assert tick(stuck_async_jobs_sensor).skip_message == "No job is stuck."
    watchers_clock.advance(seconds=5)
    ledger.connection.execute("UPDATE async_jobs SET beat_at = now() - interval '11 s'")
    assert tick(stuck_async_jobs_sensor).skip_message == "No job is stuck."
    watchers_clock.advance(seconds=5)
    ledger.connection.execute("UPDATE async_jobs SET beat_at = now() - interval '31 s'")
    assert tick(stuck_async_jobs_sensor).skip_message == "No job is stuck."
    watchers_clock.advance(seconds=10)
    assert "has been silent" in tick(stuck_async_jobs_sensor).skip_message


def test_a_job_that_beats_is_left_alone_however_long_ago_it_was_claimed(
    tick: Callable[..., Any], ledger: Ledger, long_running_server: None
) -> None:
    claim_silently(ledger, silent="4 min", beat="3 s")
    assert tick(stuck_async_jobs_sensor).skip_message == "No job is stuck."


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INGESTION_JOB_LEASE_SECONDS", "15", "calls living workers dead"),
        ("INGESTION_JOB_MISSED_BEATS_SECONDS", "5", "has to lie between one beat"),
        ("INGESTION_JOB_MISSED_BEATS_SECONDS", "31", "has to lie between one beat"),
        ("INGESTION_JOB_LONGEST_POLL_SECONDS", "1", "shorter than INGESTION_JOB_POLL_SECONDS"),
    ],
)
def test_times_that_contradict_each_other_are_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        JobSettings()
