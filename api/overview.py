"""What the administration shows, read in one transaction. Nothing is decided or repaired here."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import dict_row

from ingestion_assets.events.sources import SOURCE_NAMES, missing_settings, source_class
from ingestion_assets.ledger import run_launches
from ingestion_assets.ledger.dagster_runs import LAUNCHED_BY_TAG
from ingestion_assets.ledger.uptime import ANSWERS_SINCE
from ingestion_assets.partitions import coming_weeks, range_tags
from ingestion_assets.settings import AssetSettings

CHART_DAYS = 14
_STARTING = timedelta(minutes=10)
"""A run that has imported nothing after this long is Dagster's to explain."""

_LAST = """
SELECT DISTINCT ON (source) source, status, attempt, nb_fetched AS fetched, nb_created AS created, nb_updated AS updated,
       nb_skipped AS skipped, nb_errors AS errors, nb_withdrawn AS withdrawn, started_at, finished_at,
       duration::float8 AS seconds, error_text AS error, run_id
FROM import_jobs WHERE source = ANY(%(sources)s) ORDER BY source, id DESC
"""
_IS_STUCK = f"status = 'RUNNING' AND greatest(heartbeat_at, {ANSWERS_SINCE}) < now() - interval '30 s'"
_IMPORT = f"""
SELECT id, source, status, attempt, partition_start, partition_end, nb_fetched AS fetched, nb_created AS created,
       nb_updated AS updated, nb_skipped AS skipped, nb_errors AS errors, started_at, finished_at,
       coalesce(duration, extract(epoch FROM now() - started_at))::float8 AS seconds, error_text AS error, run_id,
       {_IS_STUCK} AS stuck
FROM import_jobs
"""  # noqa: S608
_IMPORTS = _IMPORT + "ORDER BY id DESC LIMIT 25"
# Not among the last ones only: what is stuck is old, and newer runs go on.
_STUCK_IMPORTS = _IMPORT + f"WHERE {_IS_STUCK} ORDER BY id LIMIT 20"
_DAYS = """
SELECT day::date AS day, coalesce(sum(nb_created), 0)::bigint AS created, coalesce(sum(nb_updated), 0)::bigint AS updated,
       coalesce(sum(nb_skipped), 0)::bigint AS skipped, coalesce(sum(nb_errors), 0)::bigint AS errors
FROM generate_series(current_date - %(days)s::int + 1, current_date, '1 day') AS day
LEFT JOIN import_jobs ON started_at >= day AND started_at < day + interval '1 day' AND source = ANY(%(sources)s)
GROUP BY day ORDER BY day
"""
_JOBS = "SELECT state, count(*) AS jobs FROM async_jobs GROUP BY state ORDER BY state"
_BATCHES = "SELECT state, count(*) AS batches FROM study_batches GROUP BY state ORDER BY state"
_STUCK_JOBS = f"""
SELECT id::text, kind, state, attempt, claimed_at, deadline_at FROM async_jobs WHERE state = 'running'
    AND (deadline_at < now() OR greatest(coalesce(beat_at, claimed_at), {ANSWERS_SINCE})
         < now() - interval '30 s') ORDER BY claimed_at LIMIT 20
"""  # noqa: S608
_INCIDENTS = (
    "SELECT at, watcher, subject_type, subject, reason, action, detail FROM incidents ORDER BY id DESC LIMIT 10"
)
_SPEND = """
SELECT provider, model, purpose, sum(requests)::bigint AS requests, sum(rate_limited)::bigint AS rate_limited,
       sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
       sum(cost_usd)::float8 AS cost_usd FROM llm_usage WHERE day > current_date - 30
GROUP BY 1, 2, 3 ORDER BY cost_usd DESC, requests DESC LIMIT 20
"""
_ROWS = """
SELECT (SELECT count(*) FROM raw_events) AS raw_events,
       (SELECT count(*) FROM deduplicated_events WHERE replaced_by IS NULL) AS deduplicated_events,
       (SELECT count(*) FROM tag_enrichments WHERE status = 'done') AS tagged_events,
       (SELECT count(*) FROM rejected_records) AS rejected_records,
       (SELECT count(*) FROM study_collections) AS study_collections
"""


def read_overview(connection: Connection[Any]) -> dict[str, Any]:
    """The whole report: JSON types, dates and times aside."""

    def rows(query: LiteralString, **parameters: Any) -> list[dict[str, Any]]:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters or None).fetchall()

    last = {row["source"]: row for row in rows(_LAST, sources=list(SOURCE_NAMES))}
    return {
        "sources": [_source(name, last.get(name)) for name in SOURCE_NAMES],
        "imports": rows(_IMPORTS),
        "stuck_imports": rows(_STUCK_IMPORTS),
        "days": rows(_DAYS, days=CHART_DAYS, sources=list(SOURCE_NAMES)),
        "jobs": {row["state"]: row["jobs"] for row in rows(_JOBS)},
        "batches": {row["state"]: row["batches"] for row in rows(_BATCHES)},
        "stuck_jobs": rows(_STUCK_JOBS),
        "launches": _launches(connection),
        "incidents": rows(_INCIDENTS),
        "llm": rows(_SPEND),
        "rows": rows(_ROWS)[0],
    }


def _launches(connection: Connection[Any]) -> list[dict[str, Any]]:
    """The last runs that were asked for; `under_way` until there is an import to look at instead."""
    asked = run_launches.recent(connection, limit=10)
    known = connection.execute(
        "SELECT id, created_at > now() - %s, EXISTS (SELECT FROM import_jobs i WHERE i.run_id = l.run_id)"
        " FROM run_launches l WHERE id = ANY(%s)",
        (_STARTING, [launch.id for launch in asked]),
    ).fetchall()
    facts = {row[0]: (row[1], row[2]) for row in known}
    return [
        {
            "id": str(launch.id),
            "source": launch.source,
            "state": launch.state,
            "under_way": launch.state == "pending"
            or (launch.state == "launched" and facts[launch.id] == (True, False)),
            "created_at": launch.created_at,
            "run_id": launch.run_id,
            "error": launch.error,
        }
        for launch in asked
    ]


def _source(name: str, last: dict[str, Any] | None) -> dict[str, Any]:
    missing = missing_settings(name)
    return {
        "name": name,
        "title": source_class(name).title,
        "enabled": not missing,
        "missing": missing,
        "state": (last["status"].lower() if last else "never imported") if not missing else "off",
        "last": last,
    }


def job_tags(source: str, weeks: tuple[Any, Any] | None = None) -> tuple[str, dict[str, str]]:
    """Job and run tags of an import; the coming weeks when none are given."""
    settings = AssetSettings()
    first, last = weeks or coming_weeks(settings.today(), settings.refresh_weeks)
    return f"import_{source}", {**range_tags(first, last), "source": source, LAUNCHED_BY_TAG: "api"}
