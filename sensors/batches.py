"""Batches that wait for a run: those that were handed in, and those whose run died. Folders: `inbox.py`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import dagster as dg

from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import MAX_LAUNCHES, Batch, BatchState
from ingestion_assets.ledger.dagster_runs import run_is_finished
from ingestion_assets.study.steps import KEYS, PARTITIONS, RUN_TAGS
from resources.definitions import PostgresResource
from sensors.ticks import bounded, summary

BATCH_TAG = "ingestion/batch"
"""On the runs for a batch: its id."""
RETRIED_WITHIN = timedelta(minutes=2)
"""Dagster retries a run that died within seconds. One that it cannot retry after all is waited for no longer."""


class Step(StrEnum):
    """What to do about one open batch."""

    LAUNCH = "launch"
    FAIL = "fail"
    CANCEL = "cancel"
    WAIT = "wait"


def decide(*, working: bool, cancelled: bool, ended: int) -> Step:
    """What to do. `working`: a run for it is queued or under way, or Dagster could not say. `ended`: launches that are over.

    Only those count: a run may wait for a slot for hours, and a request that was lost made no run. `cancelled`: the last run
    was, which only people do: what was killed has failed.
    """
    if working:
        return Step.WAIT
    if cancelled:
        return Step.CANCEL
    return Step.FAIL if ended >= MAX_LAUNCHES else Step.LAUNCH


def request(batch: Batch, launch: int) -> dg.RunRequest:
    """The run for a batch. The key names the launch: asked for again, it is the same run."""
    return dg.RunRequest(
        run_key=f"batch {batch.id} {launch}",
        asset_selection=list(KEYS),
        partition_key=batch.collection_id,
        tags={
            **RUN_TAGS,
            BATCH_TAG: str(batch.id),
            # Nobody looks at the progress of a folder. Hundreds may be dropped before a person hands something in.
            **({"dagster/priority": "-1"} if batch.origin == "inbox" else {}),
            **({"ingestion/user": batch.user_id} if batch.user_id else {}),
        },
    )


def runs_for(instance: dg.DagsterInstance, waiting: Sequence[Batch]) -> dict[str, list[dg.RunRecord]]:
    """The runs that Dagster has for these batches, by the batch's id, the newest first."""
    found: dict[str, list[dg.RunRecord]] = {str(batch.id): [] for batch in waiting}
    for each in instance.get_run_records(dg.RunsFilter(tags={BATCH_TAG: list(found)})) if found else ():
        found[each.dagster_run.tags[BATCH_TAG]].append(each)
    return found


def goes_on(record: dg.RunRecord, *, now: datetime) -> bool:
    """Whether a run is not over, or Dagster is about to retry it by itself."""
    run, moved = record.dagster_run, record.update_timestamp
    silence = now - (moved if moved.tzinfo else moved.replace(tzinfo=UTC))
    return not run.is_finished or (run.is_complete_and_waiting_to_retry and silence < RETRIED_WITHIN)


@dg.sensor(
    name="study_batches",
    target=dg.AssetSelection.assets(*KEYS),
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for each batch of documents that waits, and again when its run died; cancels it when "
    "somebody cancelled its run.",
)
def study_batches_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SensorResult:
    """Decided by `decide`."""
    done: list[str] = []
    with bounded(postgres.database) as connection:
        waiting = batches.open_batches(connection)
    runs, now = runs_for(context.instance, waiting), datetime.now(UTC)
    launches: list[tuple[Batch, int]] = []
    for batch in waiting:
        own = runs[str(batch.id)]
        # Somebody may have started the run of a collection by hand, without the tag.
        working = any(goes_on(each, now=now) for each in own) or (
            batch.run_id is not None and run_is_finished(context.instance, batch.run_id) is not True
        )
        # Dagster's own retries belong to the launch that they repeat.
        ended = len({run.root_run_id or run.run_id for run in (each.dagster_run for each in own)})
        cancelled = bool(own) and own[0].dagster_run.status == dg.DagsterRunStatus.CANCELED
        match decide(working=working, cancelled=cancelled, ended=ended):
            case Step.WAIT:
                continue
            case Step.CANCEL:
                _end(postgres, batch, BatchState.CANCELLED)
                done.append(f"batch {batch.id} cancelled with its run")
            case Step.FAIL:
                text = f"{ended} runs for this batch did not finish: look at the last one, then retry"
                _end(postgres, batch, BatchState.FAILED, code="run_failed", message=text)
                done.append(f"batch {batch.id} failed: {ended} runs did not finish it")
            case Step.LAUNCH:
                launches.append((batch, ended + 1))
    # Last, and together: what was held back by a tick that failed would wait for nothing.
    with bounded(postgres.database) as connection:
        requests = [
            request(batch, launch) for batch, launch in launches if batches.mark_launched(connection, batch.id, launch)
        ]
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[
            PARTITIONS.build_add_request(sorted({str(item.partition_key) for item in requests}))
        ]
        if requests
        else None,
        skip_reason=None if requests else summary(done, "No batch waits for a run."),
    )


def _end(
    postgres: PostgresResource, batch: Batch, state: BatchState, *, code: str | None = None, message: str | None = None
) -> None:
    with bounded(postgres.database) as connection:
        batches.finish(connection, batch.id, state, code=code, message=message)
        connection.execute(
            "UPDATE study_collections SET state = 'failed', changed_at = now() WHERE id = %s AND state = 'processing'",
            (batch.collection_id,),
        )
