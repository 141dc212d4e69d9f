"""What history is deleted, and what has to stay."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.ledger import uploads
from ingestion_assets.ledger.async_jobs import JobKind, cancel, enqueue
from ingestion_assets.ledger.metrics import metrics
from ingestion_assets.ledger.retention import GIB, RetentionSettings, purge_dagster, purge_platform, sizes
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from sensors.retention import databases_are_small_enough, history, judge_size
from tests.sensors.conftest import Ledger

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def thing(context: dg.AssetExecutionContext) -> None:
    """Something that is materialized by partition."""
    context.log.info("working")


@dg.asset_check(asset=thing)
def looked_at() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def materialize(instance: dg.DagsterInstance, first: str, last: str | None = None) -> str:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
    result = dg.materialize([thing, looked_at], instance=instance, tags=tags)
    assert result.success
    return result.run_id


@pytest.fixture
def storage(platform_environment: Mapping[str, str]) -> Database:
    return Database(platform_environment["DAGSTER_DATABASE_URL"])


def age_all(storage: Database, days: float) -> None:
    with storage.transaction() as connection:
        connection.execute("UPDATE runs SET end_time = end_time - %s", (days * 86_400,))
        connection.execute(
            "UPDATE asset_check_executions SET create_timestamp = create_timestamp - %s::interval", (f"{days} d",)
        )


def run_ids(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_old_runs_go_except_the_last_materialization_of_each_partition(
    instance: dg.DagsterInstance, storage: Database
) -> None:
    superseded = materialize(instance, "mon", "tue")
    monday = materialize(instance, "mon")
    tuesday = materialize(instance, "tue")
    failed = instance.add_run(dg.DagsterRun("j", run_id="f" * 32, status=dg.DagsterRunStatus.FAILURE))
    age_all(storage, 40)
    with storage.transaction() as connection:
        connection.execute("UPDATE runs SET end_time = 0 WHERE run_id = %s", (failed.run_id,))
    recent = materialize(instance, "wed")
    purged = purge_dagster(instance, storage, keep_days=30)
    assert run_ids(instance) == {monday, tuesday, recent}
    assert (purged.runs, purged.runs_kept, purged.complete) == (2, 2, True)
    assert superseded not in run_ids(instance)
    assert instance.get_materialized_partitions(thing.key) == {"mon", "tue", "wed"}
    event = instance.get_latest_materialization_event(thing.key)
    assert event is not None
    assert event.run_id == recent
    again = purge_dagster(instance, storage, keep_days=30)
    assert (again.runs, again.runs_kept) == (0, 2)


def test_runs_that_are_not_over_and_recent_ones_stay(instance: dg.DagsterInstance, storage: Database) -> None:
    recent = materialize(instance, "mon")
    newest = materialize(instance, "mon")
    age_all(storage, 29)
    started = instance.add_run(dg.DagsterRun("j", run_id="a" * 32, status=dg.DagsterRunStatus.STARTED))
    with storage.transaction() as connection:
        connection.execute(
            "UPDATE runs SET create_timestamp = now() - interval '1 year', start_time = 0 WHERE run_id = %s",
            (started.run_id,),
        )
    purge_dagster(instance, storage, keep_days=30)
    assert run_ids(instance) == {recent, newest, started.run_id}


def test_a_purge_that_runs_out_of_time_says_so_and_goes_on_later(
    instance: dg.DagsterInstance, storage: Database
) -> None:
    for _ in range(3):
        last = materialize(instance, "mon")
    age_all(storage, 40)
    assert not purge_dagster(instance, storage, keep_days=30, seconds=-1).complete
    assert len(run_ids(instance)) == 3
    assert purge_dagster(instance, storage, keep_days=30).complete
    assert run_ids(instance) == {last}


def test_counters_survive_the_deletion_of_their_jobs(ledger: Ledger) -> None:
    kind = JobKind(name="k", handler=lambda _: None)
    for _ in range(3):
        cancel(ledger.connection, enqueue(ledger.connection, kind).job_id)
    enqueue(ledger.connection, kind)
    counted = 'ingestion_jobs_total{kind="k",state="cancelled"} 3.0'
    assert counted in metrics(ledger.database)
    now = datetime.now(UTC)
    assert purge_platform(ledger.database, RetentionSettings(), now=now)["async_jobs"] == 0
    for _ in range(2):
        purge_platform(ledger.database, RetentionSettings(), now=now + timedelta(days=91))
    assert ledger.database.fetch_all("SELECT state FROM async_jobs") == [{"state": "pending"}]
    assert counted in metrics(ledger.database)


def test_study_imports_go_after_their_days_and_counters_survive_them(ledger: Ledger) -> None:
    """The ledger had three rows of every collection there ever was."""

    def add(source: str, status: str, days: int) -> None:
        ledger.connection.execute(
            "UPDATE import_jobs SET status = %s, started_at = now() - make_interval(days => %s, secs => 5),"
            " finished_at = now() - make_interval(days => %s), nb_created = 2, nb_updated = 3, nb_skipped = 4,"
            " nb_errors = 5, nb_refused = 6 WHERE id = %s",
            (status, days, days, ledger.add_import(source=source)),
        )

    def counters() -> list[str]:
        return [line for line in metrics(ledger.database).splitlines() if line.startswith("ingestion_import_")]

    old = ["documents:a", "documents:b", "document_analyses:a", "study_collections:a"]
    for source in (*old, "ics", "deduplicated_events"):
        add(source, "SUCCESS", 91)
    add("documents:c", "ERROR", 91)
    add("documents:a", "SUCCESS", 89)
    running = ledger.add_import(source="documents:d")
    ledger.connection.execute("UPDATE import_jobs SET started_at = now() - interval '1 year' WHERE id = %s", (running,))
    counted = counters()
    assert 'ingestion_import_records_total{outcome="skipped",source="documents"} 16.0' in counted
    assert purge_platform(ledger.database, RetentionSettings())["import_jobs"] == 5
    assert counters() == counted
    left = ledger.database.fetch_all("SELECT source FROM import_jobs ORDER BY id")
    assert [row["source"] for row in left] == ["ics", "deduplicated_events", "documents:a", "documents:d"]
    ledger.connection.execute(
        "UPDATE import_jobs SET finished_at = now() - interval '91 days' WHERE source = 'documents:a'"
    )
    counted = counters()
    assert purge_platform(ledger.database, RetentionSettings())["import_jobs"] == 1, "added to what is there"
    assert counters() == counted
    assert purge_platform(ledger.database, RetentionSettings())["import_jobs"] == 0
    assert counters() == counted


def test_files_that_no_batch_names_go_after_a_day(ledger: Ledger) -> None:
    for hours in (23, 25):
        uploads.add_parts(ledger.connection, uuid.uuid4(), 0, [b"left"], user_id=None)
        ledger.connection.execute(
            "UPDATE study_files SET created_at = now() - make_interval(hours => %s)"
            " WHERE created_at > now() - interval '1 hour'",
            (hours,),
        )
    assert purge_platform(ledger.database, RetentionSettings())["study_files"] == 1


def test_rejected_records_go_except_those_of_the_last_import(ledger: Ledger) -> None:
    jobs = [ledger.add_import(source="ics")]
    ledger.connection.execute("UPDATE import_jobs SET status = 'SUCCESS', finished_at = now()")
    jobs.append(ledger.add_import(source="ics"))
    ledger.connection.execute("UPDATE import_jobs SET status = 'SUCCESS', finished_at = now()")
    for job_id in jobs:
        ledger.connection.execute(
            "INSERT INTO rejected_records (job_id, source, week, reason, detail)"
            " VALUES (%s, 'ics', '2026-11-16', 'no_title', 'x')",
            (job_id,),
        )
    later = datetime.now(UTC) + timedelta(days=31)
    assert purge_platform(ledger.database, RetentionSettings(), now=later)["rejected_records"] == 1
    assert ledger.database.fetch_all("SELECT job_id FROM rejected_records") == [{"job_id": jobs[1]}]


def test_rejected_records_of_the_last_success_stay_though_every_import_since_has_failed(ledger: Ledger) -> None:
    """They are what the blocking check counts_reconcile counts: evaluated again, it turned red."""
    jobs = []
    for status in ("SUCCESS", "SUCCESS", "ERROR", "ERROR"):
        jobs.append(ledger.add_import())
        ledger.connection.execute(
            "UPDATE import_jobs SET status = %s, finished_at = now() WHERE id = %s", (status, jobs[-1])
        )
        ledger.connection.execute(
            "INSERT INTO rejected_records (job_id, source, week, reason, detail)"
            " VALUES (%s, 'ics', '2026-11-16', 'no_title', 'x')",
            (jobs[-1],),
        )
    later = datetime.now(UTC) + timedelta(days=31)
    assert purge_platform(ledger.database, RetentionSettings(), now=later)["rejected_records"] == 2
    kept = ledger.database.fetch_all("SELECT job_id FROM rejected_records ORDER BY job_id")
    assert kept == [{"job_id": jobs[1]}, {"job_id": jobs[3]}]


def test_the_size_check_warns_and_says_what_to_do() -> None:
    assert judge_size(GIB, limit_gib=1.0) == (True, "The databases take 1.00 GiB of 1 GiB.")
    passed, text = judge_size(GIB + 1, limit_gib=1.0)
    assert not passed
    assert "lower INGESTION_RETENTION_DAYS, or raise the limit" in text


def test_the_asset_purges_and_shows_the_sizes(
    instance: dg.DagsterInstance, storage: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialize(instance, "mon")
    materialize(instance, "mon")
    age_all(storage, 40)
    monkeypatch.setenv("INGESTION_DATABASE_SIZE_LIMIT_GIB", "0.001")
    result = dg.materialize(
        [history, databases_are_small_enough], instance=instance, resources={"postgres": PostgresResource()}
    )
    assert result.success
    [event] = result.asset_materializations_for_node("operations__history")
    assert event.metadata["runs_deleted"].value == 1
    parts = [event.metadata[f"bytes_{name}"].value for name in ("platform", "dagster")]
    assert event.metadata["bytes"].value == sum(parts)
    assert parts == pytest.approx([sizes(ledger.database)["database"], sizes(storage)["database"]], rel=0.2)
    [check] = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_month_of_schedules_does_not_grow_the_database(
    instance: dg.DagsterInstance,
    storage: Database,
    add_run: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    """Each day nine runs of a range of partitions; a week is kept. The second fortnight ends as the first did."""
    rows: list[int] = []
    for _ in range(28):
        for _ in range(9):
            materialize(instance, "mon", "wed")
        age_all(storage, 1)
        purge_dagster(instance, storage, keep_days=7)
        with storage.transaction() as connection:
            [[count]] = connection.execute("SELECT count(*) FROM event_logs").fetchall()
        rows.append(count)
    record_property("rows of the event log after a fortnight and after a month", f"{rows[13]:,} and {rows[27]:,}")
    assert rows[27] <= rows[13]
    assert len(run_ids(instance)) <= 8 * 9
    assert instance.get_materialized_partitions(thing.key) == {"mon", "tue", "wed"}
