"""Jobs of the deduplication: of disjoint weeks at once, of the same weeks one after the other."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from ingestion_assets.ledger import import_jobs
from ingestion_assets.ledger.import_jobs import (
    LEASE,
    AttemptSupersededError,
    ImportBusyError,
    ImportJob,
    end_silent_sessions,
    session_role,
)
from resources.postgres.database import Database

SOURCE = "deduplicated_events"
MONDAY = date(2026, 11, 16)


def job(database: Database, run_id: str, first: int, last: int, **options: Any) -> ImportJob:
    """A job of the weeks from `first` to `last`, by number."""
    weeks = [MONDAY + timedelta(weeks=number) for number in (first, last)]
    return ImportJob(
        database,
        source=SOURCE,
        run_id=run_id,
        partition_start=weeks[0],
        partition_end=weeks[1],
        **{"wait": 0, **options},
    )


def statuses(database: Database) -> dict[str, str]:
    return {row["run_id"]: row["status"] for row in database.fetch_all("SELECT run_id, status FROM import_jobs")}


@pytest.fixture
def silent(database: Database) -> Iterator[ImportJob]:
    """A job whose worker stands still in a transaction; nobody has heard of it for longer than its lease."""
    made = job(database, "silent-run", 0, 3)
    made.__enter__()
    made._heart.stop()
    made.session.connection().execute("SELECT FROM import_jobs WHERE id = %s FOR KEY SHARE", (made.job_id,))
    with database.transaction() as connection:
        connection.execute(
            "UPDATE import_jobs SET heartbeat_at = now() - %s WHERE id = %s",
            (LEASE + timedelta(seconds=1), made.job_id),
        )
    yield made
    made.session.close()


def test_disjoint_weeks_are_worked_on_at_once(database: Database) -> None:
    with ExitStack() as stack:
        open_ = [stack.enter_context(job(database, f"r{n}", 4 * n, 4 * n + 3)) for n in range(4)]
        assert set(statuses(database).values()) == {"RUNNING"}
        for one in open_:
            one.commit(one.succeed)
    assert set(statuses(database).values()) == {"SUCCESS"}


@pytest.mark.parametrize(("first", "last"), [(0, 3), (3, 3), (1, 2), (3, 9), (-5, 0), (-5, 9)])
def test_weeks_in_common_are_worked_on_by_one(database: Database, first: int, last: int) -> None:
    with job(database, "alive", 0, 3) as alive:
        with (
            pytest.raises(ImportBusyError, match=r"is being imported by run alive .*, alive"),
            job(database, "rival", first, last),
        ):
            pass
        alive.commit(alive.succeed)
    with job(database, "rival", first, last) as rival:
        rival.commit(rival.succeed)
    assert statuses(database) == {"alive": "SUCCESS", "rival": "SUCCESS"}


def test_a_retry_takes_over_its_own_run_and_leaves_the_others(database: Database) -> None:
    with job(database, "neighbour", 4, 7) as neighbour:
        old = job(database, "old", 0, 3)
        old.__enter__()
        with job(database, "new", 0, 3, earlier_runs={"old", "neighbour"}) as new:
            assert new.took_over == ["old"]
            with pytest.raises(AttemptSupersededError) as late:
                old.commit(lambda connection: connection.execute("SELECT 1"))
            old.__exit__(type(late.value), late.value, None)
            new.commit(new.succeed)
        neighbour.commit(neighbour.succeed)
    assert statuses(database) == {"neighbour": "SUCCESS", "old": "ERROR", "new": "SUCCESS"}
    assert database.fetch_all("SELECT run_id FROM import_jobs WHERE nb_refused > 0") == [{"run_id": "old"}]


def test_one_claim_may_close_several_dead_jobs(database: Database) -> None:
    gone = [job(database, name, first, first + 1) for name, first in (("a", 0), ("b", 2), ("far", 9))]
    for one in gone:
        one.__enter__()
    with job(database, "next", 1, 2, run_finished=lambda run: run in {"a", "b", "far"}) as following:
        assert following.took_over == ["a", "b"]
    for one in gone:
        one._heart.stop()
        one.session.close()
    assert statuses(database)["far"] == "RUNNING"


def test_the_database_itself_refuses_what_the_claim_would(database: Database) -> None:
    def insert(connection: psycopg.Connection[Any], source: str, weeks: tuple[int, int]) -> None:
        first, last = (MONDAY + timedelta(weeks=number) for number in weeks)
        connection.execute(
            "INSERT INTO import_jobs (source, status, run_id, attempt_token, partition_start, partition_end)"
            " VALUES (%s, 'RUNNING', gen_random_uuid()::text, gen_random_uuid(), %s, %s)",
            (source, first, last),
        )

    with database.transaction() as connection:
        insert(connection, SOURCE, (0, 1))
        insert(connection, SOURCE, (2, 3))
        insert(connection, "ics", (0, 1))
        with pytest.raises(errors.ExclusionViolation), connection.transaction():
            insert(connection, SOURCE, (3, 4))
        with pytest.raises(errors.UniqueViolation), connection.transaction():
            insert(connection, "ics", (5, 6))


@pytest.mark.usefixtures("started_long_ago")
def test_only_sessions_of_the_silent_are_ended(
    database: Database, silent: ImportJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A neighbour in the middle of a long week is in a transaction just as long, and beats."""
    monkeypatch.setattr(import_jobs, "MISSED_BEATS", timedelta(0))
    with job(database, "busy", 4, 7) as busy:

        def work(_: psycopg.Connection[Any]) -> int:
            with database.transaction() as connection:
                return end_silent_sessions(connection, SOURCE)

        assert busy.commit(work) == 1
        busy.commit(busy.succeed)
    with pytest.raises(psycopg.OperationalError):
        silent.session.connection().execute("SELECT 1")


@pytest.mark.usefixtures("started_long_ago")
def test_a_claim_ends_the_session_of_the_dead_job_in_its_way_and_no_other(
    database: Database, silent: ImportJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_jobs, "MISSED_BEATS", timedelta(0))
    monkeypatch.setattr(import_jobs, "LOCK_PATIENCE", 0.1)
    with job(database, "busy", 4, 7) as busy:

        def claim(_: psycopg.Connection[Any]) -> list[str]:
            with job(database, "next", 2, 3, wait=10) as following:
                following.commit(following.succeed)
                return following.took_over

        assert busy.commit(claim) == ["silent-run"]
        assert busy.session.reconnects == 0
        busy.commit(busy.succeed)


def test_a_claimer_that_stands_still_keeps_others_out_for_a_moment_only(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock of claims and has no row yet by which it could be found."""
    monkeypatch.setattr(import_jobs, "MISSED_BEATS", timedelta(0))
    monkeypatch.setattr(import_jobs, "LOCK_PATIENCE", 0.1)
    stopped = database.connect(role=session_role(SOURCE, "stopped"))
    stopped.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"import {SOURCE}",))
    with job(database, "next", 0, 3, wait=10) as following:
        following.commit(following.succeed)
    stopped.close()


def test_of_many_claimers_of_random_weeks_no_two_work_on_one_week(database: Database) -> None:
    import random

    chance = random.Random(int(os.environ.get("SEED", "5")))
    busy: set[int] = set()
    clashes: list[set[int]] = []
    guard = threading.Lock()

    def worker(number: int, first: int, last: int) -> None:
        mine = set(range(first, last + 1))
        with job(database, f"r{number}", first, last, wait=60) as one:
            with guard:
                if busy & mine:
                    clashes.append(busy & mine)
                busy.update(mine)
            one.commit(lambda connection: connection.execute("SELECT pg_sleep(0.02)"))
            with guard:
                busy.difference_update(mine)
            one.commit(one.succeed)

    threads = []
    for number in range(8):
        first = chance.randrange(12)
        threads.append(threading.Thread(target=worker, args=(number, first, first + chance.randrange(4))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not clashes
    assert list(statuses(database).values()) == ["SUCCESS"] * 8
