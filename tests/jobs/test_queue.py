"""The state machine of one asynchronous job, one statement at a time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingestion_assets.ledger import users
from ingestion_assets.ledger.async_jobs import (
    IdempotencyConflictError,
    JobDeferredError,
    JobFailedError,
    JobKind,
    JobKinds,
    JobState,
    JobStoppedError,
    cancel,
    enqueue,
    read_job,
)
from ingestion_assets.ledger.job_context import JobContext
from ingestion_assets.ledger.job_queue import (
    ClaimedJob,
    attempt_failed,
    beat,
    claim,
    completed,
    returned,
    seconds_until_due,
    settle,
    settlement_of,
)
from resources.errors import PermanentError, TransientError
from tests.jobs.conftest import Queue


def nothing(context: JobContext) -> None:
    """A handler that is never run here."""


SUMMARY = JobKind(name="summary", handler=nothing, max_attempts=2)


def take(queue: Queue, limit: int = 10, kinds: tuple[str, ...] = ("summary",)) -> list[ClaimedJob]:
    return claim(queue.connection, kinds, limit=limit, worker_id=1, worker="here:1")


def test_a_job_is_pending_until_claimed_and_then_belongs_to_one_worker(queue: Queue) -> None:
    [job_id] = queue.add(SUMMARY)
    [job] = take(queue)
    assert (job.id, job.attempt, job.arguments, job.timeout) == (job_id, 1, {"n": 0}, 300.0)
    assert take(queue) == []
    row = queue.row(job_id)
    assert row["state"] == "running"
    assert row["deadline_at"] - row["claimed_at"] == pytest.approx(timedelta(minutes=5), abs=timedelta(seconds=1))
    assert row["beat_at"] is None


def test_jobs_are_claimed_by_priority_then_by_the_time_they_became_due_then_in_order(queue: Queue) -> None:
    first, second = queue.add(SUMMARY, 2)
    [urgent] = queue.add(SUMMARY, priority=5)
    [overdue] = queue.add(SUMMARY, not_before=datetime.now(UTC) - timedelta(hours=1))
    assert [take(queue, 1)[0].id for _ in range(4)] == [urgent, overdue, first, second]


def test_a_job_is_not_claimed_before_its_time(queue: Queue) -> None:
    queue.add(SUMMARY, not_before=datetime.now(UTC) + timedelta(minutes=10))
    assert take(queue) == []
    assert seconds_until_due(queue.connection, ["summary"]) == pytest.approx(600, abs=10)


def test_a_worker_takes_only_kinds_that_it_knows(queue: Queue) -> None:
    queue.add(SUMMARY)
    assert take(queue, kinds=("other",)) == []
    assert seconds_until_due(queue.connection, ["other"]) is None


def test_two_claims_at_once_get_different_jobs(queue: Queue) -> None:
    queue.add(SUMMARY, 4)
    with queue.database.connect() as one, queue.database.connect() as two:
        left = claim(one, ["summary"], limit=3, worker_id=1, worker="a:1")
        right = claim(two, ["summary"], limit=3, worker_id=2, worker="b:1")
    assert len(left) == 3
    assert len(right) == 1
    assert len({job.id for job in (*left, *right)}) == 4


def test_a_result_is_kept_with_its_job(queue: Queue) -> None:
    [job_id] = queue.add(SUMMARY)
    [job] = take(queue)
    assert settle(queue.connection, [completed(job, {"cards": 3})]) == {job_id}
    view = read_job(queue.connection, job_id)
    assert view is not None
    assert (view.state, view.result, view.finished_at is not None) == (JobState.COMPLETED, {"cards": 3}, True)


@pytest.mark.parametrize(
    "change", ["state = 'pending', finished_at = NULL", "result = '{}'", "attempt = 2", "kind = 'x'"]
)
@pytest.mark.parametrize("final", ["completed", "failed", "cancelled"])
def test_a_finished_job_never_changes(queue: Queue, final: str, change: str) -> None:
    [job_id] = queue.add(SUMMARY)
    if final == "cancelled":
        cancel(queue.connection, job_id)
    else:
        [job] = take(queue)
        error = PermanentError("no")
        settle(
            queue.connection,
            [
                completed(job, None)
                if final == "completed"
                else settlement_of(job, SUMMARY, error, now=datetime.now(UTC))
            ],
        )
    assert queue.row(job_id)["state"] == final
    with pytest.raises(psycopg.IntegrityError, match="a finished job does not change"):
        queue.connection.execute(f"UPDATE async_jobs SET {change} WHERE id = %s", (job_id,))


def test_a_pending_job_cannot_be_completed(queue: Queue) -> None:
    queue.add(SUMMARY)
    with pytest.raises(psycopg.IntegrityError, match="only a running job is completed"):
        queue.connection.execute("UPDATE async_jobs SET state = 'completed', finished_at = now()")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'done'", "ck_async_jobs_state"),
        ("state = 'running'", "ck_async_jobs_running"),
        ("state = 'cancelled'", "ck_async_jobs_finished"),
        ("finished_at = now()", "ck_async_jobs_finished"),
        ("state = 'failed', finished_at = now()", "ck_async_jobs_failed"),
        ("attempt_token = gen_random_uuid()", "ck_async_jobs_pending"),
        ("attempt = 3", "ck_async_jobs_attempt"),
        ("max_attempts = 0", "ck_async_jobs_attempt"),
        ("timeout_seconds = 0", "ck_async_jobs_timeout_seconds"),
    ],
)
def test_rows_that_make_no_sense_are_refused(queue: Queue, change: str, constraint: str) -> None:
    queue.add(SUMMARY)
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        queue.connection.execute(f"UPDATE async_jobs SET {change}")
    assert caught.value.diag.constraint_name == constraint


def test_the_same_key_of_the_same_user_is_the_same_job(queue: Queue) -> None:
    for user in ("ana", "ben"):
        users.ensure_user(queue.connection, user)
    ask = {"arguments": {"a": 1}, "idempotency_key": "k"}
    first = enqueue(queue.connection, SUMMARY, user_id="ana", **ask)
    again = enqueue(queue.connection, SUMMARY, user_id="ana", **ask)
    assert (first.created, again.created, again.job_id) == (True, False, first.job_id)
    assert enqueue(queue.connection, SUMMARY, user_id="ben", **ask).created
    assert enqueue(queue.connection, SUMMARY, **ask).created
    assert not enqueue(queue.connection, SUMMARY, **ask).created
    with pytest.raises(IdempotencyConflictError, match="use a new key"):
        enqueue(queue.connection, SUMMARY, {"a": 2}, user_id="ana", idempotency_key="k")


def test_a_job_needs_a_user_who_exists_and_goes_with_them(queue: Queue) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        enqueue(queue.connection, SUMMARY, user_id="nobody")
    users.ensure_user(queue.connection, "ana", name="Ana")
    assert users.is_active(queue.connection, "ana")
    pending = enqueue(queue.connection, SUMMARY, user_id="ana").job_id
    queue.add(SUMMARY)
    running = take(queue)
    settle(queue.connection, [completed(running[0], None)])
    assert users.delete_user(queue.connection, "ana")
    assert not users.delete_user(queue.connection, "ana")
    assert read_job(queue.connection, pending) is None
    assert queue.states() == {"running": 1}


def test_nobody_sees_or_cancels_the_job_of_somebody_else(queue: Queue) -> None:
    users.ensure_user(queue.connection, "ana")
    job_id = enqueue(queue.connection, SUMMARY, user_id="ana").job_id
    assert read_job(queue.connection, job_id, user_id="ben") is None
    assert cancel(queue.connection, job_id, user_id="ben") is None
    assert read_job(queue.connection, job_id, user_id="ana") is not None
    assert cancel(queue.connection, uuid.uuid4()) is None


def test_cancelling_ends_a_pending_job_and_asks_a_running_one(queue: Queue) -> None:
    waiting, *_ = queue.add(SUMMARY, 2)
    assert cancel(queue.connection, waiting) is JobState.CANCELLED
    assert cancel(queue.connection, waiting) is JobState.CANCELLED
    [job] = take(queue)
    assert cancel(queue.connection, job.id) is JobState.RUNNING
    assert beat(queue.connection, [job.token]).cancelled == {job.token}
    settle(queue.connection, [returned(job)])
    assert queue.row(job.id)["state"] == "cancelled"
    assert cancel(queue.connection, job.id) is JobState.CANCELLED


def test_a_failed_attempt_waits_and_the_last_one_fails_the_job(queue: Queue) -> None:
    [job_id] = queue.add(SUMMARY)
    now = datetime.now(UTC)
    [job] = take(queue)
    settle(queue.connection, [settlement_of(job, SUMMARY, TransientError("later", retry_after=90), now=now)])
    row = queue.row(job_id)
    assert (row["state"], row["error_code"], row["attempt"]) == ("pending", "unavailable", 1)
    assert row["not_before"] - now == pytest.approx(timedelta(seconds=90), abs=timedelta(seconds=10))
    queue.connection.execute("UPDATE async_jobs SET not_before = now()")
    [job] = take(queue)
    assert job.attempt == 2
    settle(queue.connection, [settlement_of(job, SUMMARY, RuntimeError("pw=1 token=abcdef12"), now=now)])
    row = queue.row(job_id)
    assert (row["state"], row["error_code"]) == ("failed", "internal")
    assert "given up" in row["error_message"]
    assert "RuntimeError" in row["error_detail"]
    assert "abcdef12" not in row["error_detail"]


def test_returning_a_job_does_not_cost_an_attempt(queue: Queue) -> None:
    [job_id] = queue.add(SUMMARY)
    for _ in range(5):
        [job] = take(queue)
        assert job.attempt == 1
        assert settle(queue.connection, [returned(job)]) == {job_id}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (JobFailedError("Too big.", code="too_big"), ("failed", "too_big", "Too big.")),
        (PermanentError("It is encrypted."), ("failed", "failed", "It is encrypted.")),
        (TransientError("busy"), ("pending", "unavailable", "busy")),
        (ValueError("oops"), ("pending", "internal", None)),
        (JobStoppedError("stop"), ("pending", None, None)),
    ],
)
def test_an_error_decides_what_becomes_of_its_job(error: Exception, expected: tuple[Any, ...]) -> None:
    outcome = settlement_of(_claimed(), SUMMARY, error, now=datetime.now(UTC))
    assert (outcome.state.value, outcome.error_code) == expected[:2]
    if expected[2]:
        assert outcome.error_message == expected[2]


def test_a_deferred_job_comes_back_at_its_time_with_all_its_attempts() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    error = JobDeferredError("quota", not_before=now + timedelta(hours=3))
    outcome = settlement_of(_claimed(attempt=2), SUMMARY, error, now=now)
    assert (outcome.state, outcome.delay, outcome.counts) == (JobState.PENDING, 10_800, False)


def test_waits_grow_are_bounded_and_never_undercut_what_was_named() -> None:
    waits = [SUMMARY.retry_wait(attempt, None).total_seconds() for attempt in (1, 2, 3, 4, 5, 9)]
    assert waits == [5, 20, 80, 320, 1280, 3600]
    assert SUMMARY.retry_wait(1, 7200).total_seconds() == 7200
    outcome = attempt_failed(_claimed(), SUMMARY, code="c", message="m", detail="d", named_wait=42)
    assert outcome.delay == 42


def test_an_outcome_with_an_old_token_is_refused(queue: Queue) -> None:
    [job_id] = queue.add(SUMMARY)
    [old] = take(queue)
    settle(queue.connection, [returned(old)])
    [new] = take(queue)
    assert settle(queue.connection, [completed(old, {"who": "old"})]) == set()
    assert beat(queue.connection, [old.token, new.token]).mine == {new.token}
    assert settle(queue.connection, [completed(new, {"who": "new"})]) == {job_id}
    assert queue.row(job_id)["result"] == {"who": "new"}


def test_kinds_are_named_once_and_unknown_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="two job kinds are called 'summary'"):
        JobKinds([SUMMARY, SUMMARY])
    kinds = JobKinds([SUMMARY])
    assert list(kinds.only(["summary"])) == ["summary"]
    with pytest.raises(PermanentError, match="no job kind is called 'x'; there are: summary"):
        kinds.only(["x"])
    with pytest.raises(ValueError, match="timeout over 0"):
        JobKind(name="bad", handler=nothing, timeout=timedelta(0))


def _claimed(attempt: int = 1) -> ClaimedJob:
    return ClaimedJob(
        id=uuid.uuid4(),
        kind="summary",
        user_id=None,
        arguments={},
        attempt=attempt,
        max_attempts=2,
        token=uuid.uuid4(),
        timeout=300,
    )
