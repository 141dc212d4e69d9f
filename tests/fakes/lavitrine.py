"""A fake of La Vitrine's REST API, made by us from its public documentation (v1, 2024).

Stubs as a bare array without a total, details one by one, ids that several kinds share, series whose `subEvent`s are
listed as events too, naive dates, and the limit announced by `X-RateLimit-*` headers with a reset in epoch seconds and
no Retry-After.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from tests.fakes._server import Answer, FakeService, FaultPlan, Request, Truth, VirtualClock, json_answer

KEY = "lavitrine-canary-key"
FIRST_DAY = date(2026, 11, 16)
KINDS = {"Event": "events", "EventSeries": "eventSeries", "ExhibitionEvent": "exhibitionEvents"}
_FIRST_PARENT = 990_000


def detail(kind: str, number: int, *, days: int = 84) -> dict[str, Any]:
    """A good record; `identifier` is the number, whatever the kind: ids are unique inside a kind only."""
    draw = random.Random(f"{kind}{number}")
    start = datetime.combine(FIRST_DAY, datetime.min.time()) + timedelta(days=draw.randrange(days), hours=20)
    record: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": kind,
        "identifier": number,
        "name": f"Spectacle {kind} {number}",
        "description": f"<p>Un spectacle d&rsquo;hiver, numéro {number}.</p>",
        "startDate": start.isoformat(),
        "endDate": (start + timedelta(hours=2)).isoformat(),
        "eventStatus": draw.choice(("EventScheduled", "https://schema.org/EventScheduled", "EventCancelled")),
        "eventAttendanceMode": "OfflineEventAttendanceMode",
        "inLanguage": "fr",
        "image": f"https://images.example/{kind}/{number}.jpg",
        "location": {
            "@type": "Place",
            "identifier": number % 50 if number % 2 else f"lieu-{number % 50}",
            "name": f"Théâtre {number % 50}",
            "address": {
                "@type": "PostalAddress",
                "streetAddress": f"{number}, rue Sainte-Catherine",
                "addressLocality": "Montréal",
                "addressRegion": "QC",
                "postalCode": "H2X 1K1",
                "addressCountry": "CA",
            },
            "geo": {"latitude": 45.5, "longitude": -73.57},
        },
        "offers": {"@type": "Offer", "priceSpecification": {"price": "35,50", "minPrice": 20, "priceCurrency": "CAD"}},
        "disciplines": [{"code": "UI-D-Comedy", "label": "Humour"}],
        "audience": {"audienceType": "Adultes"},
        "lastModified": 1_790_000_000 + number,
    }
    if kind == "Event" and number % 4 == 0:
        record["superEvent"] = {"@type": "EventSeries", "identifier": _FIRST_PARENT + number // 12}
    if kind == "ExhibitionEvent" and number % 3 == 0:
        record["exhibitionType"] = "Permanent"
        del record["startDate"], record["endDate"]
    return record


def series(number: int, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """A series of the events `parts`, in short. It begins on a day on which nothing happens, as in the documentation."""
    told = ("@type", "identifier", "name", "startDate", "endDate")
    return {
        **detail("EventSeries", number),
        "startDate": f"{FIRST_DAY}T19:00:00",
        "endDate": max(part["endDate"] for part in parts),
        "subEvent": [{key: part[key] for key in told} for part in parts],
    }


BAD_DETAILS: tuple[tuple[str, Any], ...] = (
    ("missing_title", {"name": None}),
    ("missing_start", {"startDate": ""}),
    ("invalid_start", {"startDate": "bientôt"}),
    ("not_an_object", None),
)
"""Damage to details, and the reason code it must be refused with."""


class FakeLaVitrine(FakeService):
    """`events` records over the three kinds and `bad` malformed ones; pass 2 changes a tenth and adds a fiftieth.

    The series of which some of the events are parts come on top of these.
    """

    name: ClassVar[str] = "lavitrine"

    def __init__(
        self,
        *,
        events: int = 120,
        bad: int = 4,
        largest_page: int = 1000,
        per_minute: int | None = None,
        faults: FaultPlan | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        """`largest_page` caps `limit` silently; `per_minute` enforces the limit of requests."""
        super().__init__(faults=faults, clock=clock)
        self.events = events
        self.bad = bad
        self.largest_page = largest_page
        self.per_minute = per_minute
        self.gone: set[str] = set()
        """`kind:number` of records that are still listed and answer 404."""
        self._minute: tuple[int, int] = (0, 0)
        self._cache: dict[int, dict[str, Any]] = {}

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def environment(self) -> dict[str, str]:
        return {"LAVITRINE_BASE_URL": self.base_url, "LAVITRINE_API_KEY": KEY}

    def truth(self, pass_number: int) -> Truth:
        if pass_number == 1:
            return Truth(created=self.events, errors=self.bad)
        changed = self.events // 10
        return Truth(created=self.events // 50, updated=changed, skipped=self.events - changed, errors=self.bad)

    def records(self, pass_number: int) -> dict[str, Any]:
        """Details by `kind:number`."""
        if pass_number in self._cache:
            return self._cache[pass_number]
        count = self.events + (self.events // 50 if pass_number > 1 else 0)
        kinds = tuple(KINDS)
        keys = [(kinds[index % 3], index // 3 + 1) for index in range(count)]
        records: dict[str, Any] = {f"{kind}:{number}": detail(kind, number) for kind, number in keys}
        if pass_number > 1:
            for key in list(records)[: self.events // 10]:
                records[key]["description"] += "<p>Supplémentaire ajoutée.</p>"
            # The time stamp moves and keys come in another order: neither is a change of the event.
            records = {
                key: dict(reversed({**record, "lastModified": 1_795_000_000}.items()))
                for key, record in records.items()
            }
        parts: dict[int, list[dict[str, Any]]] = {}
        for record in records.values():
            if "superEvent" in record:
                parts.setdefault(record["superEvent"]["identifier"], []).append(record)
        records |= {f"EventSeries:{number}": series(number, listed) for number, listed in parts.items()}
        for index in range(self.bad):
            damage = BAD_DETAILS[index % len(BAD_DETAILS)][1]
            good = detail("Event", 900_000 + index)
            records[f"Event:{900_000 + index}"] = None if damage is None else {**good, **damage}
        self._cache = {pass_number: records}
        return records

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return json_answer({"error": "Unauthorized"}, status=401)
        left = self._count_request()
        headers = {"X-RateLimit-Limit": str(self.per_minute or 100), **left}
        if left.get("X-RateLimit-Remaining") == "-1":
            until = float(left["X-RateLimit-Reset"])
            body = json_answer({"error": "Too Many Requests"}).body
            return Answer(status=429, body=body, headers={**headers, "X-RateLimit-Remaining": "0"}, not_before=until)
        records = self.records(self.current_pass)
        head, _, tail = request.path.removeprefix("/v1/").partition("/")
        if head == "searchEvents":
            return json_answer(self._search(request.query, records), headers=headers)
        kind = next((kind for kind, path in KINDS.items() if path == head), None)
        key = f"{kind}:{tail}"
        if key not in records or key in self.gone:
            return json_answer({"error": "Not Found"}, status=404, headers=headers)
        return json_answer(records[key], headers=headers)

    def _search(self, query: dict[str, str], records: dict[str, Any]) -> list[Any]:
        kind = query.get("schema", "Event")
        found = []
        for key, record in records.items():
            of_kind, _, number = key.partition(":")
            if of_kind == kind and _between(record, query):
                found.append({"@type": kind, "identifier": int(number), "lastModified": 1_790_000_000})
        limit = min(int(query.get("limit", "10")), self.largest_page)
        offset = int(query.get("offset", "0"))
        return found[offset : offset + limit]

    def rate_limited(self, request: Request) -> Answer:
        until = int(self.clock.time()) + self._random.randint(2, 20)
        headers = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(until)}
        return Answer(status=429, body=b'{"error":"Too Many Requests"}', headers=headers, not_before=float(until))

    def _count_request(self) -> dict[str, str]:
        if self.per_minute is None:
            return {}
        minute, used = self._minute
        now = int(self.clock.time()) // 60
        self._minute = (now, used + 1 if now == minute else 1)
        return {
            "X-RateLimit-Remaining": str(max(-1, self.per_minute - self._minute[1])),
            "X-RateLimit-Reset": str((now + 1) * 60),
        }


def _between(record: Any, query: dict[str, str]) -> bool:
    """The service's own date filter, by UNIX time; what has no readable date passes."""
    try:
        start = datetime.fromisoformat(record["startDate"]).replace(tzinfo=ZoneInfo("America/Toronto"))
    except (KeyError, TypeError, ValueError):
        return True
    low = datetime.fromtimestamp(int(query.get("startDate", "0")), UTC)
    high = datetime.fromtimestamp(int(query.get("endDate", "4102444800")), UTC)
    return low <= start < high
