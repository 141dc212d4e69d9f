"""Materializing assets in this process, as the command line and tests do it. The run shows in the UI like any other."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg

from ingestion_assets.ledger.dagster_runs import COMMAND_LINE, LAUNCHED_BY_TAG, run_is_finished
from ingestion_assets.ledger.pool_watch import freeing_dead_pools
from ingestion_assets.ledger.run_heartbeats import serving
from ingestion_assets.partitions import range_tags, weekly_partitions
from resources.errors import PermanentError
from resources.postgres.platform import open_databases


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended. `problems` are sentences: failed steps, and checks that failed with severity ERROR."""

    run_id: str
    success: bool
    problems: Sequence[str]
    failed_checks: Sequence[str]


def check_weeks(first: date, last: date) -> None:
    """Raise `PermanentError` when the weeks are not partitions, saying which ones are."""
    keys = weekly_partitions().get_partition_keys()
    known = set(keys)
    for week in (first, last):
        if week.isoformat() not in known:
            raise PermanentError(
                f"the week of {week} cannot be materialized: partitions reach from {keys[0]} to {keys[-1]}. "
                "INGESTION_START_DATE and INGESTION_HORIZON_WEEKS move the ends."
            )


def materialize(
    defs: dg.Definitions,
    assets: Sequence[dg.AssetKey],
    *,
    first: date,
    last: date,
    instance: dg.DagsterInstance,
    run_config: Mapping[str, Any] | None = None,
    job_name: str | None = None,
) -> RunOutcome:
    """Materialize `assets`, with their checks, for the weeks from `first` to `last`, as one run in this process."""
    job = defs.resolve_job_def(job_name) if job_name else defs.resolve_implicit_global_asset_job_def()
    run_id = str(uuid.uuid4())
    # `execute_in_process` leaves our executor out, and with it the pulse that says that somebody serves the run.
    with (
        open_databases() as databases,
        serving(databases.database, run_id, run_is_over=lambda: run_is_finished(instance, run_id)),
        freeing_dead_pools(instance, databases.database),
    ):
        result = job.execute_in_process(
            instance=instance,
            asset_selection=None if job_name else list(assets),
            run_id=run_id,
            tags={**range_tags(first, last), LAUNCHED_BY_TAG: COMMAND_LINE},
            # Dagster's own lines would drown ours; they are all in the event log.
            run_config={**(run_config or {}), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    problems = [_step_problem(event) for event in result.all_events if event.is_step_failure]
    failed = [
        f"{'/'.join(check.asset_key.path)}:{check.check_name}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    ]
    return RunOutcome(run_id=result.run_id, success=result.success, problems=problems, failed_checks=failed)


def _step_problem(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is not None and error.cls_name == "DagsterExecutionInterruptedError":  # whose message is its own name
        return "interrupted; what was stored stays, and the same command takes it up again"
    return error.message.strip() if error is not None else f"step {event.step_key} failed"
