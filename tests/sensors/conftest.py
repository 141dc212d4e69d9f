"""Sensors called directly on a Dagster instance in PostgreSQL, and ledgers with something wrong in them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from psycopg import sql

from ingestion_assets.ledger.dagster_runs import COMMAND_LINE, LAUNCHED_BY_TAG
from ingestion_assets.ledger.sightings import Sightings
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from sensors import stuck_async_jobs, stuck_imports, unserved_runs


@pytest.fixture
def instance(
    make_instance: Callable[[], dg.DagsterInstance], platform_environment: dict[str, str]
) -> dg.DagsterInstance:
    return make_instance()


@pytest.fixture
def tick(instance: dg.DagsterInstance) -> Callable[..., Any]:
    """Evaluate a sensor once, as a tick would."""

    def evaluate(sensor: dg.SensorDefinition, *, cursor: str | None = None) -> Any:
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"postgres": PostgresResource()}
        ) as context:
            return sensor(context)

    return evaluate


@pytest.fixture
def add_run(instance: dg.DagsterInstance) -> Callable[..., dg.DagsterRun]:
    """A run in a status, as an `ingest` command would have left it."""

    def add(status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED, **options: Any) -> dg.DagsterRun:
        tags = {LAUNCHED_BY_TAG: COMMAND_LINE, **options.pop("tags", {})}
        run = dg.DagsterRun(job_name="import_ics", run_id=str(uuid.uuid4()), status=status, tags=tags, **options)
        return instance.add_run(run)

    return add


class WatchersClock:
    """The clock by which a sensor says for how long it has seen a heartbeat; it moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        for module in (stuck_async_jobs, stuck_imports, unserved_runs):
            monkeypatch.setattr(module, "_sightings", Sightings(lambda: self.now))

    def advance(self, *, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def watchers_clock(monkeypatch: pytest.MonkeyPatch) -> WatchersClock:
    return WatchersClock(monkeypatch)


class Ledger:
    """Rows of import jobs as a crash would leave them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = database.connect(autocommit=True)

    def add_import(
        self,
        run_id: str | None = None,
        *,
        source: str = "ics",
        silent: timedelta = timedelta(0),
        stalled: timedelta = timedelta(0),
        locked: bool = False,
    ) -> int:
        """A RUNNING import; `locked` holds its worker's lock on this ledger's connection."""
        token = uuid.uuid4()
        if locked:
            key = int.from_bytes(token.bytes[:8], signed=True)
            self.connection.execute("SELECT pg_advisory_lock(%s)", (key,))
        row = self.connection.execute(
            "INSERT INTO import_jobs (source, status, run_id, attempt_token, heartbeat_at, progress_at)"
            " VALUES (%s, 'RUNNING', %s, %s, now() - %s, now() - %s) RETURNING id",
            (source, run_id or str(uuid.uuid4()), token, silent, stalled),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def import_job(self, job_id: int) -> dict[str, Any]:
        [row] = self.database.fetch_all("SELECT * FROM import_jobs WHERE id = %(id)s", {"id": job_id})
        return row

    def incidents(self) -> list[tuple[str, str, str]]:
        return self.connection.execute("SELECT watcher, reason, action FROM incidents ORDER BY id").fetchall()


@pytest.fixture
def ledger(database: Database) -> Iterator[Ledger]:
    made = Ledger(database)
    yield made
    made.connection.close()


@pytest.fixture
def long_running_server(ledger: Ledger) -> Iterator[None]:
    """The tests' server has just started, and silence does not count from before that: hide the start.

    A function and a view of the same names, in a schema that is looked at first, say that it started a year ago.
    """
    [[name]] = ledger.connection.execute("SELECT current_database()").fetchall()
    database = sql.Identifier(name)
    ledger.connection.execute(
        "CREATE FUNCTION public.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql"
        " AS $$ SELECT now() - interval '1 year' $$"
    )
    ledger.connection.execute(
        "CREATE VIEW public.pg_stat_activity AS SELECT * FROM pg_catalog.pg_stat_activity"
        " WHERE backend_type IS DISTINCT FROM 'walwriter'"
    )
    ledger.connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = public, pg_catalog").format(database))
    yield
    ledger.connection.execute("DROP VIEW public.pg_stat_activity")
    ledger.connection.execute("DROP FUNCTION public.pg_postmaster_start_time()")
    ledger.connection.execute(sql.SQL("ALTER DATABASE {} RESET search_path").format(database))
