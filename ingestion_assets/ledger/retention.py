"""What history is kept, and taking the rest away, so that the databases stay as large as the data.

Dagster keeps the events of all runs for ever. Deleting a run takes its events along, and with them what the UI knows of an
asset; so the run of the last materialization of every partition, and of the last result of every check, is kept however
old it is. Those are at most as many as there are partitions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion_assets.ledger import uploads
from resources.postgres.database import Database

if TYPE_CHECKING:
    import dagster as dg
    from psycopg import Connection

log = logging.getLogger(__name__)

_BATCH = 200
GIB = 1024**3


class RetentionSettings(BaseSettings):
    """How long history is kept."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    history_days: int = Field(
        default=30,
        validation_alias="INGESTION_RETENTION_DAYS",
        ge=1,
        description="Finished runs, ticks, rejected records and cached responses are kept for this many days.",
    )
    job_days: int = Field(
        default=90,
        validation_alias="INGESTION_JOB_RETENTION_DAYS",
        ge=1,
        description="Finished asynchronous jobs, with their results, ledger rows of study collections and incidents are "
        "kept for this many days.",
    )
    size_limit_gib: float = Field(
        default=10.0,
        validation_alias="INGESTION_DATABASE_SIZE_LIMIT_GIB",
        gt=0,
        description="Size of all databases together over which a check warns.",
    )


@dataclass(slots=True)
class Purged:
    """What a purge took away."""

    runs: int = 0
    runs_kept: int = 0
    """Old runs that hold the last materialization of a partition or the last result of a check."""
    rows: dict[str, int] = field(default_factory=dict)
    """Deleted rows of the platform's tables."""
    complete: bool = True
    """Nothing old is left; otherwise time ran out and the next purge goes on."""


_KEPT_RUNS = """
SELECT run_id FROM (SELECT DISTINCT ON (asset_key, partition) run_id FROM event_logs
                    WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND asset_key IS NOT NULL
                    ORDER BY asset_key, partition, id DESC) AS materialized
UNION
SELECT run_id FROM (SELECT DISTINCT ON (asset_key, check_name) run_id FROM asset_check_executions
                    ORDER BY asset_key, check_name, id DESC) AS checked
"""

_OLD_RUNS = """
SELECT run_id, run_id = ANY(%(kept)s) FROM runs
WHERE status IN ('SUCCESS', 'FAILURE', 'CANCELED')
    AND coalesce(end_time, extract(epoch FROM update_timestamp)) < %(before)s ORDER BY id
"""


def purge_dagster(
    instance: dg.DagsterInstance,
    storage: Database,
    *,
    keep_days: int,
    seconds: float = 600.0,
    now: datetime | None = None,
) -> Purged:
    """Delete old runs with their events and logs, old ticks and old reports without a run.

    `storage` is Dagster's database. Stops after `seconds`; what is left is for the next time. Safe to repeat.
    """
    end = time.monotonic() + seconds
    now = now or datetime.now(UTC)
    before = now - timedelta(days=keep_days)
    purged = Purged()
    with storage.transaction(role="retention") as connection:
        kept = [row[0] for row in connection.execute(_KEPT_RUNS).fetchall()]
        old = connection.execute(_OLD_RUNS, {"kept": kept, "before": before.timestamp()}).fetchall()
    purged.runs_kept = sum(1 for _, keep in old if keep)
    for run_id, keep in old:
        if keep:
            continue
        if time.monotonic() > end:
            purged.complete = False
            break
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        purged.runs += 1
    for state in instance.all_instigator_state():
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before=before.timestamp())
    with storage.transaction(role="retention") as connection:
        # Neither has a function in Dagster's API: check results outlive their run, observations of sensors have none.
        purged.rows["asset_check_executions"] = connection.execute(
            "DELETE FROM asset_check_executions c WHERE create_timestamp < %s"
            " AND NOT EXISTS (SELECT FROM runs r WHERE r.run_id = c.run_id)",
            (before.replace(tzinfo=None),),
        ).rowcount
        purged.rows["observations"] = connection.execute(
            "DELETE FROM event_logs WHERE run_id = '' AND dagster_event_type = 'ASSET_OBSERVATION' AND timestamp < %s",
            (before.replace(tzinfo=None),),
        ).rowcount
    return purged


_TABLES: Mapping[str, str] = {
    "rejected_records": "DELETE FROM rejected_records r USING import_jobs j WHERE j.id = r.job_id"
    " AND j.finished_at < %(history)s"
    # A check compares the last success with them; people look at those of the last import.
    " AND j.id NOT IN (SELECT max(id) FROM import_jobs l WHERE l.source = j.source GROUP BY l.status = 'SUCCESS')",
    "http_cache": "DELETE FROM http_cache WHERE stored_at < %(history)s",
    "request_budgets": "DELETE FROM request_budgets WHERE period_start < %(history)s",
    "run_heartbeats": "DELETE FROM run_heartbeats WHERE beat_at < %(history)s",
    "incidents": "DELETE FROM incidents WHERE at < %(jobs)s",
}

_PURGE_JOBS = """
WITH old AS (SELECT id FROM async_jobs WHERE finished_at < %(jobs)s LIMIT %(batch)s),
gone AS (DELETE FROM async_jobs j USING old WHERE j.id = old.id
         RETURNING j.kind, j.state, coalesce(extract(epoch FROM j.finished_at - j.claimed_at), 0) AS seconds),
added AS (INSERT INTO job_totals AS t (kind, state, jobs, seconds)
          SELECT kind, state, count(*), sum(seconds) FROM gone GROUP BY kind, state
          ON CONFLICT (kind, state) DO UPDATE SET jobs = t.jobs + EXCLUDED.jobs, seconds = t.seconds + EXCLUDED.seconds)
SELECT count(*) FROM gone
"""

# Sources of events have a row for each run. Of the study assets each collection has its own, `documents:<collection>`,
# which nothing reads once it is over: without this they would stay for ever. No batches: a row is small, and nobody waits
# for one that is finished.
_PURGE_IMPORTS = """
WITH gone AS (DELETE FROM import_jobs WHERE strpos(source, ':') > 0 AND finished_at < %(jobs)s
              RETURNING split_part(source, ':', 1) AS source, status, duration, nb_created, nb_updated, nb_skipped,
                        nb_errors, nb_refused, finished_at),
added AS (INSERT INTO import_totals AS t (source, status, imports, seconds, nb_created, nb_updated, nb_skipped, nb_errors,
                                          nb_refused, last_finished_at)
          SELECT source, status, count(*), sum(duration), sum(nb_created), sum(nb_updated), sum(nb_skipped),
                 sum(nb_errors), sum(nb_refused), max(finished_at) FROM gone GROUP BY source, status
          ON CONFLICT (source, status) DO UPDATE SET imports = t.imports + EXCLUDED.imports,
              seconds = t.seconds + EXCLUDED.seconds, nb_created = t.nb_created + EXCLUDED.nb_created,
              nb_updated = t.nb_updated + EXCLUDED.nb_updated, nb_skipped = t.nb_skipped + EXCLUDED.nb_skipped,
              nb_errors = t.nb_errors + EXCLUDED.nb_errors, nb_refused = t.nb_refused + EXCLUDED.nb_refused,
              last_finished_at = greatest(t.last_finished_at, EXCLUDED.last_finished_at))
SELECT count(*) FROM gone
"""


def purge_platform(database: Database, settings: RetentionSettings, *, now: datetime | None = None) -> dict[str, int]:
    """Delete old rows of the platform's own tables; how many, by table. Safe to repeat.

    Counters survive: what is taken out of `async_jobs` and `import_jobs` is added to `job_totals` and `import_totals` in
    the same statement.
    """
    now = now or datetime.now(UTC)
    moments = {
        "history": now - timedelta(days=settings.history_days),
        "jobs": now - timedelta(days=settings.job_days),
        "batch": _BATCH,
    }
    rows = {}
    with database.connect(role="retention", autocommit=True) as connection:
        for table, statement in _TABLES.items():
            rows[table] = connection.execute(statement, moments).rowcount
        # The HTTP service does so too, where there is one.
        rows["study_files"] = uploads.forget_abandoned(connection)
        rows["async_jobs"] = 0
        while gone := _counted(connection, _PURGE_JOBS, moments):
            rows["async_jobs"] += gone
        rows["import_jobs"] = _counted(connection, _PURGE_IMPORTS, moments)
    return rows


def _counted(connection: Connection[Any], statement: LiteralString, moments: Mapping[str, Any]) -> int:
    row = connection.execute(statement, moments).fetchone()
    return int(row[0]) if row else 0


def sizes(database: Database) -> dict[str, int]:
    """Bytes of the database, and of its ten largest tables with their indexes, under `database` and their names."""
    with database.transaction(role="retention") as connection:
        [[total]] = connection.execute("SELECT pg_database_size(current_database())").fetchall()
        tables = connection.execute(
            "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT 10"
        ).fetchall()
    return {"database": total, **dict(tables)}
