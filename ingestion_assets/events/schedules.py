"""Jobs and schedules of the event sources.

A schedule names its weeks itself: a partitioned job's own schedule would ask for the latest partition, which lies a year
ahead. Each source has its own, so that one that fails holds back nobody.
"""

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from ingestion_assets.events.raw_checks import FRESH, refused_sources
from ingestion_assets.events.raw_events import MAX_RUNTIME_SECONDS, raw_events_key
from ingestion_assets.events.sources import SOURCE_NAMES
from ingestion_assets.partitions import coming_weeks, contiguous, key_of, range_tags, weekly_partitions
from ingestion_assets.settings import AssetSettings, DeduplicationSettings


def build_refresh(source: str) -> tuple[Any, dg.ScheduleDefinition]:
    """The job that imports one source, with its checks, and the schedule that runs it every night."""
    settings = AssetSettings()
    job = dg.define_asset_job(
        f"import_{source}",
        selection=dg.AssetSelection.assets(raw_events_key(source)),
        description=f"Import {source} and check it.",
        tags={"dagster/max_runtime": str(MAX_RUNTIME_SECONDS), "source": source},
    )
    # Spread over an hour of the night: seven imports that start together would queue for two cores.
    minute = SOURCE_NAMES.index(source) * 8 % 60

    @dg.schedule(
        name=f"refresh_{source}",
        job=job,
        cron_schedule=f"{minute} 3 * * *",
        execution_timezone=settings.timezone,
        description=f"Imports the coming {settings.refresh_weeks} weeks of {source} as one run.",
    )
    def _refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        today = context.scheduled_execution_time.astimezone(ZoneInfo(settings.timezone)).date()
        first, last = coming_weeks(today, settings.refresh_weeks)
        # The key is the tick, not the weeks: a constant key would ask once and never again.
        return dg.RunRequest(
            run_key=context.scheduled_execution_time.isoformat(), tags={**range_tags(first, last), "source": source}
        )

    return job, _refresh


follow_up = dg.define_asset_job(
    "follow_up",
    selection=dg.AssetSelection.assets("deduplicated_events", "tag_enrichments"),
    description="Deduplicate and tag some weeks, with their checks.",
    tags={"dagster/max_runtime": "7200"},
)


def build_look_for_late() -> tuple[Any, dg.ScheduleDefinition]:
    """The job that judges how long ago each source was imported, and its schedule.

    With its import alone the check would be evaluated just after every success, and never turn red.
    """
    checks = [dg.AssetCheckKey(raw_events_key(name), FRESH) for name in SOURCE_NAMES]
    job = dg.define_asset_job(
        "look_for_late_imports",
        selection=dg.AssetSelection.checks(*checks),
        description="Judge how long ago each source that is set up was imported.",
        tags={"dagster/max_runtime": "600"},
    )
    schedule = dg.ScheduleDefinition(
        name="look_for_late_imports",
        job=job,
        cron_schedule="15 6,18 * * *",
        execution_timezone=AssetSettings().timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Turns the check `fresh` of a source red when its imports fail or its schedule is off.",
    )
    return job, schedule


@dg.schedule(
    name="sweep_dirty_weeks",
    job=follow_up,
    cron_schedule="30 5 * * *",
    execution_timezone=AssetSettings().timezone,
    description="Asks for the weeks whose records are not what they were resolved from: what automation missed while "
    "it was down. Finds nothing on an ordinary day.",
    required_resource_keys={"postgres"},
)
def sweep(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run for each contiguous range of dirty weeks that are partitions; long ones are shared out as a backfill is."""
    from ingestion_assets.events.corpus_statistics import adopted
    from ingestion_assets.events.deduplication_store import dirty_weeks, versions

    if refused := refused_sources(context.instance):
        yield dg.SkipReason(
            f"A blocking check of {', '.join(refused)} failed: mend what it names and import the source again, or evaluate"
            " the check again."
        )
        return
    with context.resources.postgres.database.transaction(role="sweep") as connection:
        dirty = dirty_weeks(connection, versions=versions(adopted(connection)))
    known = set(weekly_partitions().get_partition_keys())
    ranges = contiguous(
        [week for week in dirty if key_of(week) in known], longest=DeduplicationSettings().weeks_per_run
    )
    if not ranges:
        yield dg.SkipReason("Every week was resolved from what is stored now.")
    for first, last in ranges:
        yield dg.RunRequest(
            run_key=f"{context.scheduled_execution_time.isoformat()} {key_of(first)}", tags=range_tags(first, last)
        )
