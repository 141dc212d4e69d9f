"""Runs that failed or were cancelled: whatever they left open in the ledger is closed with their reason.

A step closes its own row; a run that was killed, timed out or never started a step cannot. Runs inside `ingest` commands
belong to no code location, hence `monitor_all_code_locations`.
"""

from typing import Any

import dagster as dg

from ingestion_assets.ledger.stuck_imports import close_imports_of_run
from resources.definitions import PostgresResource
from resources.redaction import redact
from sensors.ticks import bounded, observation


def outcome(status: dg.DagsterRunStatus, message: str | None) -> tuple[str, str]:
    """The error code and text that the ledger keeps for a run that ended so."""
    code = "cancelled" if status == dg.DagsterRunStatus.CANCELED else "run_failed"
    ended = "was cancelled" if status == dg.DagsterRunStatus.CANCELED else "failed"
    return code, f"The run {ended}: {redact(message)}" if message else f"The run {ended}."


def _close(context: dg.RunStatusSensorContext, postgres: PostgresResource) -> dg.SensorResult:
    run = context.dagster_run
    code, text = outcome(run.status, context.dagster_event.message)
    with bounded(postgres.database) as connection:
        closed = close_imports_of_run(connection, run.run_id, code=code, text=text)
        # Nobody serves a run that is over; a process that still does ends itself and needs no row for that.
        connection.execute("DELETE FROM run_heartbeats WHERE run_id = %s", (run.run_id,))
    for source in closed:
        context.log.warning(f"closed the import of {source} of run {run.run_id}: {text}")
    return dg.SensorResult(
        skip_reason=f"Closed {', '.join(closed)}." if closed else "The run left nothing open.",
        asset_events=[
            observation(source, text, reason=code, run=dg.MetadataValue.dagster_run(run.run_id)) for source in closed
        ],
    )


def _build(status: dg.DagsterRunStatus, name: str) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=status,
        name=name,
        monitor_all_code_locations=True,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Closes what a {status.value.lower()} run left RUNNING in the ledger.",
    )
    def _sensor(context: dg.RunStatusSensorContext, postgres: PostgresResource) -> Any:
        return _close(context, postgres)

    return _sensor


failed_runs_sensor = _build(dg.DagsterRunStatus.FAILURE, "run_outcomes_failed")
cancelled_runs_sensor = _build(dg.DagsterRunStatus.CANCELED, "run_outcomes_cancelled")
