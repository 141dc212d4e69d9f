"""`raw_events/<source>`: one asset a source, made by one factory.

Belongs here: what Dagster needs to know of an import. How pages become rows is `loading.py`, what a source says is
`sources/`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from ingestion_assets import progress
from ingestion_assets.counts import Counts
from ingestion_assets.events.hashing import reading_seed
from ingestion_assets.events.loading import LoadResult, load_pages
from ingestion_assets.events.previews import counts_metadata, rejected_preview, run_counts, table, table_schema
from ingestion_assets.events.sources import SOURCE_NAMES, missing_settings, source_class
from ingestion_assets.events.sources.base import Source
from ingestion_assets.failures import classified, stop_run_retries
from ingestion_assets.ledger.dagster_runs import import_job
from ingestion_assets.ledger.import_jobs import ImportJob
from ingestion_assets.partitions import key_of, weekly_partitions, weeks_of, window_of
from ingestion_assets.settings import AssetSettings
from resources.definitions import OutboundResource, PostgresResource
from resources.errors import PermanentError
from resources.postgres.database import Database

GROUP = "raw_events"
MAX_RUNTIME_SECONDS = 2 * 3600
"""A backfill of two years from a service with 1,000 calls an hour fits; what is still running then is stuck."""
_LOG_EVERY = 5.0


class ImportConfig(dg.Config):
    """What a person may say about one import."""

    accept_withdrawals: bool = False
    """Withdraw events that are gone from the feed even if they are more than the guard allows."""


def raw_events_key(source: str) -> dg.AssetKey:
    """The asset of one source."""
    return dg.AssetKey([GROUP, source])


def build_raw_events(name: str) -> dg.AssetsDefinition:
    """The asset that imports the events of the source called `name`, by weeks of their local start date."""
    source = source_class(name)
    missing = missing_settings(name)
    key = raw_events_key(name)

    @dg.asset(
        key=key,
        description=_description(source, missing),
        group_name=GROUP,
        kinds={"python", "postgres"},
        owners=["team:data-platform"],
        tags={"domain": "events", "source": name, "enabled": "false" if missing else "true"},
        metadata={
            "dagster/table_name": "ingestion.public.raw_events",
            "dagster/column_schema": table_schema("raw_events"),
            "homepage": dg.MetadataValue.url(source.homepage),
        },
        partitions_def=weekly_partitions(),
        backfill_policy=_own_run(name),
        # One import of a service at a time: its limits are ours to keep, and so is its patience.
        pool=f"source_{name}",
        code_version=str(source.record_version),
    )
    def _raw_events(
        context: dg.AssetExecutionContext,
        config: ImportConfig,
        postgres: PostgresResource,
        outbound: OutboundResource,
    ) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        with classified(context):
            built = _enabled(name)
            weeks = weeks_of(context.partition_keys)
            with (
                import_job(context, postgres.database, name, weeks) as job,
                outbound.client(built.policy) as client,
            ):
                settings = AssetSettings()
                result = load_pages(
                    built.fetch(window_of(weeks, settings.timezone), client),
                    job,
                    volatile_paths=built.volatile_paths,
                    record_version=built.record_version,
                    seed=reading_seed(source.settings_class(), source.reading_settings, zone=settings.timezone),
                    weeks=(weeks[0], weeks[-1]),
                    today=settings.today(),
                    progress=_progress(context, name),
                    accept_withdrawals=config.accept_withdrawals,
                )
                http = client.stats.as_metadata()
        for warning in result.warnings[:20]:
            context.log.warning(f"{warning.code}: {warning.detail}")
        rows = _rows_by_week(postgres.database, name, weeks)
        for week in weeks:
            context.add_asset_metadata(
                {
                    **counts_metadata(result.by_week.get(week, Counts())),
                    "dagster/partition_row_count": rows.get(week, 0),
                },
                asset_key=key,
                partition_key=key_of(week),
            )
        return dg.MaterializeResult(
            metadata=_run_metadata(postgres.database, name, job, result, http, time.monotonic() - started)
        )

    return _raw_events.with_hooks({stop_run_retries})


def _own_run(name: str) -> dg.BackfillPolicy:
    """Every week of a backfill in one run, and in a run of this source's own.

    Dagster puts assets with equal policies into one run, in which they would wait for each other and fail together. The
    number is larger than the partitions there can be; that it differs by source is what keeps the runs apart.
    """
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=2000 + SOURCE_NAMES.index(name))


def _enabled(name: str) -> Source:
    if missing := missing_settings(name):
        raise PermanentError(f"source {name} is not enabled: set {', '.join(missing)} (README, Configuration).")
    source = source_class(name)
    return source(source.settings_class())


def _description(source: type[Source], missing: list[str]) -> str:
    text = (
        f"Events of [{source.title}]({source.homepage}) by the week of their local start date, as the source has them."
    )
    if missing:
        text += f"\n\n**Not enabled.** Set {' and '.join(f'`{variable}`' for variable in missing)} and restart."
    return text


def _progress(context: dg.AssetExecutionContext, name: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def report(pages: int, records: int) -> None:
        nonlocal last
        progress.report(name, f"{pages} pages, {records} records")
        if time.monotonic() - last >= _LOG_EVERY:
            last = time.monotonic()
            context.log.info(f"{name}: {pages} pages, {records} records so far")

    return report


def _rows_by_week(database: Database, name: str, weeks: Sequence[date]) -> dict[date, int]:
    rows = database.fetch_all(
        "SELECT week, count(*) AS n FROM raw_events WHERE source = %(source)s AND week BETWEEN %(first)s AND %(last)s"
        " GROUP BY week",
        {"source": name, "first": weeks[0], "last": weeks[-1]},
    )
    return {row["week"]: row["n"] for row in rows}


def _run_metadata(
    database: Database, name: str, job: ImportJob, result: LoadResult, http: Mapping[str, Any], seconds: float
) -> Mapping[str, Any]:
    [row] = database.fetch_all("SELECT count(*) AS n FROM raw_events WHERE source = %(source)s", {"source": name})
    metadata: dict[str, Any] = {
        **run_counts(result.counts),
        "run_withdrawn": result.withdrawal.withdrawn,
        "run_seconds": round(seconds, 2),
        "undated": result.undated,
        "outside_window": result.outside_window,
        "pages": result.pages,
        "attempt": job.attempt,
        "import_job": job.job_id,
        "http": dg.MetadataValue.json(dict(http)),
        "dagster/row_count": row["n"],
        "changed": table(_changed(database, job.job_id)),
    }
    if result.counts.errors:
        metadata["errors_by_reason"] = table(
            [{"reason": reason, "records": count} for reason, count in sorted(result.counts.by_reason.items())]
        )
        metadata["rejected_records"] = table(rejected_preview(database, job.job_id))
    if result.warnings:
        metadata["warnings"] = table([{"code": w.code, "detail": w.detail} for w in result.warnings[:20]])
    if result.withdrawal.refused:
        metadata["withdrawal_refused"] = result.withdrawal.refused
    return metadata


def _changed(database: Database, job_id: int) -> list[dict[str, Any]]:
    return database.fetch_all(
        "SELECT CASE WHEN first_job = %(job)s THEN 'created' ELSE 'updated' END AS change, source_id,"
        " left(title, 120) AS title, local_date::text AS date, status FROM raw_events"
        " WHERE last_change_job = %(job)s ORDER BY local_date, source_id LIMIT 10",
        {"job": job_id},
    )
