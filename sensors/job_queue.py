"""The queue of asynchronous jobs, when no worker is up: a run that works it off.

Workers (`ingest worker`, started by `ingest dev`) take jobs within a second. This sensor is for an installation that runs
only Dagster, or whose workers are down: nothing that was asked for waits for ever.
"""

import json
import logging
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from ingestion_assets.job_kinds import job_kinds
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.job_worker import Worker
from ingestion_assets.ledger.polling import next_interval
from ingestion_assets.ledger.stuck_jobs import WORKER_LOCK_CLASS
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from resources.postgres.tables.jobs import QUEUE_CHANNEL
from sensors.settings import SensorSettings
from sensors.ticks import bounded

if TYPE_CHECKING:
    from psycopg import Connection

NAME = "job_queue"
JOB = "work_off_async_jobs"
DRAIN_SECONDS = 1500.0
"""A run takes no new jobs after this long, so that the longest one still ends before `dagster/max_runtime`."""
MAX_RUNTIME_SECONDS = 3600

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    """When to look next; kept as the sensor's cursor."""

    interval: float = 2.0
    next_look: float = 0.0
    """Unix time."""

    @classmethod
    def parse(cls, cursor: str | None) -> "Watch":
        """From a cursor; one that cannot be read means: look now."""
        try:
            return cls(**json.loads(cursor)) if cursor else cls()
        except (ValueError, TypeError):
            return cls()

    def is_due(self, *, now: float, rung: bool) -> bool:
        """Whether to look at the queue: the time has come, or a notification has arrived."""
        return rung or now >= self.next_look

    def after_look(self, *, now: float, found_work: bool) -> "Watch":
        """2 s after work, 1.5 times longer after each look that found none, 30 s at most."""
        interval = next_interval(self.interval, found_work=found_work)
        return Watch(interval, now + interval)

    def dumps(self) -> str:
        """As a cursor."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """What a look at the queue shows."""

    due: int
    """Jobs that could start now."""
    oldest_seconds: float
    """How long the longest of them has been due."""
    oldest_job: str
    workers: int


def should_drain(queue: QueueView, *, draining: bool, patience: float) -> bool:
    """Whether a run has to work off the queue: something waits, and nobody is there or on the way to take it."""
    return queue.due > 0 and queue.workers == 0 and not draining and queue.oldest_seconds >= patience


_LOOK = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(not_before)), 0)::float8,
       coalesce((array_agg(id ORDER BY not_before, sequence))[1]::text, ''),
       (SELECT count(DISTINCT objid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %(lock)s AND objsubid = 2
        AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
FROM (SELECT id, not_before, sequence FROM async_jobs
      WHERE state = 'pending' AND not_before <= clock_timestamp() AND kind = ANY(%(kinds)s) LIMIT 1000) AS due
"""


def look(connection: "Connection[Any]", kinds: list[str]) -> QueueView:
    """The queue, as far as these kinds go; at most 1,000 jobs are counted."""
    row = connection.execute(_LOOK, {"lock": WORKER_LOCK_CLASS, "kinds": kinds}).fetchone()
    assert row is not None, "an aggregate has one row"  # noqa: S101
    return QueueView(due=row[0], oldest_seconds=row[1], oldest_job=row[2], workers=row[3])


class Doorbell:
    """Notifications since the last tick, on a connection that the code server keeps. Costs no statement."""

    def __init__(self) -> None:
        self._connection: Connection[Any] | None = None

    def rung(self, database: Database) -> bool:
        """Whether a job became pending since the last call. True also when nobody listened meanwhile."""
        import psycopg

        from resources.postgres import notify

        try:
            if self._connection is not None:
                return bool(notify.wait(self._connection, timeout=0))
            connection = database.connect(role="queue sensor", autocommit=True)
            notify.listen(connection, QUEUE_CHANNEL)
        except psycopg.Error as error:
            log.debug("cannot listen to the queue: %s", type(error).__name__)
            self.close()
            return False
        self._connection = connection
        return True

    def close(self) -> None:
        """Stop listening."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_doorbell = Doorbell()


@dg.op(name="work_off_queue")
def work_off_queue(context: dg.OpExecutionContext, postgres: PostgresResource) -> None:
    """Do what is in the queue, in this run's process, and end when it is empty."""
    worker = Worker(postgres.database, job_kinds(), JobSettings())
    worker.run(until_idle=True, seconds=DRAIN_SECONDS)
    context.log.info(f"claimed {worker.stats.claimed} jobs: {worker.stats.settled}")


@dg.job(
    name=JOB,
    description="Works off asynchronous jobs while no worker is up.",
    tags={"dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
)
def work_off_async_jobs() -> None:
    """One op: all jobs of the queue."""
    work_off_queue()


@dg.sensor(
    name=NAME,
    job=work_off_async_jobs,
    # The turn of Dagster's own loop; the waits that grow are kept in the cursor.
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches a run that works off asynchronous jobs when some are due and no worker is up.",
)
def job_queue_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SensorResult:
    """Decided by `Watch` and `should_drain`."""
    now = time.time()
    watch = Watch.parse(context.cursor)
    if not watch.is_due(now=now, rung=_doorbell.rung(postgres.database)):
        return dg.SensorResult(skip_reason=f"The next look is in {watch.next_look - now:.0f} s.", cursor=watch.dumps())
    with bounded(postgres.database) as connection:
        queue = look(connection, list(job_kinds()))
    cursor = watch.after_look(now=now, found_work=queue.due > 0).dumps()
    draining = queue.due > 0 and queue.workers == 0 and _is_draining(context.instance)
    if should_drain(queue, draining=draining, patience=SensorSettings().queue_patience_seconds):
        # The key names the cause; with the minute in it a run that died is asked for again.
        key = f"{queue.oldest_job}:{int(now // 60)}"
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key)], cursor=cursor)
    text = f"{queue.due} jobs are due, {queue.workers} workers are up" + (
        ", a run works them off." if draining else "."
    )
    return dg.SensorResult(skip_reason=text, cursor=cursor)


def _is_draining(instance: dg.DagsterInstance) -> bool:
    statuses = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ]
    return bool(instance.get_run_records(dg.RunsFilter(job_name=JOB, statuses=statuses), limit=1))
