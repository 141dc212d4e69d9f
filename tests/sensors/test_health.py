"""The health report and the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from prometheus_client.parser import text_string_to_metric_families

from ingestion_assets.ledger.async_jobs import JobKind, enqueue
from ingestion_assets.ledger.health import (
    Daemon,
    DatabaseHealth,
    Imports,
    Jobs,
    Pool,
    Status,
    Ticker,
    problems_of,
    read_health,
)
from ingestion_assets.ledger.incidents import Action, Incident, Subject, record
from ingestion_assets.ledger.metrics import metrics
from resources.postgres.database import Database
from tests.sensors.conftest import Ledger

KIND = JobKind(name='odd "kind"\n', handler=lambda _: None)


def beat(instance: dg.DagsterInstance, *, age: float = 1.0) -> None:
    for daemon in instance.get_required_daemon_types():
        moment = datetime.now(UTC).timestamp() - age
        instance.add_daemon_heartbeat(DaemonHeartbeat(moment, daemon, "id", []))


def test_all_is_well_when_daemons_beat_and_nothing_waits(ledger: Ledger, instance: dg.DagsterInstance) -> None:
    beat(instance)
    health = read_health(ledger.database, instance)
    assert (health.status, list(health.problems)) == (Status.OK, [])
    assert health.jobs is not None
    assert health.database is not None
    assert health.database.bytes > 1_000_000
    assert health.database.connections >= 1
    assert {daemon.name for daemon in health.daemons} >= {"SENSOR", "SCHEDULER"}
    assert asdict(health)


def test_without_any_daemon_the_platform_is_down(ledger: Ledger, instance: dg.DagsterInstance) -> None:
    health = read_health(ledger.database, instance)
    assert health.status is Status.DOWN
    assert "no daemon has ever been up: start `ingest dev` or `ingest daemon`" in health.problems
    beat(instance, age=130)
    assert read_health(ledger.database, instance).status is Status.DOWN


def test_a_database_that_is_away_is_a_problem_and_not_an_empty_report() -> None:
    health = read_health(Database("postgresql://nobody@127.0.0.1:1/none"))
    assert health.status is Status.DOWN
    assert health.jobs is None
    assert "the job queue could not be read: OperationalError" in health.problems


def test_what_waits_and_what_is_stuck_is_said(
    ledger: Ledger, instance: dg.DagsterInstance, add_run: Callable[..., dg.DagsterRun], long_running_server: None
) -> None:
    beat(instance)
    add_run()
    ledger.add_import(silent=timedelta(minutes=1))
    enqueue(ledger.connection, KIND, not_before=datetime.now(UTC) - timedelta(minutes=2))
    health = read_health(ledger.database, instance)
    assert health.status is Status.DEGRADED
    assert health.runs == {"STARTED": 1}
    assert health.imports is not None
    assert health.imports.stuck == 1
    assert any("no worker is up (`ingest worker`)" in problem for problem in health.problems)


def test_a_source_that_is_set_up_and_not_imported_is_said(
    ledger: Ledger, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat(instance)

    def ended(source: str, status: str, hours: int) -> None:
        ledger.connection.execute(
            "INSERT INTO import_jobs (source, status, run_id, attempt_token, started_at, finished_at) VALUES (%s, %s,"
            " gen_random_uuid(), gen_random_uuid(), now() - %s * interval '1 h', now() - %s * interval '1 h')",
            (source, status, hours, hours),
        )

    ended("ics", "SUCCESS", 40)
    ended("ics", "ERROR", 1)
    ended("meetup", "SUCCESS", 40)  # not set up any more
    ended("open_data_montreal", "SUCCESS", 40)
    ended("open_data_montreal", "SUCCESS", 35)
    ended("ticketmaster", "ERROR", 38)
    ended("deduplicated_events", "SUCCESS", 90)
    monkeypatch.setenv("ICS_FEEDS", "venue=https://example.org/feed.ics")
    monkeypatch.setenv("TICKETMASTER_API_KEY", "key")
    monkeypatch.delenv("MEETUP_GROUPS", raising=False)
    health = read_health(ledger.database, instance)
    assert health.status is Status.DEGRADED
    assert list(health.problems) == [
        "ics has not been imported for 40 h (look at its runs and its schedule refresh_ics)",
        "ticketmaster has not been imported for 38 h (look at its runs and its schedule refresh_ticketmaster)",
    ]


def test_every_kind_of_problem_is_a_sentence_of_its_own() -> None:
    found = problems_of(
        jobs=Jobs(by_state={}, due=3, oldest_due_seconds=61, workers=2, stuck=1),
        imports=Imports(running=2, stuck=2, last=[]),
        server=DatabaseHealth(connections=90, max_connections=100, by_role={}, bytes=1, largest_tables={}),
        daemons=[
            Daemon(name="SENSOR", silent_seconds=121, errors=0),
            Daemon(name="SCHEDULER", silent_seconds=None, errors=0),
            Daemon(name="BACKFILL", silent_seconds=5, errors=0),
        ],
        tickers=[
            Ticker(name="late", kind="sensor", last_tick_seconds=301, last_status="SKIPPED"),
            Ticker(name="nightly", kind="schedule", last_tick_seconds=80_000, last_status="SUCCESS"),
            Ticker(name="broken", kind="sensor", last_tick_seconds=1, last_status="FAILURE"),
        ],
        pools=[Pool(name="llm", limit=1, used=2, waiting=0), Pool(name="ok", limit=1, used=1, waiting=5)],
    )
    assert found == [
        "1 asynchronous jobs are stuck",
        "3 jobs wait, the oldest for 61 s; 2 workers are up",
        "2 imports are stuck (`ingest clean-stuck-imports`)",
        "90 of 100 database connections are in use",
        "daemon SENSOR has been silent for 121 s",
        "daemon SCHEDULER is down",
        "sensor late has not ticked for 301 s",
        "the last tick of broken failed",
        "pool llm: 2 slots used of 1",
    ]


@pytest.fixture
def samples(ledger: Ledger, instance: dg.DagsterInstance) -> Callable[[], dict[frozenset[str], float]]:
    def read() -> dict[frozenset[str], float]:
        text = metrics(ledger.database, instance)
        families = list(text_string_to_metric_families(text))
        assert len({family.name for family in families}) == len(families)
        return {
            frozenset((sample.name, *sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }

    return read


def test_metrics_are_what_the_tables_say_and_prometheus_reads_them(
    ledger: Ledger, samples: Callable[[], dict[frozenset[str], float]]
) -> None:
    job_id = ledger.add_import(source="ics")
    ledger.connection.execute(
        "UPDATE import_jobs SET status = 'SUCCESS', finished_at = started_at + interval '4 s', nb_created = 5,"
        " nb_errors = 2 WHERE id = %s",
        (job_id,),
    )
    for seconds in (1, 2, 9):
        ledger.connection.execute(
            "INSERT INTO async_jobs (kind, state, max_attempts, timeout_seconds, claimed_at, finished_at)"
            " VALUES (%s, 'completed', 1, 1, now() - %s * interval '1 s', now())",
            (KIND.name, seconds),
        )
    enqueue(ledger.connection, KIND)
    incident = Incident(subject_type=Subject.RUN, subject="r", reason="x", action=Action.FAILED, detail="d")
    record(ledger.connection, "test", [incident, incident])
    found = samples()
    assert found[frozenset({"ingestion_jobs_total", KIND.name, "completed"})] == 3
    assert found[frozenset({"ingestion_job_seconds_total", KIND.name, "completed"})] == pytest.approx(12)
    assert found[frozenset({"ingestion_job_recent_seconds", KIND.name, "0.5"})] == pytest.approx(2)
    assert found[frozenset({"ingestion_imports_total", "ics", "SUCCESS"})] == 1
    assert found[frozenset({"ingestion_import_seconds_total", "ics", "SUCCESS"})] == pytest.approx(4)
    assert found[frozenset({"ingestion_import_records_total", "ics", "created"})] == 5
    assert found[frozenset({"ingestion_import_records_total", "ics", "errors"})] == 2
    assert found[frozenset({"ingestion_jobs_open", "pending"})] == 1
    assert found[frozenset({"ingestion_incidents_24h", "test", "x", "failed"})] == 2
    assert found[frozenset({"ingestion_up"})] == 0.0


def test_neither_metrics_nor_health_grow_with_the_study_collections(
    ledger: Ledger, samples: Callable[[], dict[frozenset[str], float]]
) -> None:
    for number in range(20):
        ledger.connection.execute(
            "UPDATE import_jobs SET status = 'SUCCESS', finished_at = now(), nb_created = 2 WHERE id = %s",
            (ledger.add_import(source=f"documents:{number}"),),
        )
    found = samples()
    assert found[frozenset({"ingestion_imports_total", "documents", "SUCCESS"})] == 20
    assert found[frozenset({"ingestion_import_records_total", "documents", "created"})] == 40
    assert not [key for key in found if any(":" in part for part in key)]
    imports = read_health(ledger.database).imports
    assert imports is not None
    assert [(last["source"], last["status"]) for last in imports.last] == [("documents", "SUCCESS")]


def test_what_is_only_reported_is_reported_once(ledger: Ledger) -> None:
    incident = Incident(subject_type=Subject.RUN, subject="r", reason="x", action=Action.REPORTED, detail="d")
    assert [len(record(ledger.connection, "test", [incident])) for _ in range(3)] == [1, 0, 0]
