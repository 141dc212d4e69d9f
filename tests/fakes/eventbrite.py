"""Eventbrite's API v3: watch lists with continuation tokens, expansions, series, and its errors.

Bodies follow Eventbrite's API blueprint; the records are made by us. Every list overlaps with another, as real watch
lists do: an event is in its organizer's list and in its venue's.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from tests.fakes._server import Answer, FakeService, FaultPlan, Request, Truth, VirtualClock, json_answer

TOKEN = "eb-canary-5e6f7a8b9c0d1e2f"
ZONE = ZoneInfo("America/Toronto")
ORGANIZERS = ("17001", "17002", "17003")
VENUES = ("29001", "29002")
ORGANIZATION = "88001"
ALONE = "990000001"
"""An event of an organizer that nobody watches, watched by its own id."""
_EXPANDED = ("venue", "organizer", "category", "subcategory", "format", "event_sales_status", "ticket_availability")


@dataclass(frozen=True, slots=True)
class Row:
    """One event as the service's index sees it."""

    organizer: str
    venue: str | None
    local: datetime
    fields: Any
    reason: str | None = None
    """The reason code that the platform must give it; None for a good record."""
    key: str = ""
    series: str | None = None


class FakeEventbrite(FakeService):
    """`count` events of three organizers over `days` local days from `start`, one of them watched by its id only.

    `series` more occurrences belong to series of six, of which the organizer's list gives the parent only.
    """

    name: ClassVar[str] = "eventbrite"

    def __init__(
        self,
        *,
        count: int = 300,
        start: date | str = date(2026, 11, 16),
        days: int = 30,
        malformed: int = 0,
        series: int = 0,
        private: int = 0,
        expansions_fail: float = 0.0,
        broken_expansion: str | None = None,
        forgets_once: bool = False,
        endless: bool = False,
        object_count: bool = True,
        refuse: dict[str, int] | None = None,
        names_wait: bool = True,
        seed: int = 7,
        faults: FaultPlan | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        super().__init__(faults=faults, clock=clock)
        self.start_day = date.fromisoformat(start) if isinstance(start, str) else start
        self.days = days
        self.count = count
        self.malformed = malformed
        self.series = series
        self.private = private
        self.expansions_fail = expansions_fail
        self.broken_expansion = broken_expansion
        self.forgets_once = forgets_once
        self.endless = endless
        self.object_count = object_count
        self.refuse = refuse or {}
        self.names_wait = names_wait
        self.seed = seed
        self._made: dict[int, list[Row]] = {}

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v3"

    def environment(self) -> dict[str, str]:
        return {
            "EVENTBRITE_BASE_URL": self.base_url,
            "EVENTBRITE_TOKEN": TOKEN,
            "EVENTBRITE_ORGANIZER_IDS": ",".join(ORGANIZERS),
            "EVENTBRITE_VENUE_IDS": " ".join(VENUES),
            "EVENTBRITE_EVENT_IDS": f"https://www.eventbrite.ca/e/billets-spectacle-{ALONE}?aff=oddtdtcreator",
            "INGESTION_ALLOW_PRIVATE_ADDRESSES": "true",
        }

    def truth(self, pass_number: int) -> Truth:
        good = self.count + self.series
        if pass_number == 1:
            return Truth(created=good, errors=self.malformed)
        changed = sum(1 for number in range(good) if _changes(number))
        return Truth(created=self.added, updated=changed, skipped=good - changed, errors=self.malformed)

    @property
    def added(self) -> int:
        """How many events pass 2 adds."""
        return max(1, self.count // 50)

    def reasons(self) -> Counter[str]:
        """The reason codes that the malformed records must be given."""
        return Counter(row.reason for row in self.rows() if row.reason is not None)

    def rows(self) -> list[Row]:
        """All events of the current pass, by start."""
        if self.current_pass not in self._made:
            self._made[self.current_pass] = sorted(self._make(self.current_pass), key=lambda row: row.local)
        return self._made[self.current_pass]

    # What the service says.

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(401, "NO_AUTH", "An OAuth token is required for all requests.")
        match = re.fullmatch(r"/v3/(\w+)/(\w+)/(?:(\w+)/)?", request.path)
        if match is None:
            return _error(404, "NOT_FOUND", "The path you requested does not exist.")
        kind, key, what = match.groups()
        if key in self.refuse:
            codes = {401: "NO_AUTH", 403: "NOT_AUTHORIZED", 404: "NOT_FOUND", 400: "ARGUMENTS_ERROR"}
            return _error(self.refuse[key], codes[self.refuse[key]], "Not for you.")
        wanted = request.query.get("expand", "").split(",")
        if self.broken_expansion in wanted or (wanted != [""] and self._random.random() < self.expansions_fail):
            return _error(500, "EXPANSION_FAILED", "An expansion failed.")
        if kind == "events":
            return self._single(key, what, request)
        rows = self._list(kind, key, request.query)
        if rows is None or what != "events":
            return _error(404, "NOT_FOUND", "The object you requested does not exist.")
        return self._listing(rows, request)

    def _single(self, key: str, what: str | None, request: Request) -> Answer:
        row = next((row for row in self.rows() if row.key == key), None)
        if row is None:
            return _error(404, "NOT_FOUND", "The event you requested does not exist.")
        if what == "description":
            return json_answer(
                {"description": f"<div><p>Tout sur <strong>{key}</strong>.</p><p>Bienvenue&nbsp;!</p></div>"}
            )
        return json_answer(self._shown(row, request.query))

    def _list(self, kind: str, key: str, query: dict[str, str]) -> list[Row] | None:
        rows = self.rows()
        if kind == "organizers" and key in ORGANIZERS:
            found = [row for row in rows if row.organizer == key and (row.series is None or row.key == row.series)]
        elif kind == "venues" and key in VENUES:
            found = [row for row in rows if row.venue == key and row.series is None]
        elif kind == "organizations" and key == ORGANIZATION:
            found = [
                row for row in rows if row.organizer in ORGANIZERS and (row.series is None or row.key == row.series)
            ]
        elif kind == "series":
            found = [row for row in rows if row.series == key and row.key != key]
        else:
            return None
        if kind != "organizations":
            begin = datetime.fromisoformat(query.get("start_date.range_start", "1970-01-01T00:00:00"))
            end = datetime.fromisoformat(query.get("start_date.range_end", "2999-01-01T00:00:00"))
            found = [row for row in found if begin <= row.local <= end]
        return found

    def _listing(self, rows: list[Row], request: Request) -> Answer:
        size = int(request.query.get("page_size", "50"))
        number = 1
        if "continuation" in request.query:
            if self.forgets_once:
                self.forgets_once = False
                return _error(400, "BAD_CONTINUATION_TOKEN", "The continuation token is not valid.")
            number = json.loads(base64.b64decode(request.query["continuation"]))["page"]
        shown = rows[(number - 1) * size : number * size]
        more = number * size < len(rows)
        pagination: dict[str, Any] = {"page_number": number, "page_size": size, "has_more_items": more or self.endless}
        if more or self.endless:
            following = number + 1 if more else number
            pagination["continuation"] = base64.b64encode(json.dumps({"page": following}).encode()).decode()
        if self.object_count:
            pagination |= {"object_count": len(rows), "page_count": -(-len(rows) // size)}
        events = [self._shown(row, request.query) for row in shown]
        body = {"pagination": pagination, "events": events}
        return json_answer(_reordered(body) if self.current_pass > 1 else body)

    def _shown(self, row: Row, query: dict[str, str]) -> Any:
        if not isinstance(row.fields, dict):
            return row.fields
        wanted = query.get("expand", "").split(",")
        return {name: value for name, value in row.fields.items() if name not in _EXPANDED or name in wanted}

    def rate_limited(self, request: Request) -> Answer:
        answer = super().rate_limited(request)
        said = {
            "error": "HIT_RATE_LIMIT",
            "error_description": "Your token has reached its rate limit.",
            "status_code": 429,
        }
        headers = answer.headers if self.names_wait else {}
        return Answer(status=429, body=json.dumps(said).encode(), headers=headers, not_before=answer.not_before)

    # The records.

    def _make(self, pass_number: int) -> list[Row]:
        chooser = random.Random(self.seed)
        rows = []
        total = self.count + (self.added if pass_number > 1 else 0)
        for number in range(total):
            day = self.start_day + timedelta(days=chooser.randrange(self.days))
            local = datetime.combine(day, time(chooser.choice((9, 13, 18, 19, 20)), 30))
            name = int(ALONE) if number == 0 else 700_000_000 + number
            organizer = "17999" if number == 0 else ORGANIZERS[number % 3]
            rows.append(self._row(name, organizer, local, pass_number, changed=_changes(number)))
        for number in range(self.malformed):
            day = self.start_day + timedelta(days=chooser.randrange(self.days))
            row = self._row(
                800_000_000 + number, ORGANIZERS[number % 3], datetime.combine(day, time(20)), 1, changed=False
            )
            fields, reason = _broken(row.fields, number)
            rows.append(Row(row.organizer, None, row.local, fields, reason, key=row.key))
        for number in range(self.private):
            local = datetime.combine(self.start_day, time(10))
            row = self._row(810_000_000 + number, ORGANIZERS[0], local, pass_number, changed=False)
            hidden = ({"listed": False}, {"invite_only": True}, {"status": "draft"})[number % 3]
            rows.append(Row(row.organizer, row.venue, row.local, row.fields | hidden, key=row.key))
        for begin in range(0, self.series, 6):
            rows += self._series(begin, min(6, self.series - begin), pass_number)
        return rows

    def _series(self, begin: int, size: int, pass_number: int) -> list[Row]:
        parent = str(500_000_000 + begin)
        rows = []
        for number in range(size):
            day = self.start_day + timedelta(days=(begin + number) % self.days)
            local = datetime.combine(day, time(11))
            changed = _changes(self.count + begin + number)
            row = self._row(600_000_001 + begin + number, ORGANIZERS[1], local, pass_number, changed=changed)
            fields = row.fields | {"series_id": parent, "is_series": True, "is_series_parent": False}
            rows.append(Row(row.organizer, None, row.local, fields, key=row.key, series=parent))
        fields = rows[0].fields | {"id": parent, "series_id": None, "is_series": True, "is_series_parent": True}
        fields["end"] = rows[-1].fields["end"]
        return [*rows, Row(ORGANIZERS[1], None, rows[0].local, fields, key=parent, series=parent)]

    def _row(self, name: int, organizer: str, local: datetime, pass_number: int, *, changed: bool) -> Row:
        end = local + timedelta(hours=2)
        venue = None if str(name) == ALONE else (*VENUES, None)[name % 3]
        altered = changed and pass_number > 1
        price = {"currency": "CAD", "value": 2550, "major_value": "25.50", "display": "25,50 $CA"}
        fields: dict[str, Any] = {
            "name": {
                "text": f"Atelier & soirée {name}{' – reporté' if altered else ''}",
                "html": "Atelier &amp; soirée",
            },
            "description": {"text": "Un résumé.", "html": "Un résumé."},
            "summary": "Un résumé.",
            "url": f"https://www.eventbrite.ca/e/billets-atelier-{name}",
            "start": _datetime_tz(local),
            "end": _datetime_tz(end),
            "organization_id": ORGANIZATION,
            "created": "2026-01-02T15:00:00Z",
            "changed": f"2026-03-0{pass_number}T10:00:00Z",
            "published": "2026-01-03T15:00:00Z",
            "capacity": 100 - pass_number,
            "status": "completed" if name % 40 == 1 else "live",
            "currency": "CAD",
            "listed": True,
            "shareable": True,
            "invite_only": False,
            "online_event": venue is None and name % 2 == 0,
            "hide_start_date": False,
            "hide_end_date": name % 11 == 0,
            "locale": "fr_CA",
            "is_series": False,
            "is_series_parent": False,
            "series_id": None,
            "is_free": name % 5 == 0,
            "logo_id": str(name),
            "organizer_id": organizer,
            "venue_id": venue,
            "category_id": "103",
            "id": str(name),
            "resource_uri": f"https://www.eventbriteapi.com/v3/events/{name}/",
            "logo": {
                "id": str(name),
                "url": f"https://img.example.net/{name}?w={pass_number}00&s=0f0f",
                "original": {
                    "url": f"https://img.example.net/{name}.jpg?s={pass_number}",
                    "width": 2160,
                    "height": 1080,
                },
            },
            "organizer": {"id": organizer, "name": f"Organisme {organizer}", "num_past_events": pass_number},
            "venue": venue and _venue(venue),
            "category": {"id": "103", "name": "Music"},
            "subcategory": None,
            "format": {"id": "9", "name": "Class, Training, or Workshop"},
            "event_sales_status": {
                "sales_status": "on_sale" if pass_number == 1 else "sold_out",
                "message_code": "event_cancelled" if name % 40 == 1 else "tickets_available",
            },
            "ticket_availability": {
                "has_available_tickets": pass_number == 1,
                "is_sold_out": pass_number > 1,
                "minimum_ticket_price": price,
                "maximum_ticket_price": price | {"value": 4000, "major_value": "40.00"},
            },
        }
        return Row(organizer, venue, local, fields, key=str(name))


def _venue(key: str) -> dict[str, Any]:
    return {
        "id": key,
        "name": f"Maison {key}",
        "latitude": "45.5017",
        "longitude": "-73.5673",
        "address": {
            "address_1": "100 rue Sainte-Catherine",
            "address_2": None,
            "city": "Montréal",
            "region": "QC",
            "postal_code": "H2X 1K4",
            "country": "CA",
            "localized_address_display": "100 rue Sainte-Catherine, Montréal, QC H2X 1K4",
        },
    }


def _datetime_tz(local: datetime) -> dict[str, str]:
    instant = local.replace(tzinfo=ZONE).astimezone(UTC)
    return {
        "timezone": "America/Toronto",
        "local": local.strftime("%Y-%m-%dT%H:%M:%S"),
        "utc": instant.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _changes(number: int) -> bool:
    return number % 10 == 3


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in reversed(value)}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


def _broken(fields: dict[str, Any], number: int) -> tuple[Any, str]:
    """One of ten ways to be no event, and the reason code it deserves."""
    ways: list[tuple[Any, str]] = [
        (None, "not_an_object"),
        ([fields["id"]], "not_an_object"),
        (fields | {"id": None}, "missing_id"),
        (fields | {"name": {"text": None, "html": None}}, "missing_title"),
        (fields | {"start": None}, "missing_start"),
        (fields | {"start": {"timezone": "America/Toronto", "local": "hier", "utc": None}}, "invalid_start"),
        (fields | {"start": "2026-03-04"}, "missing_start"),
        (fields | {"start": {"local": 20260304}}, "invalid_start"),
        (fields | {"id": True}, "missing_id"),
        (fields | {"name": 12.5e300 * 1e10}, "missing_title"),
    ]
    return ways[number % len(ways)]


def _error(status: int, code: str, description: str) -> Answer:
    return json_answer({"error": code, "error_description": description, "status_code": status}, status=status)
