"""Tags that wait: rows whose quota is back, and batches that have ended. Both end in a run of `tag_enrichments`.

A run that a quota stopped has succeeded, as deferred: nothing else would ask again. The rows know when it makes sense.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import dagster as dg

from ingestion_assets.events.tag_batches import SUBMITTED
from ingestion_assets.events.tag_enrichments import KEY, NAME
from ingestion_assets.partitions import contiguous, key_of, range_tags, weekly_partitions
from ingestion_assets.settings import TaggingSettings
from resources.definitions import PostgresResource
from resources.llm.resource import LlmResource
from resources.postgres.database import Database
from sensors.ticks import UNFINISHED, bounded, summary

if TYPE_CHECKING:
    from resources.llm.batch_ledger import StoredBatch

SENSOR = "recover_tags"
MAX_RUNTIME_SECONDS = 3600
"""One that hangs holds the slot of all tagging. The LLM deadline is ten minutes; collecting a day's batches takes some."""
_POLL_SECONDS = 5.0
"""One question how a batch stands. Asked again a minute later."""
_POLLS_SECONDS = 20.0
"""All questions of a tick, which Dagster gives up on after sixty."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Pending rows of one week whose time has come."""

    week: date
    rows: int
    since: datetime
    """When the last of them became due, or their batch was submitted: a new wait makes a new key, and so a new request."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """One run to ask for."""

    first: date
    last: date
    rows: int
    run_key: str


def recoveries(waiting: Sequence[Waiting], *, partitions: Iterable[str], busy: bool, now: datetime) -> list[Recovery]:
    """The runs to ask for: one a contiguous range of weeks. None while a tagging is at work: it may be doing just that.

    The key lasts for an hour: a run that was killed, or failed before it wrote to its rows, is asked for again, and one
    that can only fail is not asked for every minute.
    """
    if busy:
        return []
    known = set(partitions)
    by_week = {item.week: item for item in waiting if key_of(item.week) in known}
    found = []
    for first, last in contiguous(sorted(by_week)):
        items = [item for week, item in by_week.items() if first <= week <= last]
        due = max(item.since for item in items)
        key = f"tags {first} {last} {due.isoformat()} {now.astimezone(UTC):%Y-%m-%dT%H}"
        found.append(Recovery(first, last, sum(item.rows for item in items), key))
    return found


@dg.sensor(
    name=SENSOR,
    target=dg.AssetSelection.assets(KEY),
    # A provider's minute is the shortest wait there is.
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tags the events that a quota had put off, once it is back, and collects batches that have ended.",
)
def recover_tags_sensor(
    context: dg.SensorEvaluationContext, postgres: PostgresResource, llm: LlmResource
) -> dg.SensorResult:
    """Decided by `recoveries`. Asks the provider how its batches stand only while there are open ones."""
    if TaggingSettings().disabled:
        return dg.SensorResult(skip_reason="DISABLE_TAG_ENRICHMENT is true: tags may wait.")
    if _is_under_way(context.instance):
        return dg.SensorResult(skip_reason="A run that this sensor asked for is not over.")
    ended = _poll_batches(context, postgres.database, llm)
    waiting, busy = _read(postgres.database)
    found = recoveries(
        [*waiting, *ended],
        partitions=weekly_partitions().get_partition_keys(),
        busy=busy,
        now=datetime.now(UTC),
    )
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=item.run_key,
                asset_selection=[KEY],
                tags={**range_tags(item.first, item.last), "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
            )
            for item in found
        ],
        skip_reason=None if found else summary([], "No tags wait for anything." if not busy else "Tagging is at work."),
    )


def _is_under_way(instance: dg.DagsterInstance) -> bool:
    """Whether a run of this sensor waits or works. The ledger does not know those that wait for a slot."""
    own = dg.RunsFilter(tags={"dagster/sensor_name": SENSOR}, statuses=list(UNFINISHED))
    return bool(instance.get_runs(own, limit=1))


def _read(database: Database) -> tuple[list[Waiting], bool]:
    with bounded(database) as connection:
        rows = connection.execute(
            "SELECT week, count(*), max(not_before) FROM tag_enrichments WHERE status = 'pending'"
            " AND not_before <= now() AND error_code IS NOT NULL GROUP BY week"
        ).fetchall()
        busy = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM import_jobs WHERE source = %s AND status = 'RUNNING')", (NAME,)
        ).fetchone()
    return [Waiting(*row) for row in rows], bool(busy and busy[0])


def _poll_batches(context: dg.SensorEvaluationContext, database: Database, llm: LlmResource) -> list[Waiting]:
    """Weeks of the batches that have ended and are not collected yet."""
    from resources.llm.batch_ledger import SUBMITTING, open_batches, record_polled, record_unanswered
    from resources.llm.errors import LlmError
    from resources.llm.openai_batch import OpenAiBatches

    with bounded(database) as connection:
        stored = open_batches(connection, purpose=NAME)
    settings = llm.settings() if stored else None
    if settings is None or settings.openai_api_key is None:
        return []
    ended: list[Waiting] = []
    asked_until = time.monotonic() + _POLLS_SECONDS
    with closing(OpenAiBatches(settings)) as batches:
        for batch in stored:
            if time.monotonic() > asked_until:
                context.log.warning("the provider answers slowly: the other batches are asked about later")
                break
            if batch.submission is not None:
                if batch.submitted_at < datetime.now(UTC) - SUBMITTING:  # its submitter is gone: a run looks for it
                    ended += _weeks_of(database, batch)
                continue
            try:
                status = batches.poll(batch.batch_id, within=_POLL_SECONDS)
            except LlmError as error:
                context.log.warning(f"batch {batch.batch_id} could not be asked about: {error}")
                with bounded(database) as connection:
                    record_unanswered(connection, batch.batch_id)
                continue
            with bounded(database) as connection:
                record_polled(connection, status)
            if status.state.ended:
                ended += _weeks_of(database, batch)
    return ended


def _weeks_of(database: Database, batch: "StoredBatch") -> list[Waiting]:
    ids = [event_id for events in batch.items.values() for event_id, _ in events]
    with bounded(database) as connection:
        rows = connection.execute(
            "SELECT week, count(*) FROM tag_enrichments WHERE status = 'pending' AND error_code = %s"
            " AND event_id = ANY(%s) GROUP BY week",
            (SUBMITTED, ids),
        ).fetchall()
    return [Waiting(week, count, batch.submitted_at) for week, count in rows]
