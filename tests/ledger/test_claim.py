"""Who may import a source: one at a time, the living before the new, the new before the dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ingestion_assets.ledger import import_jobs
from ingestion_assets.ledger.import_jobs import (
    LEASE,
    MISSED_BEATS,
    AttemptSupersededError,
    ImportBusyError,
    ImportJob,
    RunningImport,
    is_dead,
)
from resources.errors import PermanentError, TransientError
from resources.postgres.database import Database
from tests.ledger.faults import lose_acknowledgement
from tests.ledger.invariants import assert_books_balance


def _jobs(database: Database) -> list[dict[str, Any]]:
    return database.fetch_all("SELECT * FROM import_jobs ORDER BY id")


def _age(database: Database, seconds: float) -> None:
    """Make every beat `seconds` older than it is."""
    with database.transaction() as connection:
        connection.execute("UPDATE import_jobs SET heartbeat_at = heartbeat_at - make_interval(secs => %s)", (seconds,))


def _touch(connection: psycopg.Connection[Any]) -> str:
    connection.execute("SELECT 1")
    return "done"


def _touch_and_fail(job: ImportJob) -> None:
    with job:
        job.commit(_touch)
        raise TransientError("the service is away")


class _Dead:
    """An import whose worker was killed: the row is RUNNING, the connections and the heart are gone."""

    def __init__(self, database: Database, *, source: str = "feed", run_id: str = "killed") -> None:
        self.job = ImportJob(database, source=source, run_id=run_id)
        self.job.__enter__()
        self.job._heart.stop()
        self.job.session.close()


@pytest.fixture
def silent_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hearts that take their lock and then do not beat again."""
    monkeypatch.setattr(import_jobs, "BEAT_EVERY", 3600.0)


def test_an_import_is_one_row_that_closes_with_it(database: Database) -> None:
    with ImportJob(database, source="feed", run_id="r1") as job:
        assert job.commit(_touch) == "done"
        [row] = _jobs(database)
        assert (row["status"], row["attempt"], row["run_id"], row["pages"]) == ("RUNNING", 1, "r1", 1)
        job.commit(job.succeed)
    [row] = _jobs(database)
    assert row["status"] == "SUCCESS"
    assert row["finished_at"] >= row["started_at"]
    assert row["duration"] >= 0
    assert_books_balance(database)


def test_an_error_closes_the_row_with_its_name_and_without_its_secrets(database: Database) -> None:
    with (
        pytest.raises(PermanentError),
        ImportJob(database, source="feed", run_id="r1"),
    ):
        raise PermanentError("the service at https://user:hunter2@example.org/?apikey=hunter2 says no")
    [row] = _jobs(database)
    assert (row["status"], row["error_code"]) == ("ERROR", "PermanentError")
    assert "says no" in row["error_text"]
    assert "hunter2" not in row["error_text"]


def test_an_interrupt_closes_the_row_as_cancelled(database: Database) -> None:
    with pytest.raises(KeyboardInterrupt), ImportJob(database, source="feed", run_id="r1"):
        raise KeyboardInterrupt
    [row] = _jobs(database)
    assert (row["status"], row["error_code"]) == ("ERROR", "cancelled")


def test_an_error_without_words_still_closes_the_row(database: Database) -> None:
    with pytest.raises(ValueError, match=r"^$"), ImportJob(database, source="feed", run_id="r1"):
        raise ValueError
    [row] = _jobs(database)
    assert (row["status"], row["error_text"]) == ("ERROR", "ValueError")


def test_a_retry_of_the_step_reopens_the_row_of_its_run_as_the_next_attempt(database: Database) -> None:
    job = ImportJob(database, source="feed", run_id="r1")
    with pytest.raises(TransientError):
        _touch_and_fail(job)
    with ImportJob(database, source="feed", run_id="r1") as retry:
        assert (retry.job_id, retry.attempt) == (job.job_id, 2)
        [row] = _jobs(database)
        assert (row["status"], row["error_code"], row["error_text"], row["finished_at"]) == (
            "RUNNING",
            None,
            None,
            None,
        )
        assert row["pages"] == 0
        retry.commit(_touch)
        retry.commit(retry.succeed)
    [row] = _jobs(database)
    assert (row["status"], row["attempt"], row["nb_refused"]) == ("SUCCESS", 2, 0)


def test_another_run_of_the_source_gets_a_row_of_its_own(database: Database) -> None:
    for run in ("r1", "r2"):
        with ImportJob(database, source="feed", run_id=run) as job:
            job.commit(job.succeed)
    assert [(row["run_id"], row["attempt"]) for row in _jobs(database)] == [("r1", 1), ("r2", 1)]


def test_two_sources_do_not_wait_for_each_other(database: Database) -> None:
    with (
        ImportJob(database, source="feed", run_id="r1", wait=0) as one,
        ImportJob(database, source="other", run_id="r2", wait=0) as two,
    ):
        one.commit(one.succeed)
        two.commit(two.succeed)
    assert_books_balance(database)


def test_a_live_import_is_not_disturbed_and_its_rival_is_told_whom_to_wait_for(database: Database) -> None:
    with ImportJob(database, source="feed", run_id="alive") as job:
        with (
            pytest.raises(ImportBusyError, match=r"feed is being imported by run alive") as raised,
            ImportJob(database, source="feed", run_id="rival", wait=0),
        ):
            pytest.fail("two imports of one source")
        assert raised.value.retry_after == LEASE.total_seconds()
        job.commit(job.succeed)
    assert [(row["run_id"], row["status"]) for row in _jobs(database)] == [("alive", "SUCCESS")]


def test_a_rival_waits_for_a_live_import_and_then_has_its_turn(database: Database) -> None:
    claimed = threading.Event()

    def rival() -> None:
        with ImportJob(database, source="feed", run_id="rival", wait=30) as job:
            claimed.set()
            job.commit(job.succeed)

    with ImportJob(database, source="feed", run_id="alive") as job:
        thread = threading.Thread(target=rival)
        thread.start()
        assert not claimed.wait(0.5)
        job.commit(job.succeed)
    thread.join(30)
    assert claimed.is_set()
    assert [(row["run_id"], row["status"], row["error_code"]) for row in _jobs(database)] == [
        ("alive", "SUCCESS", None),
        ("rival", "SUCCESS", None),
    ]


@pytest.mark.usefixtures("started_long_ago")
def test_an_import_whose_worker_is_gone_is_taken_over_after_two_missed_beats(database: Database) -> None:
    _Dead(database)
    with pytest.raises(ImportBusyError), ImportJob(database, source="feed", run_id="too early", wait=0):
        pass
    _age(database, MISSED_BEATS.total_seconds() + 1)
    with ImportJob(database, source="feed", run_id="next", wait=0) as job:
        assert job.took_over == ["killed"]
        job.commit(job.succeed)
    dead, alive = _jobs(database)
    assert (dead["status"], dead["error_code"]) == ("ERROR", "superseded")
    assert "its worker is gone" in dead["error_text"]
    assert alive["status"] == "SUCCESS"


@pytest.mark.usefixtures("silent_heart", "started_long_ago")
def test_an_import_that_is_silent_for_a_lease_is_taken_over_though_its_connection_lives(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = ImportJob(database, source="feed", run_id="paused")
    paused.__enter__()
    _age(database, LEASE.total_seconds() - 5)
    with pytest.raises(ImportBusyError), ImportJob(database, source="feed", run_id="too early", wait=0):
        pass
    _age(database, 10)
    monkeypatch.setattr(import_jobs, "MISSED_BEATS", timedelta(seconds=0.5))
    with ImportJob(database, source="feed", run_id="next", wait=10) as job:
        job.commit(job.succeed)
    assert "no heartbeat for 3" in _jobs(database)[0]["error_text"]
    with pytest.raises(AttemptSupersededError) as late:
        paused.commit(_touch)
    paused.__exit__(type(late.value), late.value, None)
    assert _jobs(database)[0]["nb_refused"] == 1


@pytest.mark.usefixtures("started_long_ago")
def test_nobody_is_called_dead_because_the_clock_was_set_or_the_machine_slept(database: Database) -> None:
    with ImportJob(database, source="feed", run_id="alive") as job:
        _age(database, 3600)
        with pytest.raises(ImportBusyError), ImportJob(database, source="feed", run_id="rival", wait=2):
            pass
        job.commit(job.succeed)
    assert [row["status"] for row in _jobs(database)] == ["SUCCESS"]


@pytest.mark.usefixtures("silent_heart")
def test_nobody_is_called_dead_because_the_server_was_down(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of the tests started minutes ago: an hour of silence before that is no silence."""
    monkeypatch.setattr(import_jobs, "LEASE", timedelta(minutes=50))
    with ImportJob(database, source="feed", run_id="alive") as job:
        _age(database, 3600)
        with pytest.raises(ImportBusyError), ImportJob(database, source="feed", run_id="rival", wait=0):
            pass
        job.commit(job.succeed)


@pytest.mark.usefixtures("silent_heart", "started_long_ago")
def test_nobody_is_called_dead_because_the_server_was_in_recovery(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the crash of one session, or a failover, the postmaster is as old as before; what writes the log is new."""
    monkeypatch.setattr(import_jobs, "LEASE", timedelta(minutes=50))
    with ImportJob(database, source="feed", run_id="alive") as job:
        _age(database, 3600)
        with database.transaction() as connection:
            connection.execute("DROP VIEW public.pg_stat_activity")
        with pytest.raises(ImportBusyError), ImportJob(database, source="feed", run_id="rival", wait=0):
            pass
        job.commit(job.succeed)


def test_an_import_whose_run_has_finished_is_taken_over_at_once(database: Database) -> None:
    _Dead(database)
    with ImportJob(database, source="feed", run_id="next", wait=0, run_finished=lambda run: run == "killed") as job:
        job.commit(job.succeed)
    assert "its run has finished" in _jobs(database)[0]["error_text"]


def test_the_retry_of_a_run_takes_over_its_import_at_once(database: Database) -> None:
    _Dead(database)
    with ImportJob(database, source="feed", run_id="retry", wait=0, earlier_runs={"killed"}) as job:
        job.commit(job.succeed)
    dead, alive = _jobs(database)
    assert "taken over by its retry" in dead["error_text"]
    assert (alive["status"], alive["attempt"]) == ("SUCCESS", 1)


def test_a_late_writer_is_refused_and_counted_and_does_not_touch_the_row_of_its_successor(database: Database) -> None:
    orphan = ImportJob(database, source="feed", run_id="killed")
    orphan.__enter__()
    with ImportJob(database, source="feed", run_id="retry", wait=0, earlier_runs={"killed"}) as job:
        for _ in range(3):
            with pytest.raises(AttemptSupersededError, match="write refused"):
                orphan.commit(lambda _connection: pytest.fail("the work of a late writer must not even begin"))
        with pytest.raises(AttemptSupersededError) as late:
            orphan.commit(_touch)
        orphan.__exit__(type(late.value), late.value, None)
        job.commit(job.succeed)
    dead, alive = _jobs(database)
    assert (dead["status"], dead["nb_refused"], dead["pages"]) == ("ERROR", 1, 0)
    assert (alive["status"], alive["nb_refused"]) == ("SUCCESS", 0)


def test_an_orphan_of_an_earlier_attempt_of_the_same_step_is_refused(database: Database) -> None:
    orphan = ImportJob(database, source="feed", run_id="r1")
    orphan.__enter__()
    with ImportJob(database, source="feed", run_id="r1", wait=0) as retry:
        with pytest.raises(AttemptSupersededError) as late:
            orphan.commit(_touch)
        orphan.__exit__(type(late.value), late.value, None)
        retry.commit(retry.succeed)
    [row] = _jobs(database)
    assert (row["status"], row["attempt"], row["nb_refused"]) == ("SUCCESS", 2, 1)


def test_a_failing_orphan_does_not_close_the_row_of_the_attempt_that_replaced_it(database: Database) -> None:
    orphan = ImportJob(database, source="feed", run_id="r1")
    orphan.__enter__()
    with ImportJob(database, source="feed", run_id="r1", wait=0) as retry:
        error = ValueError("the orphan stumbles over something else")
        orphan.__exit__(type(error), error, None)
        assert _jobs(database)[0]["status"] == "RUNNING"
        retry.commit(retry.succeed)


def test_a_writer_in_the_middle_of_its_transaction_is_waited_for_and_its_page_kept(database: Database) -> None:
    """A takeover never lands between the rows of a page and its counts."""
    inside, go_on = threading.Event(), threading.Event()
    outcome: list[object] = []

    def slow(connection: psycopg.Connection[Any]) -> str:
        connection.execute("INSERT INTO import_job_partitions (job_id, week) VALUES (%s, '2026-11-16')", (old.job_id,))
        inside.set()
        go_on.wait(30)
        return "kept"

    old = ImportJob(database, source="feed", run_id="old")
    old.__enter__()
    writer = threading.Thread(target=lambda: outcome.append(old.commit(slow)))
    writer.start()
    inside.wait(30)
    claims: list[int] = []

    def take_over() -> None:
        with ImportJob(database, source="feed", run_id="new", wait=30, earlier_runs={"old"}) as new:
            claims.append(new.job_id)
            new.commit(new.succeed)

    claimer = threading.Thread(target=take_over)
    claimer.start()
    assert not _soon(lambda: bool(claims), 0.5)
    go_on.set()
    writer.join(30)
    claimer.join(30)
    assert outcome == ["kept"]
    assert claims
    assert database.fetch_all("SELECT count(*) AS n FROM import_job_partitions") == [{"n": 1}]
    old._heart.stop()
    old.session.close()


def _soon(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_an_import_in_one_long_transaction_keeps_beating(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The beat used to wait for the row that the writer had locked: work of half a minute looked like death."""
    monkeypatch.setattr(import_jobs, "BEAT_EVERY", 0.05)
    beats: set[object] = set()

    def long_work(connection: psycopg.Connection[Any]) -> None:
        _age(database, 3600)
        assert _soon(lambda: _silence(database) < 5, 10), "no beat arrived while the transaction was open"
        with (
            pytest.raises(ImportBusyError),
            ImportJob(database, source="feed", run_id="rival", wait=0),
        ):
            pass
        beats.add(1)

    with ImportJob(database, source="feed", run_id="long") as job:
        job.commit(long_work)
        assert beats
        job.commit(job.succeed)


def test_a_heart_beats_while_the_server_keeps_its_lock_for_a_connection_that_the_network_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to wait for the lock, silent, until the server saw the break: as long as a lease."""
    monkeypatch.setattr(import_jobs, "BEAT_EVERY", 0.05)

    def locks(*, granted: bool) -> bool:
        [row] = database.fetch_all(
            "SELECT count(*) FILTER (WHERE granted = %(granted)s) AS n FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            {"granted": granted},
        )
        return row["n"] > 0

    with ImportJob(database, source="feed", run_id="r1") as job, database.connect(autocommit=True) as half_open:
        key = import_jobs._lock_key(job.token)
        waiting = threading.Thread(target=half_open.execute, args=("SELECT pg_advisory_lock(%s)", (key,)))
        waiting.start()
        assert _soon(lambda: locks(granted=False), 10)
        with database.transaction() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'ingestion/heartbeat feed'"
            )
        waiting.join(10)
        _age(database, 3600)
        assert _soon(lambda: _silence(database) < 5, 10), "no beat arrived while the lock was somebody else's"
        half_open.execute("SELECT pg_advisory_unlock(%s)", (key,))
        assert _soon(lambda: locks(granted=True), 10), "the lock was not taken when it was free"
        job.commit(job.succeed)


def test_a_commit_never_moves_the_heartbeat_into_the_past(database: Database) -> None:
    with ImportJob(database, source="feed", run_id="r1") as job:

        def work(connection: psycopg.Connection[Any]) -> None:
            connection.execute("SELECT pg_sleep(0.3)")

        before = _jobs(database)[0]["heartbeat_at"]
        job.commit(work)
        assert (_jobs(database)[0]["heartbeat_at"] - before).total_seconds() >= 0.3
        job.commit(job.succeed)


def _silence(database: Database) -> float:
    [row] = database.fetch_all(
        "SELECT extract(epoch FROM clock_timestamp() - heartbeat_at)::float8 AS s FROM import_jobs"
    )
    return float(row["s"])


@pytest.mark.usefixtures("started_long_ago")
def test_a_worker_that_was_stopped_inside_a_transaction_is_evicted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP in the middle of a page: the connection lives, the row stays locked, nobody beats."""
    monkeypatch.setattr(import_jobs, "BEAT_EVERY", 3600.0)
    monkeypatch.setattr(import_jobs, "LOCK_PATIENCE", 0.2)
    monkeypatch.setattr(import_jobs, "MISSED_BEATS", timedelta(seconds=0.3))
    stopped = ImportJob(database, source="feed", run_id="stopped")
    stopped.__enter__()
    connection = stopped.session.connection()
    connection.execute("SELECT pages FROM import_jobs WHERE id = %s FOR KEY SHARE", (stopped.job_id,))
    connection.execute("INSERT INTO import_job_partitions (job_id, week) VALUES (%s, '2026-11-16')", (stopped.job_id,))
    _age(database, LEASE.total_seconds() + 1)
    with ImportJob(database, source="feed", run_id="next", wait=10) as job:
        assert job.took_over == ["stopped"]
        with pytest.raises(AttemptSupersededError) as late:  # SIGCONT
            stopped.commit(_touch)
        stopped.__exit__(type(late.value), late.value, None)
        job.commit(job.succeed)
    assert [row["status"] for row in _jobs(database)] == ["ERROR", "SUCCESS"]
    assert database.fetch_all("SELECT count(*) AS n FROM import_job_partitions") == [{"n": 0}]


@pytest.mark.usefixtures("started_long_ago")
def test_a_row_that_somebody_else_keeps_locked_is_no_endless_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_jobs, "LOCK_PATIENCE", 0.1)
    _Dead(database)
    _age(database, 3600)
    with database.connect(role="an analyst's shell") as connection:
        connection.execute("SELECT * FROM import_jobs FOR UPDATE")
        with (
            pytest.raises(ImportBusyError, match="stays locked"),
            ImportJob(database, source="feed", run_id="next", wait=0.2),
        ):
            pass
    assert [row["status"] for row in _jobs(database)] == ["RUNNING"]


def test_of_many_claimers_at_once_one_imports_and_the_others_wait(database: Database) -> None:
    begun = threading.Barrier(6)
    running: list[str] = []
    overlaps: list[list[str]] = []

    def worker(run: str) -> None:
        begun.wait(30)
        with ImportJob(database, source="feed", run_id=run, wait=60) as job:
            running.append(run)
            if len(running) > 1:
                overlaps.append(list(running))
            rows = database.fetch_all("SELECT run_id FROM import_jobs WHERE status = 'RUNNING'")
            assert [row["run_id"] for row in rows] == [run]
            running.remove(run)
            job.commit(job.succeed)

    threads = [threading.Thread(target=worker, args=(f"r{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not overlaps
    assert sorted((row["run_id"], row["status"]) for row in _jobs(database)) == [(f"r{n}", "SUCCESS") for n in range(6)]


def test_a_claim_whose_acknowledgement_was_lost_is_made_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ImportJob(database, source="feed", run_id="r1", wait=0)
    monkeypatch.setattr(job, "_try_claim", lose_acknowledgement(job._try_claim))
    with job:
        assert job.session.reconnects == 1
        assert [(row["status"], row["attempt"]) for row in _jobs(database)] == [("RUNNING", 1)]
        job.commit(job.succeed)


@pytest.mark.parametrize(
    ("silence", "locked", "finished", "dead"),
    [
        (0, True, None, False),
        (0, True, False, False),
        (29, True, None, False),
        (31, True, None, True),
        (31, True, False, True),
        (9, False, None, False),
        (11, False, None, True),
        (11, False, False, True),
        (0, True, True, True),
    ],
)
def test_death_is_decided_by_silence_lock_and_run(
    silence: float, locked: bool, finished: bool | None, dead: bool
) -> None:
    job = RunningImport(job_id=1, run_id="r", silence=timedelta(seconds=silence), locked=locked)
    assert (is_dead(job, run_finished=finished) is not None) is dead
