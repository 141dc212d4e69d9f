"""PostgreSQL goes away in the middle of an import and comes back: the import ends by itself, with exact counts."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from resources.postgres.database import Database
from tests.faults.conftest import OwnServer
from tests.faults.harness import Feeds, Workers


def _restart(own: OwnServer) -> None:
    own.server.stop(force=True)
    own.server.start()


def _crash(own: OwnServer) -> None:
    """SIGKILL of the postmaster: every session is cut, the next start has to recover."""
    pid = own.server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    own.server.start()


OUTAGES: dict[str, Callable[[OwnServer], None]] = {"a restart": _restart, "a crash": _crash}


@pytest.mark.parametrize(
    ("outage", "point"),
    [
        ("a restart", "rows staged"),
        ("a crash", "batch written"),
        pytest.param("a restart", "batch committed", marks=pytest.mark.soak),
        pytest.param("a crash", "batch committed", marks=pytest.mark.soak),
        pytest.param("a restart", "closed", marks=pytest.mark.soak),
        pytest.param("a crash", "closed", marks=pytest.mark.soak),
        pytest.param("a restart", "page fetched", marks=pytest.mark.soak),
    ],
)
def test_an_outage_in_the_middle_is_survived(
    outage: str, point: str, workers: Workers, feeds: Feeds, own_server: OwnServer
) -> None:
    database = own_server.database(f"t{abs(hash((outage, point)))}")
    workers.run(feeds, database, number=1)
    worker = workers.start(feeds, database, point=point, nth=1 if point == "closed" else 2, sent=signal.SIGSTOP)
    assert worker.wait() == {"stopped": signal.SIGSTOP}
    OUTAGES[outage](own_server)
    worker.go_on()
    assert worker.wait() == {"exit": 0}, worker.result
    assert worker.result["reconnects"] >= 1
    feeds.assert_arrived(database, imports=1)


def test_an_import_waits_for_a_server_that_stays_away_for_a_while(
    workers: Workers, feeds: Feeds, own_server: OwnServer
) -> None:
    database = own_server.database("away")
    workers.run(feeds, database, number=1)
    worker = workers.start(feeds, database, point="keys staged", nth=2, sent=signal.SIGSTOP)
    assert worker.wait() == {"stopped": signal.SIGSTOP}
    own_server.server.stop(force=True)
    worker.go_on()
    time.sleep(1.0)  # it has failed to connect a few times by now
    own_server.server.start()
    assert worker.wait() == {"exit": 0}, worker.result
    feeds.assert_arrived(database, imports=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_twenty_restarts_at_random_moments(
    workers: Workers, feeds: Feeds, own_server: OwnServer, record_property: Callable[[str, object], None]
) -> None:
    draw = random.Random(7)
    reconnects = 0
    for number in range(20):
        database = own_server.database(f"random{number}")
        workers.run(feeds, database, number=1)
        worker = workers.start(feeds, database, batch=20)
        time.sleep(draw.uniform(0, 1.0))
        (_restart, _crash)[number % 2](own_server)
        assert worker.wait() == {"exit": 0}, worker.result
        reconnects += worker.result["reconnects"]
        feeds.assert_arrived(database, imports=1)
    record_property("restarts and crashes", 20)
    record_property("reconnects", reconnects)


def _terminate_one(database: Database) -> int:
    rows: list[Any] = database.fetch_all(
        "SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'ingestion/%%' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1",
        {"unused": 1},
    )
    return len(rows)


def test_sessions_that_are_ended_again_and_again_cost_nothing_but_time(
    workers: Workers, feeds: Feeds, loaded: Database
) -> None:
    worker = workers.start(feeds, loaded, batch=50)
    ended = 0
    deadline = time.monotonic() + 60
    while ended < 8 and not worker.result_path.exists() and time.monotonic() < deadline:
        ended += _terminate_one(loaded)
        time.sleep(0.1)
    assert worker.wait() == {"exit": 0}, worker.result
    assert ended > 0
    feeds.assert_arrived(loaded, imports=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_hundred_sessions_are_ended(
    workers: Workers, feeds: Feeds, databases: object, first_pass: str, record_property: Callable[[str, object], None]
) -> None:
    ended = imports = 0
    while ended < 200:
        database = Database(databases.create(template=first_pass), patience=60)  # type: ignore[attr-defined]
        worker = workers.start(feeds, database, batch=20)
        while not worker.result_path.exists():
            ended += _terminate_one(database)
            time.sleep(0.05)
        assert worker.wait() == {"exit": 0}, worker.result
        feeds.assert_arrived(database, imports=1)
        imports += 1
    record_property("sessions ended", ended)
    record_property("imports", imports)
