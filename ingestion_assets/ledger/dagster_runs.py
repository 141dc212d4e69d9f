"""Import jobs as seen from a Dagster step: which run this is, which runs it retries, which runs are over."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import dagster as dg

from ingestion_assets.ledger.import_jobs import ImportJob
from resources.postgres.database import Database

LAUNCHED_BY_TAG = "ingestion/launched_by"
COMMAND_LINE = "ingest"
"""Value of the tag for runs that live inside an `ingest` command: nobody but us notices when that is killed."""

log = logging.getLogger(__name__)


@contextmanager
def import_job(
    context: dg.AssetExecutionContext, database: Database, source: str, weeks: Sequence[date], *, wait: float = 60.0
) -> Iterator[ImportJob]:
    """The ledger job of this step, open for as long as the context lasts.

    `wait` is how many seconds a live job that stands in the way is waited for before `ImportBusyError`.
    """
    run, instance = context.run, context.instance
    earlier = {run_id for run_id in (run.parent_run_id, run.root_run_id) if run_id}
    with ImportJob(
        database,
        source=source,
        run_id=run.run_id,
        partition_start=weeks[0],
        partition_end=weeks[-1],
        earlier_runs=earlier,
        run_finished=lambda run_id: run_is_finished(instance, run_id),
        wait=wait,
    ) as job:
        for run_id in job.took_over:
            _close_abandoned_run(instance, run_id)
        yield job


def run_is_finished(instance: dg.DagsterInstance, run_id: str) -> bool | None:
    """Whether Dagster has done with a run: True also when it was deleted, None when Dagster could not be asked."""
    try:
        run = instance.get_run_by_id(run_id)
    except Exception as error:  # noqa: BLE001 - whatever the storage raises, it is no answer
        log.warning("could not ask Dagster for run %s: %s", run_id, type(error).__name__)
        return None
    return run is None or run.is_finished


def _close_abandoned_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """A run inside a killed `ingest` command would stay STARTED until its `dagster/max_runtime`."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished and run.tags.get(LAUNCHED_BY_TAG) == COMMAND_LINE:
        instance.report_run_failed(run, "The command that ran it was killed; a later import took its source over.")
