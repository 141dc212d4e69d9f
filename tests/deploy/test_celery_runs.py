"""Runs that Celery distributes over two workers: what one process makes, also when a worker dies in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from ingestion_assets.celery.launcher import RoutedCeleryRunLauncher
from ingestion_assets.definitions import build_definitions
from ingestion_assets.events.raw_events import raw_events_key
from ingestion_assets.launch import materialize
from ingestion_assets.partitions import key_of
from resources.postgres.database import Database
from tests.databases import Databases
from tests.deploy.installation import CeleryInstallation, redis_server
from tests.fakes._server import Answer, FakeService, Request
from tests.fakes.allevents import FakeAllEvents
from tests.fakes.fetching import environment
from tests.pipeline.importing import ALLOW, FIRST, LAST
from tests.pipeline.services import SERVICES
from tests.processes import wait_for

DOWNSTREAM = ("deduplicated_events", "tag_enrichments")
SLOW = "allevents"
pytestmark = [
    pytest.mark.soak,
    pytest.mark.dagster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        redis_server() is None, reason="redis-server is not installed (Debian: apt-get install redis-server)"
    ),
]


class SlowAllEvents(FakeAllEvents):
    """Takes its time over each page, so that somebody can be killed between two batches."""

    pause = 0.0

    def answer(self, request: Request) -> Answer:
        time.sleep(self.pause)
        return super().answer(request)


@pytest.fixture
def fakes() -> Iterator[dict[str, FakeService]]:
    made: dict[str, FakeService] = {
        name: SERVICES[name].make(150, 6, None)
        for name in ("ics", "open_data_montreal as a file", "meetup", "ticketmaster")
    }
    made[SLOW] = SlowAllEvents(events=2600, bad=9)
    with ExitStack() as stack:
        yield {name.partition(" ")[0]: stack.enter_context(fake) for name, fake in made.items()}


@pytest.fixture
def feeds(fakes: dict[str, FakeService]) -> dict[str, str]:
    values = {name: value for fake in fakes.values() for name, value in fake.environment().items()}
    # Fifteen weeks: four deduplications, of which two may work at once.
    shared = {"INGESTION_DEDUPLICATION_WEEKS_PER_RUN": "4", "INGESTION_DEDUPLICATION_RUNS": "2"}
    return {**ALLOW, **values, **shared, "LLM_PROVIDERS": "offline"}


@pytest.fixture
def installation(
    tmp_path: Path, platform_environment: dict[str, str], feeds: dict[str, str]
) -> Iterator[CeleryInstallation]:
    made = CeleryInstallation(tmp_path, {**platform_environment, **feeds})
    made.start_redis()
    made.start_dagster()
    made.start_worker("one")
    made.start_worker("two")
    yield made
    made.stop()


def tables(database: Database) -> dict[str, Any]:
    """What an import leaves, without what differs from run to run: ids and times."""
    raw = database.fetch_all(
        "SELECT source, source_id, encode(content_hash, 'hex') AS hash, week::text FROM raw_events ORDER BY 1, 2"
    )
    clusters = database.fetch_all(
        "SELECT array_agg(l.source || ':' || l.source_id ORDER BY l.source, l.source_id) AS members, e.title,"
        " e.local_date::text, t.status, t.type, t.genres, t.ambiance, t.audience"
        " FROM deduplicated_events e JOIN event_links l USING (event_id) LEFT JOIN tag_enrichments t USING (event_id)"
        " WHERE e.replaced_by IS NULL GROUP BY e.event_id, t.event_id ORDER BY 1"
    )
    counts = database.fetch_all(
        "SELECT source, sum(nb_created)::int AS created, sum(nb_updated)::int AS updated FROM import_jobs"
        " GROUP BY source ORDER BY source"
    )
    return {"raw": raw, "clusters": clusters, "counts": counts}


def in_one_process(databases: Databases, template: str, feeds: dict[str, str], sources: list[str]) -> dict[str, Any]:
    """The same feeds, imported, deduplicated and tagged by one run in this process, in a database of its own."""
    database = Database(databases.create(template=template), patience=30)
    keys = [*map(raw_events_key, sources), *(dg.AssetKey(name) for name in DOWNSTREAM)]
    with environment({**feeds, "DATABASE_URL": database.url}), dg.DagsterInstance.ephemeral() as instance:
        outcome = materialize(build_definitions(), keys, first=FIRST, last=LAST, instance=instance)
    assert (outcome.success, outcome.problems) == (True, [])
    return tables(database)


def launch_backfill(
    instance: dg.DagsterInstance, sources: list[str], backfill_id: str, *, downstream: tuple[str, ...] = DOWNSTREAM
) -> None:
    weeks = [FIRST + timedelta(weeks=number) for number in range((LAST - FIRST).days // 7 + 1)]
    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=backfill_id,
            asset_graph=build_definitions().resolve_asset_graph(),
            partition_names=[key_of(week) for week in weeks],
            asset_selection=[*map(raw_events_key, sources), *(dg.AssetKey(name) for name in downstream)],
            backfill_timestamp=datetime.now(UTC).timestamp(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    )


def finish(instance: dg.DagsterInstance, backfill_id: str) -> list[dg.DagsterRun]:
    """The runs of a backfill when it is done, with those of the automation that followed it."""
    over = {BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.FAILED}

    def status() -> BulkActionStatus | None:
        backfill = instance.get_backfill(backfill_id)
        return backfill.status if backfill is not None and backfill.status in over else None

    assert wait_for(status, 400, "the backfill did not end") is BulkActionStatus.COMPLETED_SUCCESS
    return list(instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id})))


@pytest.mark.parametrize("victim", [None, "worker", "child"])
def test_two_workers_make_what_one_process_makes(
    installation: CeleryInstallation,
    make_instance: Callable[[], dg.DagsterInstance],
    database: Database,
    databases: Databases,
    migrated_template: str,
    fakes: dict[str, FakeService],
    feeds: dict[str, str],
    victim: str | None,
    *,
    record_property: Callable[[str, object], None],
) -> None:
    """The victim is a worker's machine, or the one process that executes the run."""
    sources, instance = list(fakes), make_instance()
    began = time.monotonic()
    expected = in_one_process(databases, migrated_template, feeds, sources)
    record_property("seconds in one process", time.monotonic() - began)
    SlowAllEvents.pause = 0.25 if victim else 0.0
    began = time.monotonic()
    launch_backfill(instance, sources, "weeks")
    if victim:
        pid, _ = slow_import(database)
        if victim == "worker":
            installation.kill_tree(installation.holder(pid))
        else:
            psutil.Process(pid).kill()
        SlowAllEvents.pause = 0.0
        killed = time.monotonic()
        wait_for(lambda: _import_succeeded(database), 200, "the killed import was not done again")
        record_property(f"{victim} killed: seconds until it was imported", time.monotonic() - killed)
    runs = finish(instance, "weeks")
    record_property("seconds of the backfill", time.monotonic() - began)

    assert tables(database) == expected
    queues = {run.tags["dagster-celery/queue"] for run in runs}
    assert queues >= {"llm", *(f"source_{name}" for name in sources)}
    # A worker may have had two runs in hand. Whatever failed was done again without anybody asking for it.
    failed = {run.run_id for run in runs if run.status == dg.DagsterRunStatus.FAILURE}
    assert (1 <= len(failed) <= 2) if victim else not failed
    assert failed == {run.parent_run_id for run in runs if run.parent_run_id}
    if not victim:
        assert all("execute_job" in installation.log(name) for name in ("one", "two"))


def slow_import(database: Database) -> tuple[int, str]:
    """The process and the run of the slow import, once it has committed something."""
    [row] = wait_for(
        lambda: database.fetch_all(
            "SELECT h.process, j.run_id FROM run_heartbeats h JOIN import_jobs j USING (run_id)"
            f" WHERE j.source = '{SLOW}' AND j.nb_created > 0"
        ),
        200,
        "the slow import did not begin",
    )
    return int(row["process"].rpartition(":")[2]), row["run_id"]


def test_two_workers_share_a_deduplication_and_one_of_them_dies(
    installation: CeleryInstallation,
    make_instance: Callable[[], dg.DagsterInstance],
    database: Database,
    databases: Databases,
    migrated_template: str,
    fakes: dict[str, FakeService],
    feeds: dict[str, str],
) -> None:
    """Killed in a week while the other one resolves weeks of its own."""
    sources, instance = list(fakes), make_instance()
    expected = in_one_process(databases, migrated_template, feeds, sources)
    instance.event_log_storage.set_concurrency_slots("deduplication", 2)
    SlowAllEvents.pause = 0.0
    launch_backfill(instance, sources, "weeks", downstream=("deduplicated_events",))
    victim = wait_for(lambda: two_deduplications(database), 300, "no two deduplications were under way together")
    psutil.Process(victim).kill()
    finish(instance, "weeks")

    found = tables(database)
    for made in (*found["clusters"], *expected["clusters"]):
        for name in ("status", "type", "genres", "ambiance", "audience"):  # nothing was tagged here
            made.pop(name)
    assert (found["raw"], found["clusters"]) == (expected["raw"], expected["clusters"])
    events = [count for count in expected["counts"] if count["source"] == "deduplicated_events"]
    assert [count for count in found["counts"] if count["source"] == "deduplicated_events"] == events
    jobs = database.fetch_all(
        "SELECT status, partition_start FROM import_jobs WHERE source = 'deduplicated_events' ORDER BY id"
    )
    assert [job["status"] for job in jobs].count("ERROR") == 1
    done = {job["partition_start"] for job in jobs if job["status"] == "SUCCESS"}
    assert done >= {FIRST + timedelta(weeks=4 * number) for number in range(4)}


def two_deduplications(database: Database) -> int | None:
    """The process of one of two deduplications that are at work, stopped in the middle of it."""
    rows = database.fetch_all(
        "SELECT j.id, h.process FROM import_jobs j JOIN run_heartbeats h USING (run_id)"
        " WHERE j.source = 'deduplicated_events' AND j.status = 'RUNNING' ORDER BY j.id DESC"
    )
    if len(rows) < 2:
        return None
    process = psutil.Process(int(rows[0]["process"].rpartition(":")[2]))
    process.suspend()
    [job] = database.fetch_all("SELECT status FROM import_jobs WHERE id = %(id)s", {"id": rows[0]["id"]})
    if job["status"] == "RUNNING":
        return process.pid
    process.resume()
    return None


def test_a_run_that_is_cancelled_ends_on_its_worker(
    installation: CeleryInstallation,
    make_instance: Callable[[], dg.DagsterInstance],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the UI does it: the run is marked, then the launcher is asked to end it."""
    instance = make_instance()
    monkeypatch.setattr(SlowAllEvents, "pause", 1.0)
    monkeypatch.setenv("INGESTION_CELERY_BROKER_URL", installation.broker)
    launch_backfill(instance, [SLOW], "one source", downstream=())
    pid, run_id = slow_import(database)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    launcher = RoutedCeleryRunLauncher()
    launcher.register_instance(instance)
    instance.report_run_canceling(run)
    assert launcher.terminate(run_id)

    def status() -> dg.DagsterRunStatus | None:
        found = instance.get_run_by_id(run_id)
        return found.status if found is not None and found.is_finished else None

    assert wait_for(status, 120, "the run stays CANCELING") is dg.DagsterRunStatus.CANCELED
    [row] = database.fetch_all("SELECT status, error_code FROM import_jobs")
    assert (row["status"], row["error_code"]) == ("ERROR", "cancelled")
    assert database.fetch_all("SELECT * FROM run_heartbeats") == []
    # Only the run has ended: its process waits for the next one, which is not launched by a retry.
    assert psutil.pid_exists(pid)
    assert len(instance.get_runs()) == 1


def _import_succeeded(database: Database) -> bool:
    rows = database.fetch_all(f"SELECT status FROM import_jobs WHERE source = '{SLOW}' ORDER BY id")
    return [row["status"] for row in rows] == ["ERROR", "SUCCESS"]
