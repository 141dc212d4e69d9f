"""Asynchronous jobs whose worker is dead or whose handler hangs: back to the queue, or failed when no attempt is left."""

import dagster as dg

from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.sightings import Sightings
from ingestion_assets.ledger.stuck_jobs import reclaim
from resources.definitions import PostgresResource
from sensors.ticks import bounded, summary

NAME = "stuck_async_jobs"
_sightings = Sightings()


@dg.sensor(
    name=NAME,
    # A worker that was killed shows by its lock after two missed beats: seen within 15 s; a paused one within 35.
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Gives jobs of dead workers and hung handlers back to the queue, or fails those without attempts left.",
)
def stuck_async_jobs_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SkipReason:
    """Decided by `ingestion_assets.ledger.stuck_jobs.why_stuck`. Workers do the same when they look at the queue."""
    with bounded(postgres.database) as connection:
        done = reclaim(connection, NAME, JobSettings(), sightings=_sightings)
    for incident in done:
        context.log.warning(str(incident))
    return dg.SkipReason(summary(done, "No job is stuck."))
