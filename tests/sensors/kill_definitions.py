"""The whole code location with two more imports: one that waits to be killed, and one that works for a while."""

import os
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


@dg.asset(pool="source_ics")
def steady(context: dg.AssetExecutionContext, postgres: PostgresResource) -> None:
    """Commits thirty pages in fifteen seconds."""
    with classified(context), import_job(context, postgres.database, "meetup", [date(2026, 11, 16)]) as job:
        for _ in range(30):
            job.commit(lambda connection: connection.execute("SELECT 1"))
            time.sleep(0.5)
        job.commit(job.succeed)


steady = steady.with_hooks({stop_run_retries})
steady_job = dg.define_asset_job("steady_job", selection=[steady], tags={"dagster/max_runtime": "900"})


_KILLING = dg.DefaultSensorStatus.STOPPED if os.environ.get("TEST_NO_VICTIM") else dg.DefaultSensorStatus.RUNNING


@dg.sensor(job=victim_job, minimum_interval_seconds=1, default_status=_KILLING)
def launch_once(_context: dg.SensorEvaluationContext) -> dg.RunRequest:
    """The same key: Dagster launches it once."""
    return dg.RunRequest(run_key="once")


defs = dg.Definitions.merge(
    build_definitions(), dg.Definitions(assets=[victim, steady], jobs=[victim_job, steady_job], sensors=[launch_once])
)
