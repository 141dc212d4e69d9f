"""One Dagster run of one asset over some weeks, in a process of its own, as a run worker would execute it.

Sources read generated files instead of asking services: what a service and its parser cost is measured by the benchmark
`pull`. Everything behind `Source.fetch` is the platform's own: asset, ledger, hashing, COPY, checks, metadata, event log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._measure import measured
from benchmarks.scale.records import PAGE_RECORDS, lines

if TYPE_CHECKING:
    from ingestion_assets.events.model import Event, FetchWindow, Page


def recorded(name: str, folder: Path) -> Any:
    """A source of the same name that reads `<folder>/<name>.ndjson`."""
    from ingestion_assets.events.model import Page
    from ingestion_assets.events.sources import source_class
    from resources.http import OutboundPolicy

    kind = source_class(name)

    class Recorded(kind):  # type: ignore[misc, valid-type]
        def __init__(self, settings: Any) -> None:
            """No settings are needed."""

        @property
        def policy(self) -> OutboundPolicy:
            return OutboundPolicy(name=name)

        def fetch(self, window: FetchWindow, client: Any) -> Iterator[Page]:  # noqa: ARG002 - nobody is asked
            records = map(_event, lines(folder / f"{name}.ndjson", window.start, window.end))
            while page := list(islice(records, PAGE_RECORDS)):
                yield Page(records=page)

    return Recorded


def _event(record: dict[str, Any]) -> Event:
    from ingestion_assets.events.model import Event, Moment, Venue

    zone, clock, end_clock = record["zone"], record["local_time"], record["end_time"]
    end = None
    if record["end_date"]:
        end = Moment(date.fromisoformat(record["end_date"]), time.fromisoformat(end_clock) if end_clock else None, zone)
    return Event(
        source_id=record["source_id"],
        title=record["title"],
        payload=record,
        start=Moment(date.fromisoformat(record["local_date"]), time.fromisoformat(clock) if clock else None, zone),
        end=end,
        description=record["description"],
        venue=Venue(
            name=record["venue_name"],
            address=record["address"],
            city=record["city"],
            lat=record["lat"],
            lon=record["lon"],
        ),
        url=record["url"],
        organizer=record["organizer"],
        performers=tuple(record["performers"]),
        language=record["lang"],
    )


def run(task: dict[str, Any]) -> None:
    """`task`: asset (a source, or `deduplicated_events`), folder of the records, first and last week, workers."""
    import dagster as dg

    from ingestion_assets.cli.environment import platform
    from ingestion_assets.events import raw_events
    from ingestion_assets.events.sources import SOURCE_NAMES

    sources = {name: recorded(name, Path(task["folder"])) for name in SOURCE_NAMES}
    raw_events.source_class = sources.__getitem__
    raw_events.missing_settings = lambda _name: []
    from ingestion_assets.definitions import build_definitions
    from ingestion_assets.events.deduplicated_events import POOL
    from ingestion_assets.launch import materialize
    from sensors.pool_slots import keep_limit

    definitions = build_definitions()
    asset = task["asset"]
    first, last = (date.fromisoformat(task[name]) for name in ("first", "last"))
    key = raw_events.raw_events_key(asset) if asset in sources else dg.AssetKey(asset)
    with platform() as databases, dg.DagsterInstance.get() as instance:
        keep_limit(instance, POOL, task["workers"])  # as the sensor does
        with measured() as cost:
            began = datetime.now().astimezone()
            outcome = materialize(definitions, [key], first=first, last=last, instance=instance)
        if not outcome.success:
            raise RuntimeError("; ".join(outcome.problems))
        [row] = databases.database.fetch_all(
            "SELECT nb_fetched AS fetched, nb_created AS created, nb_updated AS updated, nb_skipped AS skipped,"
            " nb_errors AS errors FROM import_jobs WHERE run_id = %(run)s",
            {"run": outcome.run_id},
        )
    cost.report(asset=asset, began=began.timestamp(), counts=row)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
