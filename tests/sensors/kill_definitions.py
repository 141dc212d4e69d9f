"""The whole code location, with one more import: it waits to be killed, and succeeds when it is retried."""

import time
from datetime import date

import dagster as dg

from ingestion_assets.definitions import build_definitions
from ingestion_assets.failures import classified, stop_run_retries
from ingestion_assets.ledger.dagster_runs import import_job
from resources.definitions import PostgresResource


@dg.asset(pool="source_ics")
def victim(context: dg.AssetExecutionContext, postgres: PostgresResource) -> None:
    """Commits a page, then hangs; its retry goes through."""
    with classified(context), import_job(context, postgres.database, "ics", [date(2026, 11, 16)]) as job:
        job.commit(lambda connection: connection.execute("SELECT 1"))
        if context.run.parent_run_id is None:
            time.sleep(600)
        job.commit(job.succeed)


victim = victim.with_hooks({stop_run_retries})
victim_job = dg.define_asset_job("victim_job", selection=[victim], tags={"dagster/max_runtime": "900"})


@dg.sensor(job=victim_job, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def launch_once(_context: dg.SensorEvaluationContext) -> dg.RunRequest:
    """The same key: Dagster launches it once."""
    return dg.RunRequest(run_key="once")


defs = dg.Definitions.merge(
    build_definitions(), dg.Definitions(assets=[victim], jobs=[victim_job], sensors=[launch_once])
)
