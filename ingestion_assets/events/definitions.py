"""The event domain as Dagster definitions: sources, then what follows from them."""

import dagster as dg

from ingestion_assets.events.checks import EVENT_CHECKS
from ingestion_assets.events.deduplicated_events import deduplicated_events
from ingestion_assets.events.raw_checks import build_raw_checks
from ingestion_assets.events.raw_events import build_raw_events
from ingestion_assets.events.schedules import build_look_for_late, build_refresh, follow_up, sweep
from ingestion_assets.events.sources import SOURCE_NAMES
from ingestion_assets.events.tag_enrichments import tag_enrichments

DOWNSTREAM = ("deduplicated_events", "tag_enrichments")
"""The assets made from raw events, in order."""


def event_definitions() -> dg.Definitions:
    """Assets, checks, jobs and schedules of all sources and of what is made from them."""
    scheduled = [*(build_refresh(name) for name in SOURCE_NAMES), build_look_for_late()]
    return dg.Definitions(
        assets=[*(build_raw_events(name) for name in SOURCE_NAMES), deduplicated_events, tag_enrichments],
        asset_checks=[*(check for name in SOURCE_NAMES for check in build_raw_checks(name)), *EVENT_CHECKS],
        jobs=[*(job for job, _ in scheduled), follow_up],
        schedules=[*(schedule for _, schedule in scheduled), sweep],
        sensors=[
            # On by default: without it deduplication and tags would not follow, and nothing would say so.
            dg.AutomationConditionSensorDefinition(
                "follow_inputs",
                target=dg.AssetSelection.assets(*DOWNSTREAM),
                default_status=dg.DefaultSensorStatus.RUNNING,
                minimum_interval_seconds=30,
                description="Asks for deduplication and tags of the weeks whose inputs changed, unless a blocking check of "
                "an input failed or is still to come.",
            )
        ],
    )
