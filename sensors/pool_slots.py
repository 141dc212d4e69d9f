"""Pool slots that finished runs still hold: freed. And the limits of the pools that are not for one run at a time.

Dagster frees them itself after `free_slots_after_run_end_seconds`, but not those of runs that were deleted, and not when
its own monitoring stands still. A source whose slot is held that way is never imported again.

`dagster.yaml` knows one limit for all pools. Deduplication is bound by cores, so its own is a setting; collections have as
many as runs. Kept here because sensors run in every deployment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from ingestion_assets.events.deduplicated_events import POOL as DEDUPLICATION
from ingestion_assets.ledger.incidents import Action, Incident, Subject, record
from ingestion_assets.settings import DeduplicationSettings
from ingestion_assets.study import steps as study
from resources.definitions import PostgresResource
from sensors.settings import SensorSettings
from sensors.ticks import bounded, summary

NAME = "pool_slots"


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot of a pool, or a place in its queue, in the hands of a run."""

    pool: str
    run_id: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """Whether a run is over, and since when; `ended=None` with `over=True` is a run that no longer exists."""

    over: bool
    ended: datetime | None = None


def leaked(
    claims: Sequence[Claim], runs: Mapping[str, RunEnd], *, now: datetime, after: timedelta
) -> dict[str, list[str]]:
    """The runs whose slots are to be freed, with the pools that they hold. A run that is not in `runs` is left alone."""
    found: dict[str, list[str]] = {}
    for claim in claims:
        run = runs.get(claim.run_id)
        if run is None or not run.over or (run.ended is not None and now - run.ended < after):
            continue
        pools = found.setdefault(claim.run_id, [])
        if claim.pool not in pools:
            pools.append(claim.pool)
    return found


def read_claims(instance: dg.DagsterInstance) -> list[Claim]:
    """Who holds or waits for a slot in any pool."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return []
    infos = storage.get_concurrency_infos(sorted(storage.get_concurrency_keys()))
    return [
        Claim(pool, run_id)
        for pool, info in infos.items()
        for run_id in (*(slot.run_id for slot in info.claimed_slots), *(step.run_id for step in info.pending_steps))
    ]


def read_ends(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> dict[str, RunEnd]:
    """Which of these runs are over. A run that Dagster does not know any more is."""
    records = instance.get_run_records(dg.RunsFilter(run_ids=list(run_ids))) if run_ids else []
    ends = dict.fromkeys(run_ids, RunEnd(over=True))
    for found in records:
        run = found.dagster_run
        ended = datetime.fromtimestamp(found.end_time, UTC) if found.end_time else _aware(found.update_timestamp)
        ends[run.run_id] = RunEnd(over=run.is_finished, ended=ended)
    return ends


def keep_limit(instance: dg.DagsterInstance, pool: str, limit: int) -> bool:
    """Give a pool its limit. True when it had another one."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return False
    if any((known.name, known.limit) == (pool, limit) for known in storage.get_pool_limits()):
        return False
    storage.set_concurrency_slots(pool, limit)
    return True


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dg.sensor(
    name=NAME,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Frees pool slots that runs hold which are over or were deleted, and keeps the limits of the pools "
    "`deduplication`, at INGESTION_DEDUPLICATION_RUNS, and `study`.",
)
def pool_slots_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SkipReason:
    """Decided by `leaked`."""
    instance = context.instance
    for pool, limit in ((DEDUPLICATION, DeduplicationSettings().runs), (study.POOL, study.AT_ONCE)):
        if keep_limit(instance, pool, limit):
            context.log.info(f"{limit} runs may be in the pool {pool} at once")
    claims = read_claims(instance)
    ends = read_ends(instance, sorted({claim.run_id for claim in claims})[:500])
    after = timedelta(seconds=SensorSettings().slot_seconds)
    found = leaked(claims, ends, now=datetime.now(UTC), after=after)
    incidents = []
    for run_id, pools in found.items():
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        incidents += [
            Incident(
                subject_type=Subject.POOL,
                subject=pool,
                reason="held_by_finished_run",
                action=Action.FREED,
                detail=f"run {run_id} is over and held a slot or waited for one",
            )
            for pool in pools
        ]
    if incidents:
        with bounded(postgres.database) as connection:
            record(connection, NAME, incidents)
    for incident in incidents:
        context.log.warning(str(incident))
    return dg.SkipReason(summary(incidents, f"{len(claims)} slots are held or waited for, none by a finished run."))
