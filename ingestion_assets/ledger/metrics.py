"""Metrics in Prometheus's text format, read from the tables when they are asked for.

No process keeps counters of its own: there are many short ones, and the tables know it all. What is taken out of the tables
by the retention is added up in `job_totals` and `import_totals`, so that counters do not go back unless a user is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ingestion_assets.ledger.health import Health, Status, read_health
from resources.postgres.database import Database

if TYPE_CHECKING:
    import dagster as dg
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_QUANTILES = (0.5, 0.95, 0.99)

_JOBS = """
SELECT kind, state, sum(jobs)::float8 AS jobs, sum(seconds)::float8 AS seconds FROM (
    SELECT kind, state, jobs, seconds FROM job_totals
    UNION ALL
    SELECT kind, state, count(*), coalesce(sum(extract(epoch FROM finished_at - claimed_at)), 0) FROM async_jobs
    WHERE finished_at IS NOT NULL GROUP BY kind, state) AS finished
GROUP BY kind, state ORDER BY kind, state
"""
_DURATIONS = """
SELECT kind, percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (
    ORDER BY extract(epoch FROM finished_at - claimed_at)::float8) AS seconds
FROM async_jobs WHERE state = 'completed' AND finished_at > now() - interval '1 hour' GROUP BY kind ORDER BY kind
"""
# Of a study asset each collection has a job, `documents:<collection>`: one series for all of them, or they never end.
_IMPORTS = """
SELECT source, status, sum(imports)::float8 AS imports, sum(seconds)::float8 AS seconds,
       sum(nb_created)::float8 AS created, sum(nb_updated)::float8 AS updated, sum(nb_skipped)::float8 AS skipped,
       sum(nb_errors)::float8 AS errors, sum(nb_refused)::float8 AS refused,
       extract(epoch FROM max(last_finished_at) FILTER (WHERE status = 'SUCCESS'))::float8 AS last_success
FROM (
    SELECT source, status, imports, seconds, nb_created, nb_updated, nb_skipped, nb_errors, nb_refused, last_finished_at
    FROM import_totals
    UNION ALL
    SELECT split_part(source, ':', 1), status, count(*), coalesce(sum(duration), 0), sum(nb_created), sum(nb_updated),
           sum(nb_skipped), sum(nb_errors), sum(nb_refused), max(finished_at)
    FROM import_jobs WHERE status <> 'RUNNING' GROUP BY 1, 2) AS ended
GROUP BY source, status ORDER BY source, status
"""
_INCIDENTS = """
SELECT watcher, reason, action, count(*)::float8 AS n FROM incidents WHERE at > now() - interval '24 hours'
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def metrics(database: Database, instance: dg.DagsterInstance | None = None) -> str:
    """All metrics, as Prometheus reads them. Raises psycopg's errors when the database does not answer."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(database, instance))
    return generate_latest(registry).decode()


class _Collector:
    """Reads everything once, when it is collected."""

    def __init__(self, database: Database, instance: dg.DagsterInstance | None) -> None:
        self._database = database
        self._instance = instance

    def describe(self) -> list[Metric]:
        """Nothing: otherwise registering would already read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of the tables, then those of the health report."""
        yield from self._jobs()
        yield from self._imports()
        yield from self._incidents()
        yield from _gauges(read_health(self._database, self._instance))

    def _jobs(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        count = CounterMetricFamily(
            "ingestion_jobs", "Asynchronous jobs that ended, by kind and outcome", labels=["kind", "state"]
        )
        seconds = CounterMetricFamily(
            "ingestion_job_seconds", "Time from claim to end of these jobs", labels=["kind", "state"]
        )
        for row in self._database.fetch_all(_JOBS):
            count.add_metric([row["kind"], row["state"]], row["jobs"])
            seconds.add_metric([row["kind"], row["state"]], row["seconds"])
        recent = GaugeMetricFamily(
            "ingestion_job_recent_seconds",
            "Duration of jobs completed in the last hour, by quantile",
            labels=["kind", "quantile"],
        )
        for row in self._database.fetch_all(_DURATIONS, {"quantiles": list(_QUANTILES)}):
            for quantile, value in zip(_QUANTILES, row["seconds"], strict=True):
                recent.add_metric([row["kind"], str(quantile)], value)
        yield from (count, seconds, recent)

    def _imports(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        labels = ["source", "status"]
        count = CounterMetricFamily("ingestion_imports", "Imports that ended, by source and outcome", labels=labels)
        seconds = CounterMetricFamily("ingestion_import_seconds", "Duration of these imports", labels=labels)
        records = CounterMetricFamily(
            "ingestion_import_records", "Records by what became of them", labels=["source", "outcome"]
        )
        refused = CounterMetricFamily(
            "ingestion_import_refused_writes", "Late writes that were refused", labels=["source"]
        )
        last = GaugeMetricFamily(
            "ingestion_import_last_success_timestamp_seconds", "End of the last successful import", labels=["source"]
        )
        totals: dict[str, dict[str, float]] = {}
        for row in self._database.fetch_all(_IMPORTS):
            source = row["source"]
            count.add_metric([source, row["status"]], row["imports"])
            seconds.add_metric([source, row["status"]], row["seconds"])
            total = totals.setdefault(
                source, dict.fromkeys(("created", "updated", "skipped", "errors", "refused"), 0.0)
            )
            for outcome in total:
                total[outcome] += row[outcome]
            if row["last_success"] is not None:
                last.add_metric([source], row["last_success"])
        for source, total in totals.items():
            refused.add_metric([source], total.pop("refused"))
            for outcome, value in total.items():
                records.add_metric([source, outcome], value)
        yield from (count, seconds, records, refused, last)

    def _incidents(self) -> Iterator[Metric]:
        labels = ("watcher", "reason", "action")
        rows = self._database.fetch_all(_INCIDENTS)
        # Not a counter: old rows are deleted, and a counter that goes back looks like new incidents.
        yield _gauge(
            "ingestion_incidents_24h",
            "What was found stuck or late in the last 24 hours, and what was done",
            {tuple(row[label] for label in labels): row["n"] for row in rows},
            *labels,
        )


def _gauges(health: Health) -> Iterator[Metric]:
    yield _gauge(
        "ingestion_up", "1 while the platform is ok or degraded", {(): float(health.status is not Status.DOWN)}
    )
    yield _gauge("ingestion_problems", "Problems in the health report", {(): float(len(health.problems))})
    if health.jobs is not None:
        jobs = health.jobs
        by_state = {(state,): float(jobs.by_state.get(state, 0)) for state in ("pending", "running")}
        yield _gauge("ingestion_jobs_open", "Jobs that are not over", by_state, "state")
        yield _gauge("ingestion_jobs_due", "Pending jobs that could start now", {(): float(jobs.due)})
        yield _gauge("ingestion_jobs_oldest_due_seconds", "Wait of the oldest of them", {(): jobs.oldest_due_seconds})
        yield _gauge("ingestion_jobs_stuck", "Running jobs past deadline or silent", {(): float(jobs.stuck)})
        yield _gauge("ingestion_workers", "Workers that are up", {(): float(jobs.workers)})
    if health.imports is not None:
        yield _gauge("ingestion_imports_running", "Imports under way", {(): float(health.imports.running)})
        yield _gauge("ingestion_imports_stuck", "Imports that are stuck", {(): float(health.imports.stuck)})
    if health.database is not None:
        server = health.database
        yield _gauge("ingestion_database_bytes", "Size of the platform's database", {(): float(server.bytes)})
        yield _gauge("ingestion_database_connections", "Connections to the server", {(): float(server.connections)})
        allowed = {(): float(server.max_connections)}
        yield _gauge("ingestion_database_max_connections", "Connections that the server allows", allowed)
    silences = {(daemon.name,): daemon.silent_seconds for daemon in health.daemons if daemon.silent_seconds is not None}
    yield _gauge("ingestion_daemon_silent_seconds", "Since the last heartbeat of a daemon", silences, "daemon")
    ages = {(tick.name,): tick.last_tick_seconds for tick in health.tickers if tick.last_tick_seconds is not None}
    yield _gauge("ingestion_tick_age_seconds", "Since the last tick of a sensor or schedule", ages, "name")
    yield _gauge("ingestion_pool_used", "Slots in use", {(p.name,): float(p.used) for p in health.pools}, "pool")
    yield _gauge(
        "ingestion_pool_waiting", "Steps that wait", {(p.name,): float(p.waiting) for p in health.pools}, "pool"
    )
    runs = {(status,): float(count) for status, count in health.runs.items()}
    yield _gauge("ingestion_runs_open", "Runs that are not over", runs, "status")


def _gauge(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Any:
    """`values` by tuples of label values; the key of a type checker's `tuple` is not covariant, hence `Any`."""
    from prometheus_client.core import GaugeMetricFamily

    gauge = GaugeMetricFamily(name, text, labels=list(labels))
    for key, value in values.items():
        gauge.add_metric(list(key), value)
    return gauge
