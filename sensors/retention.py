"""`operations/history`: old runs, ticks and rows taken away every night, and how large the databases are.

An asset, so that the sizes are drawn over time in the UI and a check can warn before a disk is full.
"""

from collections.abc import Mapping

import dagster as dg

from ingestion_assets.ledger.retention import GIB, RetentionSettings, purge_dagster, purge_platform, sizes
from ingestion_assets.settings import AssetSettings
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from resources.postgres.platform import open_databases

KEY = dg.AssetKey(["operations", "history"])
JOB = "purge_history"


@dg.asset(
    key=KEY,
    group_name="operations",
    kinds={"postgres"},
    owners=["team:data-platform"],
    description="Finished runs and ticks older than INGESTION_RETENTION_DAYS are deleted; the last materialization of "
    "every partition stays. Metadata: what was deleted, and the sizes of the databases in bytes.",
)
def history(context: dg.AssetExecutionContext, postgres: PostgresResource) -> dg.MaterializeResult[None]:
    """Purge, then measure."""
    settings = RetentionSettings()
    with open_databases() as databases:
        storage = Database(databases.dagster_url)
        purged = purge_dagster(context.instance, storage, keep_days=settings.history_days)
        purged.rows |= purge_platform(postgres.database, settings)
        platform, dagster = sizes(postgres.database), sizes(storage)
    if not purged.complete:
        context.log.warning("Time ran out before all old runs were deleted; the next night goes on.")
    return dg.MaterializeResult(
        metadata={
            "runs_deleted": purged.runs,
            "old_runs_kept": purged.runs_kept,
            "complete": purged.complete,
            "rows_deleted": dg.MetadataValue.json(purged.rows),
            "bytes": platform["database"] + dagster["database"],
            "bytes_platform": platform["database"],
            "bytes_dagster": dagster["database"],
            "largest_tables": dg.MetadataValue.json(_largest(platform, dagster)),
        }
    )


def _largest(platform: Mapping[str, int], dagster: Mapping[str, int]) -> dict[str, int]:
    both = {
        f"{name}.{table}": size
        for name, all_of in (("platform", platform), ("dagster", dagster))
        for table, size in all_of.items()
        if table != "database"
    }
    return dict(sorted(both.items(), key=lambda item: -item[1])[:10])


def judge_size(total: int, *, limit_gib: float) -> tuple[bool, str]:
    """Whether databases of `total` bytes are small enough, and a sentence."""
    size = f"{total / GIB:.2f} GiB"
    if total <= limit_gib * GIB:
        return True, f"The databases take {size} of {limit_gib:g} GiB."
    return False, (
        f"The databases take {size}, more than INGESTION_DATABASE_SIZE_LIMIT_GIB={limit_gib:g}. Look at largest_tables "
        "of operations/history, lower INGESTION_RETENTION_DAYS, or raise the limit."
    )


@dg.asset_check(
    asset=KEY,
    name="databases_are_small_enough",
    description="All databases together stay under INGESTION_DATABASE_SIZE_LIMIT_GIB",
)
def databases_are_small_enough(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Measured now, not read from the metadata."""
    with open_databases() as databases:
        total = sizes(postgres.database)["database"] + sizes(Database(databases.dagster_url))["database"]
    passed, text = judge_size(total, limit_gib=RetentionSettings().size_limit_gib)
    return dg.AssetCheckResult(
        passed=passed, severity=dg.AssetCheckSeverity.WARN, description=text, metadata={"bytes": total}
    )


purge_history = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.assets(KEY),
    description="Delete old history and measure the databases.",
    tags={"dagster/max_runtime": "1800"},
)

nightly_purge = dg.ScheduleDefinition(
    name="nightly_purge",
    job=purge_history,
    cron_schedule="40 4 * * *",
    execution_timezone=AssetSettings().timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Keeps the databases as large as the data.",
)
