"""Imports that stay RUNNING: closed as ERROR, their runs failed, and the asset told why."""

import dagster as dg

from ingestion_assets.ledger.import_repairs import repair_stuck_imports
from ingestion_assets.ledger.sightings import Sightings
from resources.definitions import PostgresResource
from sensors.settings import SensorSettings
from sensors.ticks import observation, summary

NAME = "stuck_imports"
_sightings = Sightings()


@dg.sensor(
    name=NAME,
    # The lease is 30 s: with ten more a dead import is seen within 40 s, and one whose connection broke within 20.
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes imports that are RUNNING by the ledger although their worker is dead, their run is over, or "
    "nothing has been committed for an hour.",
)
def stuck_imports_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SensorResult:
    """Decided by `ingestion_assets.ledger.stuck_imports.why_stuck`; by hand: `ingest clean-stuck-imports`."""
    closed = repair_stuck_imports(
        postgres.database,
        context.instance,
        watcher=NAME,
        limits=SensorSettings().import_limits,
        sightings=_sightings,
    )
    for item in closed:
        context.log.warning(f"closed {item}")
    return dg.SensorResult(
        skip_reason=summary(closed, "No import is stuck."),
        asset_events=[
            observation(
                item.job.source,
                f"Closed as ERROR: {item}.",
                reason=item.reason.value,
                import_job=item.job.job_id,
                run=dg.MetadataValue.dagster_run(item.job.run_id),
            )
            for item in closed
        ],
    )
