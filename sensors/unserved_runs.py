"""Runs that no process serves: failed, or cancelled where that was asked for, so that Dagster can retry them.

Dagster notices a dead worker only while the code server that started it lives. A host that went away, or a killed `ingest`
command, leaves a run STARTED until its `dagster/max_runtime`, which holds its source's pool for hours.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from ingestion_assets.ledger.dagster_runs import COMMAND_LINE, LAUNCHED_BY_TAG
from ingestion_assets.ledger.import_repairs import fail_run
from ingestion_assets.ledger.incidents import Action, Incident, Subject, record
from ingestion_assets.ledger.run_heartbeats import Pulse, read_pulses
from ingestion_assets.ledger.sightings import Sightings
from resources.definitions import PostgresResource
from sensors.pool_slots import read_claims
from sensors.settings import SensorSettings
from sensors.ticks import UNFINISHED, bounded, summary

NAME = "unserved_runs"
_MOST_RUNS = 200
_sightings = Sightings()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run that is not over, as Dagster and the pulses show it."""

    run_id: str
    job_name: str
    status: dg.DagsterRunStatus
    age: timedelta
    """Since it got this status."""
    pulse: Pulse | None
    beats: bool
    """It is executed by our executor or an `ingest` command, which beat. Of other runs nothing can be said."""
    pools: frozenset[str] = field(default_factory=frozenset)
    tags: Mapping[str, str] = field(default_factory=dict)
    held_back: bool = False
    """Queued, and as many runs with its tags as may are under way."""


@dataclass(frozen=True, slots=True)
class Unserved:
    """A run to repair or to report."""

    run: RunView
    action: Action
    reason: str
    detail: str


def unserved(
    runs: Iterable[RunView], *, free_slots: int, full_pools: Collection[str], settings: SensorSettings
) -> list[Unserved]:
    """The runs that nobody serves. `free_slots` are runs that could start now; `full_pools` keep theirs waiting."""
    found = []
    for run in runs:
        why = _judge(run, free_slots=free_slots, full_pools=full_pools, settings=settings)
        if why is not None:
            found.append(Unserved(run, *why))
    return found


def _judge(
    run: RunView, *, free_slots: int, full_pools: Collection[str], settings: SensorSettings
) -> tuple[Action, str, str] | None:
    age = run.age.total_seconds()
    match run.status:
        case dg.DagsterRunStatus.STARTED:
            gone = _gone(run, settings)
            return (Action.FAILED, *gone) if gone else None
        case dg.DagsterRunStatus.CANCELING:
            gone = _gone(run, settings)
            if gone is None and age > settings.run_cancel_seconds:
                gone = "cancel_timeout", f"it has been CANCELING for {age:.0f} s"
            return (Action.CANCELLED, *gone) if gone else None
        case dg.DagsterRunStatus.STARTING | dg.DagsterRunStatus.NOT_STARTED if age > settings.run_start_seconds:
            return Action.FAILED, "not_started", f"it has been {run.status.value} for {age:.0f} s"
        case dg.DagsterRunStatus.QUEUED if age > settings.queued_seconds:
            if free_slots > 0 and not run.held_back and not any(pool in full_pools for pool in run.pools):
                return Action.REPORTED, "not_dequeued", f"queued for {age:.0f} s although {free_slots} runs could start"
    return None


def _gone(run: RunView, settings: SensorSettings) -> tuple[str, str] | None:
    """The reason and the sentence when no process serves the run."""
    if run.pulse is not None:
        dead = run.pulse.why_dead()
        return ("process_gone", dead) if dead else None
    age = run.age.total_seconds()
    if run.beats and age > settings.run_without_pulse_seconds:
        return "no_process", f"no process has beaten for it in {age:.0f} s"
    return None


def read_runs(instance: dg.DagsterInstance, *, now: datetime) -> list[RunView]:
    """The runs that are not over, oldest first, without their pulses.

    Those in the queue are read apart: a backfill puts hundreds there, behind which a dead host would not be seen.
    """
    queued = dg.DagsterRunStatus.QUEUED
    others = [status for status in UNFINISHED if status != queued]
    return [
        _view(found, now)
        for statuses in (others, [queued])
        for found in instance.get_run_records(dg.RunsFilter(statuses=statuses), limit=_MOST_RUNS, ascending=True)
    ]


def _view(found: dg.RunRecord, now: datetime) -> RunView:
    run = found.dagster_run
    moment = found.update_timestamp
    if run.status == dg.DagsterRunStatus.STARTED and found.start_time:
        moment = datetime.fromtimestamp(found.start_time, UTC)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return RunView(
        run_id=run.run_id,
        job_name=run.job_name,
        status=run.status,
        age=max(now - moment, timedelta(0)),
        pulse=None,
        beats=run.remote_job_origin is not None or run.tags.get(LAUNCHED_BY_TAG) == COMMAND_LINE,
        pools=frozenset(run.run_op_concurrency.all_pools or ()) if run.run_op_concurrency else frozenset(),
        tags=run.tags,
    )


_ACTIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


def held_back(run: RunView, active: Sequence[RunView], limits: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a limit on tags keeps the run in the queue. `limits` are `tag_concurrency_limits` of `dagster.yaml`."""
    for limit in limits:
        key, value = limit["key"], limit.get("value")
        own = run.tags.get(key)
        if own is None or (isinstance(value, str) and own != value):
            continue
        # Without a value all runs with the key count together, unless each value is to have the limit.
        like = [other for other in active if key in other.tags and (not value or other.tags[key] == own)]
        if len(like) >= limit["limit"]:
            return True
    return False


class Queue:
    """What the last look found in the queue. Kept in memory only: a new process looks twice again.

    Between two runs the next one of a long queue seems to be kept waiting by nothing.
    """

    def __init__(self) -> None:
        self._pools: Mapping[str, frozenset[str]] = {}
        self._could_start: frozenset[str] = frozenset()

    def stands(self, queued: Iterable[RunView], could_start: Iterable[RunView]) -> set[str]:
        """The runs that could start at two looks in a row, between which none that waits for the same pools left."""
        pools = {run.run_id: run.pools for run in queued}
        moving = {waited_for for run_id, waited_for in self._pools.items() if run_id not in pools}
        now = [run for run in could_start if run.pools not in moving]
        standing = {run.run_id for run in now if run.run_id in self._could_start}
        self._pools, self._could_start = pools, frozenset(run.run_id for run in now)
        return standing


def free_run_slots(instance: dg.DagsterInstance, runs: Iterable[RunView]) -> int:
    """How many queued runs could start now, by the limit on all runs."""
    queue = instance.get_concurrency_config().run_queue_config
    if queue is None or queue.max_concurrent_runs < 0:
        return 1
    return max(0, queue.max_concurrent_runs - sum(run.status in _ACTIVE for run in runs))


_queue = Queue()


def repair(instance: dg.DagsterInstance, item: Unserved) -> bool:
    """Make Dagster's status true. False when the run ended by itself meanwhile."""
    if item.action is Action.REPORTED:
        return True
    text = f"Nobody serves this run any more: {item.detail}."
    if item.action is Action.FAILED:
        return fail_run(instance, item.run.run_id, text)
    run = instance.get_run_by_id(item.run.run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_canceled(run, text)
    return True


@dg.sensor(
    name=NAME,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails or cancels runs whose process is gone, and reports runs that stay queued although slots are free.",
)
def unserved_runs_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SkipReason:
    """Decided by `unserved`."""
    instance = context.instance
    runs = read_runs(instance, now=datetime.now(UTC))
    with bounded(postgres.database) as connection:
        pulses = read_pulses(connection, [run.run_id for run in runs], sightings=_sightings)
    queue = instance.get_concurrency_config().run_queue_config
    limits = (queue.tag_concurrency_limits if queue else None) or ()
    active = [run for run in runs if run.status in _ACTIVE]
    runs = [replace(run, pulse=pulses.get(run.run_id), held_back=held_back(run, active, limits)) for run in runs]
    # A run takes its slots with its first step, on a busy machine a minute after it left the queue.
    starting = {pool for run in active if run.status == dg.DagsterRunStatus.STARTING for pool in run.pools}
    found = unserved(
        runs,
        free_slots=free_run_slots(instance, runs),
        full_pools=starting | {claim.pool for claim in read_claims(instance)},
        settings=SensorSettings(),
    )
    standing = _queue.stands(
        [run for run in runs if run.status == dg.DagsterRunStatus.QUEUED],
        [item.run for item in found if item.action is Action.REPORTED],
    )
    found = [item for item in found if item.action is not Action.REPORTED or item.run.run_id in standing]
    done = [item for item in found if repair(instance, item)]
    incidents = [
        Incident(
            subject_type=Subject.RUN,
            subject=item.run.run_id,
            reason=item.reason,
            action=item.action,
            detail=f"{item.run.job_name}: {item.detail}",
        )
        for item in done
    ]
    if incidents:
        with bounded(postgres.database) as connection:
            for incident in record(connection, NAME, incidents):
                context.log.warning(str(incident))
    return dg.SkipReason(summary(incidents, f"{len(runs)} runs are under way, each served."))
