"""Backfills that ended with failures, or do not end: said once, with the partitions that are left, or ended.

Once retries are bounded, a broken partition goes quiet. So each failed backfill is reported once on the assets it was for,
with what to do; one that was being cancelled and stands still is ended.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

# Dagster's own API takes them and does not export them.
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

from ingestion_assets.ledger.incidents import Action, Incident, Subject, record
from resources.definitions import PostgresResource
from sensors.settings import SensorSettings
from sensors.ticks import bounded, summary

NAME = "failed_backfills"
LOOK_BACK = timedelta(days=7)
_MOST_BACKFILLS = 50
_MOST_RUNS = 500
_SHOWN = 20
_BACKFILL_TAG = "dagster/backfill"
_FAILED = frozenset({"FAILED", "COMPLETED_FAILED"})
_ENDING = {"CANCELING": "CANCELED", "FAILING": "FAILED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRun:
    """One run of a backfill."""

    run_id: str
    root_run_id: str
    status: dg.DagsterRunStatus
    partitions: str
    """The partition, or the range, that the run was for."""
    moved: datetime
    """When it was last heard of."""
    assets: tuple[dg.AssetKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillView:
    """A backfill with its runs."""

    backfill_id: str
    status: str
    started: datetime
    runs: Sequence[BackfillRun]
    assets: tuple[dg.AssetKey, ...] = ()


@dataclass(frozen=True, slots=True)
class BackfillProblem:
    """A backfill to report or to end."""

    backfill: BackfillView
    action: Action
    reason: str
    detail: str
    partitions: Sequence[str]


def failed_partitions(runs: Iterable[BackfillRun]) -> list[str]:
    """The partitions whose last attempt failed or was cancelled: a run that was retried counts by its retry."""
    last: dict[str, BackfillRun] = {}
    for run in sorted(runs, key=lambda run: run.moved):
        last[run.root_run_id] = run
    bad = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    return sorted({run.partitions for run in last.values() if run.status in bad})


def backfill_problems(
    backfills: Iterable[BackfillView], *, now: datetime, stuck_after: timedelta
) -> list[BackfillProblem]:
    """What is wrong with these backfills."""
    found = []
    for backfill in backfills:
        partitions = failed_partitions(backfill.runs)
        moved = max([backfill.started, *(run.moved for run in backfill.runs)])
        still = now - moved > stuck_after and all(run.status in _OVER for run in backfill.runs)
        minutes = (now - moved).total_seconds() / 60
        if backfill.status in _FAILED:
            text = f"{len(partitions)} of its ranges failed: {', '.join(partitions[:_SHOWN])}. Materialize them again"
            text += " once the cause in their runs is mended." if partitions else "; no run of it was launched."
            found.append(BackfillProblem(backfill, Action.REPORTED, "failed", text, partitions))
        elif still and backfill.status in _ENDING:
            text = f"it has been {backfill.status} for {minutes:.0f} minutes and all its runs are over"
            found.append(BackfillProblem(backfill, Action.CANCELLED, "not_ending", text, partitions))
        elif still and backfill.status == "REQUESTED":
            text = f"nothing has happened for {minutes:.0f} minutes. Is the daemon up, and the code location loaded?"
            found.append(BackfillProblem(backfill, Action.REPORTED, "no_progress", text, partitions))
    return found


_OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def read_backfills(instance: dg.DagsterInstance, *, now: datetime) -> list[BackfillView]:
    """The latest backfills of the last days, except those that succeeded or were cancelled."""
    views = []
    wanted = [BulkActionStatus(status) for status in (*sorted(_FAILED), *_ENDING, "REQUESTED")]
    for backfill in instance.get_backfills(BulkActionsFilter(statuses=wanted), limit=_MOST_BACKFILLS):
        started = datetime.fromtimestamp(backfill.backfill_timestamp, UTC)
        if now - started > LOOK_BACK:
            continue
        records = instance.get_run_records(dg.RunsFilter(tags={_BACKFILL_TAG: backfill.backfill_id}), limit=_MOST_RUNS)
        views.append(
            BackfillView(
                backfill_id=backfill.backfill_id,
                status=backfill.status.value,
                started=started,
                runs=[_run(found) for found in records],
                assets=tuple(backfill.asset_selection or ()),
            )
        )
    return views


def _run(found: dg.RunRecord) -> BackfillRun:
    run = found.dagster_run
    start, end = (run.tags.get(f"dagster/asset_partition_range_{side}") for side in ("start", "end"))
    partitions = run.tags.get("dagster/partition") or (f"{start}…{end}" if start else "all")
    moved = found.update_timestamp
    return BackfillRun(
        run_id=run.run_id,
        root_run_id=run.root_run_id or run.run_id,
        status=run.status,
        partitions=partitions,
        moved=moved if moved.tzinfo else moved.replace(tzinfo=UTC),
        assets=tuple(run.asset_selection or ()),
    )


def end_backfill(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    """Give a backfill that is being cancelled or failed its final status. False when it has one already."""
    backfill = instance.get_backfill(backfill_id)
    if backfill is None or backfill.status.value not in _ENDING:
        return False
    final = type(backfill.status)(_ENDING[backfill.status.value])
    instance.update_backfill(backfill.with_status(final))  # type: ignore[no-untyped-call]
    return True


@dg.sensor(
    name=NAME,
    minimum_interval_seconds=120,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports backfills that failed or stand still, once each, and ends those that were being cancelled.",
)
def failed_backfills_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SensorResult:
    """Decided by `backfill_problems`."""
    now = datetime.now(UTC)
    stuck_after = timedelta(seconds=SensorSettings().backfill_seconds)
    problems = backfill_problems(read_backfills(context.instance, now=now), now=now, stuck_after=stuck_after)
    done = [
        problem
        for problem in problems
        if problem.action is Action.REPORTED or end_backfill(context.instance, problem.backfill.backfill_id)
    ]
    incidents = [
        Incident(
            subject_type=Subject.BACKFILL,
            subject=problem.backfill.backfill_id,
            reason=problem.reason,
            action=problem.action,
            detail=problem.detail,
        )
        for problem in done
    ]
    with bounded(postgres.database) as connection:
        fresh = {id(incident) for incident in record(connection, NAME, incidents)}
    new = [(problem, incident) for problem, incident in zip(done, incidents, strict=True) if id(incident) in fresh]
    for _, incident in new:
        context.log.warning(str(incident))
    return dg.SensorResult(
        skip_reason=summary([incident for _, incident in new], "No backfill has failed or stands still."),
        asset_events=[event for problem, _ in new for event in _observations(problem)],
    )


def _observations(problem: BackfillProblem) -> list[dg.AssetObservation]:
    assets = problem.backfill.assets or {asset for run in problem.backfill.runs for asset in run.assets}
    return [
        dg.AssetObservation(
            asset_key=asset,
            description=f"Backfill {problem.backfill.backfill_id}: {problem.detail}",
            metadata={
                "reason": problem.reason,
                "failed_ranges": len(problem.partitions),
                "sample": dg.MetadataValue.json(list(problem.partitions[:_SHOWN])),
            },
        )
        for asset in sorted(assets)[:_SHOWN]
    ]
