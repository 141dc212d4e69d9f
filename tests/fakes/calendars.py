"""Calendar texts read without a network, for tests about what a file means."""

from __future__ import annotations

from datetime import date

from ingestion_assets.events.model import Event, FetchWindow, Moment
from ingestion_assets.events.sources.ics.feed import read_feed
from tests.fakes.fetching import Fetched
from tests.fakes.ics_server import vcalendar

WINDOW = FetchWindow(date(2026, 11, 16), date(2027, 11, 15), "America/Toronto")


def read_bytes(
    body: bytes,
    *,
    window: FetchWindow = WINDOW,
    charset: str | None = None,
    default_zone: str = "America/Toronto",
    max_occurrences: int = 730,
) -> Fetched:
    """What the feed `f` with these bytes brings."""
    found = Fetched()
    pages = read_feed(
        body,
        feed="f",
        window=window,
        default_zone=default_zone,
        max_occurrences=max_occurrences,
        charset=charset,
    )
    for page in pages:
        found.add(page)
    return found


def read(*events: str, head: str = "", **options: object) -> Fetched:
    """What a calendar with these VEVENTs brings. SUMMARY and UID are added where they are missing."""
    complete = []
    for number, event in enumerate(events, start=1):
        names = {line.partition(":")[0].partition(";")[0] for line in event.split("\n")}
        added = [f"UID:e{number}"] * ("UID" not in names) + [f"SUMMARY:Événement {number}"] * ("SUMMARY" not in names)
        complete.append("\n".join([*added, event]))
    return read_bytes(vcalendar(*complete, head=head).encode(), **options)  # type: ignore[arg-type]


def one(*events: str, head: str = "", **options: object) -> Event:
    """The only event that these VEVENTs bring."""
    found = read(*events, head=head, **options)
    assert len(found.events) == 1, (found.events, found.rejected)
    assert not found.rejected
    return found.events[0]


def shown(moment: Moment | None) -> str:
    """`2026-12-05 19:00 America/Toronto`, `2026-12-05`; a `?` where the zone was assumed."""
    if moment is None:
        return "-"
    if moment.time is None:
        return moment.date.isoformat()
    return f"{moment.date} {moment.time:%H:%M} {moment.zone}{'?' if moment.zone_assumed else ''}"


def starts(found: Fetched) -> list[str]:
    """Local starts without their zone, in order: `12-05 19:00`, `12-05`."""
    return sorted(
        f"{event.start.date:%m-%d}" + (f" {event.start.time:%H:%M}" if event.start.time else "")
        for event in found.events
        if event.start is not None
    )
