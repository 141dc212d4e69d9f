"""The seven sources, each beside its fake, in the sizes that the tests ask for, with what the tables must hold afterwards.

The truth is read from the fakes' own records, never from what a connector made of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.fakes._server import FakeService, FaultPlan, Truth
from tests.fakes.allevents import FakeAllEvents
from tests.fakes.ckan import FakeCkan
from tests.fakes.eventbrite import FakeEventbrite
from tests.fakes.ics_server import FIRST_DAY, WEEKS, FakeIcs
from tests.fakes.lavitrine import FakeLaVitrine
from tests.fakes.meetup import FakeMeetup
from tests.fakes.site import FakeSite
from tests.fakes.ticketmaster import FakeTicketmaster

ZONE = ZoneInfo("America/Toronto")


class ManyFeeds(FakeIcs):
    """The calendar under several names: one request a feed would meet too few faults to prove anything."""

    def __init__(self, *, feeds: int = 12, **options: Any) -> None:
        super().__init__(**options)
        self.feeds = [f"agenda{number}" for number in range(feeds)]

    def environment(self) -> dict[str, str]:
        return {"ICS_FEEDS": ", ".join(f"{name}={self.origin}/agenda.ics?feed={name}" for name in self.feeds)}

    def truth(self, pass_number: int) -> Truth:
        one, times = super().truth(pass_number), len(self.feeds)
        return Truth(
            created=one.created * times,
            updated=one.updated * times,
            skipped=one.skipped * times,
            errors=one.errors * times,
        )


class CkanFile(FakeCkan):
    """The same table, read as the CSV file that `OPEN_DATA_MONTREAL_CSV` names."""

    def environment(self) -> dict[str, str]:
        return {"OPEN_DATA_MONTREAL_CSV": self.csv_url}


Days = Mapping[str, date | None]
"""Local start date by source id; None: undated."""


def _ticketmaster(fake: FakeTicketmaster) -> Days:
    records = [json.loads(row.body) for row in fake.rows() if row.reason is None]
    return {record["id"]: _day(record["dates"]["start"].get("localDate")) for record in records}


def _meetup(fake: FakeMeetup) -> Days:
    good = [node for node in fake.nodes() if node.reason is None]
    return {node.fields["token"]: node.instant.astimezone(ZONE).date() for node in good}


def _eventbrite(fake: FakeEventbrite) -> Days:
    # The parent of a series stands for its occurrences and is none itself.
    return {row.key: row.local.date() for row in fake.rows() if row.reason is None and row.key != row.series}


def _allevents(fake: FakeAllEvents) -> Days:
    known = {str(80_000_000_000_000 + number) for number in range(fake.events + fake.events // 50)}
    good = [item for item in fake.items(fake.current_pass) if str(item["event_id"]) in known]
    return {item["event_id"]: datetime.fromtimestamp(int(item["start_time"]), ZONE).date() for item in good}


def _lavitrine(fake: FakeLaVitrine) -> Days:
    records = fake.records(fake.current_pass)
    good = {key: record for key, record in records.items() if int(key.partition(":")[2]) < 900_000}
    return {key: _day((record.get("startDate") or "")[:10]) for key, record in good.items()}


def _site(fake: FakeSite) -> Days:
    nodes = [fake.node(number) for number in fake.numbers() if number < 900_000]
    return {node["@id"]: _day(node["startDate"][:10]) for node in nodes}


def _ckan(fake: FakeCkan) -> Days:
    found: dict[str, date | None] = {}
    for row in fake.rows(fake.current_pass):
        number = re.search(r"^https.*-(\d+)$", str(row["url_fiche"]))
        if number is not None and int(number[1]) < 1_000_000:
            found[number[1]] = date.fromisoformat(row["date_debut"])
    return found


def _ics(fake: FakeIcs) -> Days:
    names = fake.feeds if isinstance(fake, ManyFeeds) else ["agenda"]
    count = fake.events + (fake.events // 50 if fake.current_pass > 1 else 0)
    one: dict[str, date] = {
        f"single-{number}@agenda.example": FIRST_DAY + timedelta(days=number % 100) for number in range(count)
    }
    for number in range(fake.series):
        for week in range(WEEKS):
            day = FIRST_DAY + timedelta(days=number % 5 + 7 * week)
            instant = datetime(day.year, day.month, day.day, 18, tzinfo=ZONE).astimezone(UTC)
            one[f"weekly-{number}@agenda.example:{instant:%Y%m%dT%H%M%SZ}"] = day
    return {f"{name}:{key}": day for name in names for key, day in one.items()}


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True)
class Service:
    """One source and a fake of it. `make(size, malformed, faults)` builds the fake with about `size` good records."""

    source: str
    make: Callable[[int, int, FaultPlan | None], FakeService]
    days: Callable[[Any], Days]
    """What the tables must hold after the fake's current pass."""
    seed: int = 1
    """Of the faults: one with which every kind is met in the default size."""


SERVICES: dict[str, Service] = {
    "ticketmaster": Service(
        "ticketmaster",
        lambda size, bad, faults: FakeTicketmaster(count=size, undated=6, malformed=bad, faults=faults),
        _ticketmaster,
    ),
    "meetup": Service(
        "meetup",
        lambda size, bad, faults: FakeMeetup(count=size, groups=8, malformed=bad, faults=faults),
        _meetup,
    ),
    "meetup signed in by JWT": Service(
        "meetup",
        lambda size, bad, faults: FakeMeetup(
            count=size, groups=8, malformed=bad, jwt=True, token_requests=9, faults=faults
        ),
        _meetup,
    ),
    "eventbrite": Service(
        "eventbrite",
        lambda size, bad, faults: FakeEventbrite(count=size, malformed=bad, series=18, faults=faults),
        _eventbrite,
    ),
    "allevents": Service(
        "allevents", lambda size, bad, faults: FakeAllEvents(events=size, bad=bad, faults=faults), _allevents
    ),
    "lavitrine": Service(
        "lavitrine", lambda size, bad, faults: FakeLaVitrine(events=size, bad=bad, faults=faults), _lavitrine
    ),
    "lavitrine by pages": Service(
        "lavitrine", lambda size, bad, faults: FakeSite(events=size, bad=bad, faults=faults), _site
    ),
    "open_data_montreal": Service(
        "open_data_montreal",
        lambda size, bad, faults: FakeCkan(events=size, bad=bad, rows_max=50, faults=faults),
        _ckan,
    ),
    "open_data_montreal as a file": Service(
        "open_data_montreal", lambda size, bad, faults: CkanFile(events=size, bad=bad, faults=faults), _ckan
    ),
    "ics": Service(
        "ics",
        lambda size, bad, faults: ManyFeeds(
            feeds=10, events=size // 10, series=1, bad=max(1, bad // 10), faults=faults
        ),
        _ics,
    ),
}
