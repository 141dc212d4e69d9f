"""Work is committed exactly once, whatever happens to the connection on the way."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import psycopg
import pytest

from ingestion_assets.counts import Counts
from ingestion_assets.ledger.import_jobs import AttemptSupersededError, ImportJob, close_import
from ingestion_assets.ledger.step_counts import add_counts, read_counts
from resources.postgres.database import Database
from tests.ledger.faults import LostCommits, kill_session

WEEK = date(2026, 11, 16)
NEXT = date(2026, 11, 23)


def _counter(job: ImportJob, counts: Counts) -> Any:
    def work(connection: psycopg.Connection[Any]) -> str:
        add_counts(connection, job, {WEEK: counts})
        return "counted"

    return work


def test_counts_of_batches_add_up_in_all_by_week_and_by_reason(database: Database) -> None:
    with ImportJob(database, source="feed", run_id="r1") as job:
        job.commit(lambda c: add_counts(c, job, {WEEK: Counts(created=2, errors=3, by_reason={"a": 1, "b": 2})}))
        job.commit(lambda c: add_counts(c, job, {WEEK: Counts(skipped=5), NEXT: Counts(errors=1, by_reason={"b": 1})}))
        job.commit(lambda c: add_counts(c, job, {}))
        job.commit(job.succeed)
    total, by_week = read_counts(database, job.job_id)
    assert total == Counts(created=2, skipped=5, errors=4, by_reason={"a": 1, "b": 3})
    assert by_week == {WEEK: Counts(created=2, skipped=5, errors=3), NEXT: Counts(errors=1)}
    assert total.fetched == 11


def test_a_session_that_is_killed_before_its_commit_runs_the_work_again(database: Database) -> None:
    with ImportJob(database, source="feed", run_id="r1") as job:
        assert job.commit(kill_session(_counter(job, Counts(created=1)), times=3)) == "counted"
        assert job.session.reconnects == 3
        job.commit(job.succeed)
    assert read_counts(database, job.job_id)[0].created == 1


def test_a_commit_whose_acknowledgement_was_lost_is_not_applied_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ImportJob(database, source="feed", run_id="r1") as job, monkeypatch.context() as patch:
        lost = LostCommits(patch)
        for _ in range(3):
            assert job.commit(_counter(job, Counts(created=1))) == "counted"
        assert lost.lost == 3
        job.commit(job.succeed)
    assert read_counts(database, job.job_id)[0].created == 3
    [row] = database.fetch_all("SELECT status, nb_refused, pages FROM import_jobs")
    assert row == {"status": "SUCCESS", "nb_refused": 0, "pages": 4}


def test_the_closing_commit_may_lose_its_acknowledgement_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is then SUCCESS already, which must not read as "somebody else took over"."""
    with ImportJob(database, source="feed", run_id="r1") as job, monkeypatch.context() as patch:
        LostCommits(patch)
        assert job.commit(job.succeed) is None
    assert database.fetch_all("SELECT status, nb_refused FROM import_jobs") == [{"status": "SUCCESS", "nb_refused": 0}]


def test_a_transaction_that_still_commits_while_its_work_begins_again_counts_once(database: Database) -> None:
    """The client lost the connection, the server is still writing: both transactions are open for a moment.

    What is said of the work is what the transaction said that was committed.
    """
    with ImportJob(database, source="feed", run_id="r1") as job:
        old = database.connect(role="import feed")
        begun: list[int] = []

        def work(connection: psycopg.Connection[Any]) -> int:
            begun.append(1)
            add_counts(connection, job, {WEEK: Counts(created=1)})
            return len(begun)

        transact = job.session.transact

        def lose_connection(guarded: Any) -> Any:
            def wrapped(connection: psycopg.Connection[Any]) -> Any:
                if begun:
                    return guarded(connection)
                guarded(old)
                connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

            return transact(wrapped)

        outcome: list[object] = []

        def commit() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(job.session, "transact", lose_connection)
                outcome.append(job.commit(work))

        again = threading.Thread(target=commit)
        again.start()
        again.join(0.5)
        assert again.is_alive()
        old.commit()
        old.close()
        again.join(30)
        assert (outcome, len(begun)) == ([1], 2)
        job.commit(job.succeed)
    assert read_counts(database, job.job_id)[0].created == 1


def test_a_deadlock_is_tried_again(database: Database) -> None:
    with ImportJob(database, source="feed", run_id="r1") as job:
        victims = iter((True, False))

        def work(connection: psycopg.Connection[Any]) -> str:
            add_counts(connection, job, {WEEK: Counts(created=1)})
            if next(victims):
                connection.execute("DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$")
            return "counted"

        assert job.commit(work) == "counted"
        assert job.session.reconnects == 0
        job.commit(job.succeed)
    assert read_counts(database, job.job_id)[0].created == 1


def test_an_error_of_the_work_itself_is_raised_and_leaves_nothing(database: Database) -> None:
    with ImportJob(database, source="feed", run_id="r1") as job:

        def work(connection: psycopg.Connection[Any]) -> None:
            add_counts(connection, job, {WEEK: Counts(created=1)})
            connection.execute("SELECT 1 / 0")

        with pytest.raises(psycopg.errors.DivisionByZero):
            job.commit(work)
        assert job.commit(_counter(job, Counts(updated=1))) == "counted"
        job.commit(job.succeed)
    assert read_counts(database, job.job_id)[0] == Counts(updated=1)


def test_work_of_a_job_that_was_closed_meanwhile_is_refused(database: Database) -> None:
    def import_something() -> None:
        with ImportJob(database, source="feed", run_id="r1") as job:
            with database.transaction() as connection:
                assert close_import(connection, job.job_id, code="stuck", text="closed by a sensor")
                assert not close_import(connection, job.job_id, code="stuck", text="once is enough")
            job.commit(_counter(job, Counts(created=1)))

    with pytest.raises(AttemptSupersededError):
        import_something()
    [row] = database.fetch_all("SELECT status, error_code, nb_refused, nb_created FROM import_jobs")
    assert row == {"status": "ERROR", "error_code": "stuck", "nb_refused": 1, "nb_created": 0}
