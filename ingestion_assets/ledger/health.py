"""How the platform is: one report for `ingest status`, for the HTTP service and for metrics.

Everything is read, nothing repaired. A part that could not be read is a problem of its own, not an empty part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from ingestion_assets.ledger.stuck_jobs import WORKER_LOCK_CLASS
from ingestion_assets.ledger.uptime import ANSWERS_SINCE
from resources.postgres.database import Database

if TYPE_CHECKING:
    import dagster as dg

T = TypeVar("T")
log = logging.getLogger(__name__)

DAEMON_SILENCE = 120.0
"""Seconds without a heartbeat after which a daemon is down. Dagster's own tolerance is half an hour."""
TICK_SILENCE = 300.0
"""Seconds without a tick after which a running sensor stands still; each of ours ticks at least every two minutes."""
QUEUE_AGE = 60.0
"""Seconds that a due job may wait."""
FRESH_WITHIN = timedelta(hours=36)
"""Schedules import daily; half a day more is a late night, not an incident."""
CONNECTION_SHARE = 0.8
SIZE_TABLES = 5


class Status(StrEnum):
    """The whole in one word."""

    OK = "ok"
    DEGRADED = "degraded"
    """Something is late or stuck; what runs, runs."""
    DOWN = "down"
    """The database does not answer, or no daemon is up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """The queue of asynchronous jobs."""

    by_state: Mapping[str, int]
    """Of all jobs that are kept, by state."""
    due: int
    """Pending jobs that could start now."""
    oldest_due_seconds: float
    workers: int
    stuck: int
    """Running jobs past their deadline or silent for half a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """Imports by the ledger."""

    running: int
    stuck: int
    """RUNNING without a heartbeat for half a minute, or without a committed page for an hour."""
    last: Sequence[Mapping[str, Any]]
    """The last one of each source, and of each asset of all study collections: source, status, seconds since its start."""
    late: Mapping[str, float] = field(default_factory=dict)
    """Hours since the last success of each source that is set up and was to be imported within `FRESH_WITHIN`; since its
    first try where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseHealth:
    """The server and the platform's database."""

    connections: int
    max_connections: int
    by_role: Mapping[str, int]
    bytes: int
    largest_tables: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One of Dagster's daemons."""

    name: str
    silent_seconds: float | None
    """None: it has never been up."""
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """A sensor or schedule that is switched on."""

    name: str
    kind: str
    last_tick_seconds: float | None
    last_status: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of Dagster's."""

    name: str
    limit: int | None
    used: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The report. Parts that could not be read are None and named in `problems`."""

    at: datetime
    status: Status
    problems: Sequence[str]
    jobs: Jobs | None = None
    imports: Imports | None = None
    database: DatabaseHealth | None = None
    incidents_24h: Mapping[str, int] = field(default_factory=dict)
    """What was repaired in the last day, by `reason`."""
    daemons: Sequence[Daemon] = ()
    tickers: Sequence[Ticker] = ()
    pools: Sequence[Pool] = ()
    runs: Mapping[str, int] = field(default_factory=dict)
    """Runs that are not over, by status."""


def read_health(database: Database, instance: dg.DagsterInstance | None = None) -> Health:
    """Look at everything; without `instance` only at the platform's own database. Never raises for what is broken."""
    problems: list[str] = []

    def part(name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Exception as error:  # whatever is broken, the report has to say so
            log.warning("health: %s could not be read", name, exc_info=True)
            problems.append(f"{name} could not be read: {type(error).__name__}")
            return None

    jobs = part("the job queue", lambda: _jobs(database))
    imports = part("the imports", lambda: _imports(database))
    server = part("the database", lambda: _database(database))
    incidents = part("the incidents", lambda: _incidents(database))
    down = server is None
    daemons = tickers = pools = runs = None
    if instance is not None:
        now = datetime.now(UTC).timestamp()
        daemons = part("the daemons", lambda: _daemons(instance, now))
        tickers = part("the sensors", lambda: _tickers(instance, now))
        pools = part("the pools", lambda: _pools(instance))
        runs = part("the runs", lambda: _runs(instance))
        down = down or not daemons or all(_is_down(daemon) for daemon in daemons)
    problems += problems_of(
        jobs=jobs, imports=imports, server=server, daemons=daemons or (), tickers=tickers or (), pools=pools or ()
    )
    if instance is not None and daemons == []:
        problems.append("no daemon has ever been up: start `ingest dev` or `ingest daemon`")
    return Health(
        at=datetime.now(UTC),
        status=Status.DOWN if down else Status.DEGRADED if problems else Status.OK,
        problems=problems,
        jobs=jobs,
        imports=imports,
        database=server,
        incidents_24h=incidents or {},
        daemons=daemons or (),
        tickers=tickers or (),
        pools=pools or (),
        runs=runs or {},
    )


def problems_of(
    *,
    jobs: Jobs | None,
    imports: Imports | None,
    server: DatabaseHealth | None,
    daemons: Sequence[Daemon],
    tickers: Sequence[Ticker],
    pools: Sequence[Pool],
) -> list[str]:
    """What is wrong with what was read, as sentences."""
    found = []
    if jobs is not None and jobs.stuck:
        found.append(f"{jobs.stuck} asynchronous jobs are stuck")
    if jobs is not None and jobs.due and jobs.oldest_due_seconds > QUEUE_AGE:
        workers = f"{jobs.workers} workers are up" if jobs.workers else "no worker is up (`ingest worker`)"
        found.append(f"{jobs.due} jobs wait, the oldest for {jobs.oldest_due_seconds:.0f} s; {workers}")
    if imports is not None and imports.stuck:
        found.append(f"{imports.stuck} imports are stuck (`ingest clean-stuck-imports`)")
    if imports is not None:
        found += [
            f"{source} has not been imported for {hours:.0f} h (look at its runs and its schedule refresh_{source})"
            for source, hours in imports.late.items()
        ]
    if server is not None and server.connections > CONNECTION_SHARE * server.max_connections:
        found.append(f"{server.connections} of {server.max_connections} database connections are in use")
    found += [
        f"daemon {daemon.name} is down"
        if daemon.silent_seconds is None
        else f"daemon {daemon.name} has been silent for {daemon.silent_seconds:.0f} s"
        for daemon in daemons
        if _is_down(daemon)
    ]
    found += [
        f"{ticker.kind} {ticker.name} has not ticked for {ticker.last_tick_seconds:.0f} s"
        for ticker in tickers
        if ticker.kind == "sensor" and ticker.last_tick_seconds is not None and ticker.last_tick_seconds > TICK_SILENCE
    ]
    found += [f"the last tick of {ticker.name} failed" for ticker in tickers if ticker.last_status == "FAILURE"]
    found += [
        f"pool {pool.name}: {pool.used} slots used of {pool.limit}"
        for pool in pools
        if pool.limit is not None and pool.used > pool.limit
    ]
    return found


def _is_down(daemon: Daemon) -> bool:
    return daemon.silent_seconds is None or daemon.silent_seconds > DAEMON_SILENCE


def _jobs(database: Database) -> Jobs:
    states = database.fetch_all("SELECT state, count(*) AS n FROM async_jobs GROUP BY state")
    [row] = database.fetch_all(
        "SELECT count(*) FILTER (WHERE state = 'pending' AND not_before <= now()) AS due,"  # noqa: S608
        " coalesce(extract(epoch FROM now() - min(not_before) FILTER (WHERE state = 'pending' AND not_before <= now())),"
        " 0)::float8 AS oldest,"
        " count(*) FILTER (WHERE state = 'running' AND (deadline_at < now() OR greatest(coalesce(beat_at, claimed_at),"
        f" {ANSWERS_SINCE}) < now() - interval '30 s')) AS stuck,"
        " (SELECT count(DISTINCT objid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %(lock)s AND objsubid = 2"
        " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS workers"
        " FROM async_jobs WHERE state IN ('pending', 'running')",
        {"lock": WORKER_LOCK_CLASS},
    )
    return Jobs(
        by_state={state["state"]: state["n"] for state in states},
        due=row["due"],
        oldest_due_seconds=round(row["oldest"], 1),
        workers=row["workers"],
        stuck=row["stuck"],
    )


def _imports(database: Database) -> Imports:
    [row] = database.fetch_all(
        f"SELECT count(*) AS running, count(*) FILTER (WHERE greatest(heartbeat_at, {ANSWERS_SINCE})"  # noqa: S608
        " < now() - interval '30 s' OR progress_at < now() - interval '1 h') AS stuck"
        " FROM import_jobs WHERE status = 'RUNNING'"
    )
    last = database.fetch_all(
        "SELECT split_part(source, ':', 1) AS source, status,"
        " round(extract(epoch FROM now() - started_at))::int AS seconds_ago FROM import_jobs"
        " WHERE id IN (SELECT max(id) FROM import_jobs GROUP BY split_part(source, ':', 1)) ORDER BY 1"
    )
    return Imports(running=row["running"], stuck=row["stuck"], last=last, late=_late(database))


def _late(database: Database) -> dict[str, float]:
    """A source that was never tried is not late: its schedule may not have been switched on yet."""
    from ingestion_assets.events.sources import SOURCE_NAMES, missing_settings

    rows = database.fetch_all(
        "SELECT source, extract(epoch FROM now() - since)::float8 / 3600 AS hours FROM ("
        " SELECT source, coalesce(max(finished_at) FILTER (WHERE status = 'SUCCESS'), min(started_at)) AS since"
        " FROM import_jobs WHERE source = ANY(%(sources)s) GROUP BY source) AS last"
        " WHERE since < now() - %(within)s::interval ORDER BY source",
        {"sources": [name for name in SOURCE_NAMES if not missing_settings(name)], "within": FRESH_WITHIN},
    )
    return {row["source"]: row["hours"] for row in rows}


def _database(database: Database) -> DatabaseHealth:
    roles = database.fetch_all(
        "SELECT split_part(coalesce(nullif(application_name, ''), 'other'), ' ', 1) AS role, count(*) AS n"
        " FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1 ORDER BY 2 DESC"
    )
    [row] = database.fetch_all(
        "SELECT pg_database_size(current_database()) AS bytes, current_setting('max_connections')::int AS allowed"
    )
    tables = database.fetch_all(
        "SELECT relname, pg_total_relation_size(relid) AS bytes FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT %(n)s",
        {"n": SIZE_TABLES},
    )
    return DatabaseHealth(
        connections=sum(role["n"] for role in roles),
        max_connections=row["allowed"],
        by_role={role["role"]: role["n"] for role in roles},
        bytes=row["bytes"],
        largest_tables={table["relname"]: table["bytes"] for table in tables},
    )


def _incidents(database: Database) -> dict[str, int]:
    rows = database.fetch_all(
        "SELECT reason, count(*) AS n FROM incidents WHERE at > now() - interval '1 day' GROUP BY reason ORDER BY reason"
    )
    return {row["reason"]: row["n"] for row in rows}


def _daemons(instance: dg.DagsterInstance, now: float) -> list[Daemon]:
    beats = instance.get_daemon_heartbeats()
    return [
        Daemon(
            name=name,
            silent_seconds=round(max(0.0, now - beats[name].timestamp), 1) if name in beats else None,
            errors=len(beats[name].errors or ()) if name in beats else 0,
        )
        for name in (sorted(instance.get_required_daemon_types()) if beats else ())
    ]


def _tickers(instance: dg.DagsterInstance, now: float) -> list[Ticker]:
    found = []
    for state in instance.all_instigator_state():
        if not state.is_running:
            continue
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        last = ticks[0] if ticks else None
        found.append(
            Ticker(
                name=state.instigator_name,
                kind=state.instigator_type.value.lower(),
                last_tick_seconds=round(max(0.0, now - last.timestamp), 1) if last else None,
                last_status=last.status.value if last else None,
            )
        )
    return sorted(found, key=lambda ticker: ticker.name)


def _pools(instance: dg.DagsterInstance) -> list[Pool]:
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return []
    infos = storage.get_concurrency_infos(sorted(storage.get_concurrency_keys()))
    return [
        Pool(name=name, limit=info.limit, used=info.active_slot_count, waiting=info.pending_step_count)
        for name, info in infos.items()
    ]


def _runs(instance: dg.DagsterInstance) -> dict[str, int]:
    import dagster as dg

    statuses = (
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    )
    counts = {status.value: instance.get_runs_count(dg.RunsFilter(statuses=[status])) for status in statuses}
    return {status: count for status, count in counts.items() if count}
