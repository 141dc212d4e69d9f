"""Closing stuck imports together with their Dagster runs: what the sensor and the command line both do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import dagster as dg

from ingestion_assets.ledger.dagster_runs import run_is_finished
from ingestion_assets.ledger.sightings import Sightings
from ingestion_assets.ledger.stuck_imports import (
    Limits,
    StuckImport,
    StuckReason,
    close_stuck,
    running_imports,
    stuck_imports,
)
from resources.redaction import redact

if TYPE_CHECKING:
    from resources.postgres.database import Database

log = logging.getLogger(__name__)


def repair_stuck_imports(
    database: Database,
    instance: dg.DagsterInstance,
    *,
    watcher: str,
    limits: Limits,
    sightings: Sightings | None = None,
    dry_run: bool = False,
) -> list[StuckImport]:
    """Close the imports that are stuck and fail the runs that they belong to. With `dry_run` only say which.

    With `sightings`, those of a watcher, an import is silent only when the watcher has seen it so for a while itself.

    The row is closed first: from then on the old worker cannot write. Failing the run lets Dagster's run retries do
    the work again; a process that lives on ends itself when it sees that its run is over.
    """
    with database.transaction(role="stuck imports") as connection:
        jobs = running_imports(connection, sightings=sightings)
    found = stuck_imports(jobs, run_finished=lambda run_id: run_is_finished(instance, run_id), limits=limits)
    if dry_run or not found:
        return found
    closed = close_stuck(database, watcher, found)
    for item in closed:
        if item.reason is not StuckReason.RUN_GONE:
            fail_run(instance, item.job.run_id, f"Nobody works on this run any more: {item}.")
    return closed


def fail_run(instance: dg.DagsterInstance, run_id: str, why: str) -> bool:
    """Mark a run as failed, as Dagster's own monitoring does, and free its slots. False when it was over already.

    Dagster frees the slots half a minute later, which is half a minute in which the retry waits for nobody.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_failed(run, redact(why))
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    log.warning("run %s failed: %s", run_id, redact(why))
    return True
