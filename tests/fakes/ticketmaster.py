"""A Ticketmaster Discovery v2 service: paging with its 1,000-item wall, filters, rate headers, faults in its words.

Bodies follow the documentation and public payloads; the records are made by us. `FakeTicketmaster(count=20_000)`
spreads 20,000 events over 30 days so that single days exceed the wall; `same_minute` puts that many into one minute.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import orjson

from tests.fakes._server import Answer, FakeService, FaultPlan, Request, Truth, VirtualClock, json_answer

ZONE = ZoneInfo("America/Toronto")
KEY = "tm-canary-4f1d0c2b9a8e7766"
SEGMENTS = {
    "KZFzniwnSyZfZ7v7nJ": "Music",
    "KZFzniwnSyZfZ7v7nE": "Sports",
    "KZFzniwnSyZfZ7v7na": "Arts & Theatre",
    "KZFzniwnSyZfZ7v7n1": "Miscellaneous",
}
CITIES = ("Montréal", "Québec", "Laval", "Gatineau", "Sherbrooke")
WALL = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """One record as the service's index sees it."""

    epoch: int
    segment: str | None
    venue: str
    undated: str | None
    body: bytes
    reason: str | None = None
    """The reason code that the platform must give it; None for a good record."""
    listed: bool = True


class FakeTicketmaster(FakeService):
    """`count` good events over `days` local days from `start`, `undated` more, `malformed` broken ones among them."""

    name: ClassVar[str] = "ticketmaster"

    def __init__(
        self,
        *,
        count: int = 400,
        start: date | str = date(2026, 11, 16),
        days: int = 30,
        undated: int = 0,
        malformed: int = 0,
        same_minute: int = 0,
        unsegmented: int = 0,
        unlisted: int = 0,
        venues: int = 120,
        requests_per_day: int | None = None,
        seed: int = 7,
        faults: FaultPlan | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        super().__init__(faults=faults, clock=clock)
        self.start_day = date.fromisoformat(start) if isinstance(start, str) else start
        self.days = days
        self.count = count
        self.undated = undated
        self.malformed = malformed
        self.same_minute = same_minute
        self.unsegmented = unsegmented
        self.unlisted = unlisted
        self.venues = [f"KovZ917A{number:04d}" for number in range(venues)]
        self.requests_per_day = requests_per_day
        self.seed = seed
        self._rows: dict[int, list[Row]] = {}
        self._epochs: dict[int, list[int]] = {}

    # What the tests need to know.

    @property
    def base_url(self) -> str:
        return f"{self.origin}/discovery/v2"

    def environment(self) -> dict[str, str]:
        return {
            "TICKETMASTER_BASE_URL": self.base_url,
            "TICKETMASTER_API_KEY": KEY,
            "INGESTION_ALLOW_PRIVATE_ADDRESSES": "true",
        }

    def truth(self, pass_number: int) -> Truth:
        good = self.count + self.undated
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
        """All records of the current pass, by start."""
        if self.current_pass not in self._rows:
            rows = sorted(self._make(self.current_pass), key=lambda row: row.epoch)
            self._rows[self.current_pass] = rows
            self._epochs[self.current_pass] = [row.epoch for row in rows]
        return self._rows[self.current_pass]

    # What the service says.

    def answer(self, request: Request) -> Answer:
        if request.query.get("apikey") != KEY:
            return self._fault(401, "Invalid ApiKey", "oauth.v2.InvalidApiKey")
        if self.requests_per_day is not None and len(self.requests) >= self.requests_per_day:
            reset = int((self.clock.time() // 86_400 + 1) * 86_400)
            return self._quota(reset * 1_000, until=reset)
        resource = request.path.removeprefix("/discovery/v2/").removesuffix(".json")
        if resource not in {"events", "venues", "classifications"}:
            return self._error(404, "DIS1004", "Resource not found with provided criteria")
        try:
            size, number = int(request.query.get("size", "20")), int(request.query.get("page", "0"))
        except ValueError:
            return self._error(400, "DIS1005", "Query param must be a number")
        if size > 200:
            return self._error(400, "DIS1005", 'Query param "size" must be less than 200')
        if size * number >= WALL:
            return self._error(
                400, "DIS1035", "API Limits Exceeded: Max paging depth exceeded. (page * size) must be less than 1,000"
            )
        if resource == "venues":
            return self._listing(
                request, resource, [json.dumps(self._venue(key)).encode() for key in self.venues], None
            )
        if resource == "classifications":
            found = [json.dumps({"segment": {"id": key, "name": name}}).encode() for key, name in SEGMENTS.items()]
            return self._listing(request, resource, [*found, b'{"type":{"id":"KZAyXgnZfZ7v7nI"}}'], None)
        try:
            rows = self._matching(request.query)
        except ValueError as error:
            return self._error(400, "DIS1015", f'Query param "{error}" must be of valid format YYYY-MM-DDTHH:mm:ssZ')
        return self._listing(request, resource, [row.body for row in rows if row.listed], len(rows))

    def _matching(self, query: dict[str, str]) -> list[Row]:
        if query.get("countryCode", "CA") != "CA" or query.get("stateCode", "QC") != "QC":
            return []
        rows = self.rows()
        dated = "startDateTime" in query or "endDateTime" in query
        low, high = 0, len(rows)
        if dated:
            epochs = self._epochs[self.current_pass]
            low = bisect_left(epochs, _instant(query, "startDateTime", 0))
            high = bisect_right(epochs, _instant(query, "endDateTime", 1 << 40))
        found = [
            row
            for row in rows[low:high]
            if ("segmentId" not in query or row.segment == query["segmentId"])
            and ("venueId" not in query or row.venue == query["venueId"])
            and all(_admits(query.get(name, "no" if dated else "yes"), row.undated == name) for name in _UNDATED)
        ]
        order = query.get("sort", "relevance,desc")
        if order == "date,desc":
            found.reverse()
        elif order != "date,asc":
            self._random.shuffle(found)  # relevance is not stable from page to page
        return found

    def _listing(self, request: Request, resource: str, items: list[bytes], total: int | None) -> Answer:
        size, number = int(request.query.get("size", "20")), int(request.query.get("page", "0"))
        total = len(items) if total is None else total
        shown = items[number * size : (number + 1) * size]
        page = {"size": size, "totalElements": total, "totalPages": -(-total // size), "number": number}
        embedded = b'"_embedded":{"%s":[%s]},' % (resource.encode(), b",".join(shown)) if shown else b""
        links = {"self": {"href": f"{request.path}?page={number}&size={size}"}}
        body = b'{%s"_links":%s,"page":%s}' % (embedded, orjson.dumps(links), orjson.dumps(page))
        used = len(self.requests)
        headers = {
            "Rate-Limit": str(self.requests_per_day or 5_000),
            "Rate-Limit-Available": str(max(0, (self.requests_per_day or 5_000) - used)),
            "Rate-Limit-Over": "0",
            "Rate-Limit-Reset": str(int((self.clock.time() // 86_400 + 1) * 86_400_000)),
        }
        return Answer(body=body, content_type="application/json;charset=utf-8", headers=headers)

    def rate_limited(self, request: Request) -> Answer:
        kind = self._random.choice(("spike", "milliseconds", "seconds", "date"))
        if kind == "spike":
            until = self.clock.time() + 1
            answer = self._fault(
                429, "Spike arrest violation. Allowed rate : 5ps", "policies.ratelimit.SpikeArrestViolation"
            )
            return Answer(status=429, body=answer.body, not_before=until)
        moment = int(self.clock.time()) + self._random.randint(2, 20)
        written: int | str = moment
        if kind == "milliseconds":
            written = moment * 1_000
        elif kind == "date":
            written = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._quota(written, until=moment)

    def _quota(self, reset: int | str, *, until: float) -> Answer:
        said = f"Rate limit quota violation. Quota limit  exceeded. Identifier : {KEY}"
        answer = self._fault(429, said, "policies.ratelimit.QuotaViolation")
        return Answer(status=429, body=answer.body, headers={"Rate-Limit-Reset": str(reset)}, not_before=until)

    def _fault(self, status: int, text: str, code: str) -> Answer:
        return json_answer({"fault": {"faultstring": text, "detail": {"errorcode": code}}}, status=status)

    def _error(self, status: int, code: str, detail: str) -> Answer:
        error = {"code": code, "detail": detail, "status": str(status), "_links": {"about": {"href": "/errors.html"}}}
        return json_answer({"errors": [error]}, status=status)

    # The records.

    def _make(self, pass_number: int) -> list[Row]:
        chooser = random.Random(self.seed)
        total = self.count + (self.added if pass_number > 1 else 0)
        moments = self._moments(total)
        rows = [self._row(number, moments[number], pass_number) for number in range(total)]
        for number in range(self.undated):
            kind = _UNDATED[number % 2]
            rows.append(self._row(self.count + number, None, pass_number, undated=kind, key=f"tba{number:06d}"))
        for number in range(self.malformed):
            moment = moments[chooser.randrange(self.count)]
            record = self._record(number, moment, 1, key=f"bad{number:06d}", undated=None)
            body, reason = _broken(record, number)
            venue = self.venues[number % len(self.venues)]
            rows.append(Row(_epoch(moment), None, venue, None, body, reason=reason))
        return rows

    def _moments(self, total: int) -> list[datetime]:
        """Local starts: most in the evening, every seventh day three times as full."""
        chooser = random.Random(self.seed + 1)
        days = [day for day in range(self.days) for _ in range(3 if day % 7 == 5 else 1)]
        crowded = self.start_day + timedelta(days=min(5, self.days - 1))
        moments = []
        for number in range(total):
            day = chooser.choice(days)
            hour = chooser.choice((10, 13, 14, 19, 19, 20, 20, 20, 21, 23))
            at = time(hour, chooser.choice((0, 0, 15, 30, 45)))
            if number < self.same_minute:
                moments.append(datetime.combine(crowded, time(20), ZONE))
            else:
                moments.append(datetime.combine(self.start_day + timedelta(days=day), at, ZONE))
        return moments

    def _row(
        self, number: int, moment: datetime | None, pass_number: int, *, undated: str | None = None, key: str = ""
    ) -> Row:
        record = self._record(number, moment, pass_number, key=key or f"ev{number:08d}", undated=undated)
        segment = record["classifications"][0]["segment"]["id"] if record.get("classifications") else None
        if pass_number > 1:
            record = _reordered(record)
        return Row(
            epoch=_epoch(moment) if moment else 1 << 41,
            segment=segment,
            venue=self.venues[number % len(self.venues)],
            undated=undated,
            body=orjson.dumps(record),
            listed=number >= self.unlisted or undated is not None,
        )

    def _record(
        self, number: int, moment: datetime | None, pass_number: int, *, key: str, undated: str | None
    ) -> dict[str, Any]:
        changed = pass_number > 1 and _changes(number)
        segment = list(SEGMENTS)[0 if number % 2 else number // 2 % len(SEGMENTS)]
        start: dict[str, Any] = {
            "dateTBD": undated == "includeTBD",
            "dateTBA": undated == "includeTBA",
            "timeTBA": False,
            "noSpecificTime": False,
        }
        if moment is not None:
            start |= {
                "localDate": moment.strftime("%Y-%m-%d"),
                "localTime": moment.strftime("%H:%M:%S"),
                "dateTime": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        record: dict[str, Any] = {
            "name": f"Spectacle {number}" + (" (nouvelle salle)" if changed else ""),
            "type": "event",
            "id": key,
            "test": False,
            "url": f"https://www.ticketmaster.ca/spectacle-{number}/event/{number:016X}",
            "locale": "fr-ca" if number % 3 else "en-us",
            "images": [
                {
                    "ratio": "4_3",
                    "url": f"https://s1.example.net/{number}_4_3.jpg",
                    "width": 305,
                    "height": 225,
                    "fallback": False,
                },
                {
                    "ratio": "16_9",
                    "url": f"https://s1.example.net/{number}_16_9.jpg",
                    "width": 2048,
                    "height": 1152,
                    "fallback": False,
                },
                {
                    "ratio": "16_9",
                    "url": "https://s1.example.net/stock.jpg",
                    "width": 4096,
                    "height": 2304,
                    "fallback": True,
                },
            ],
            "sales": {
                "public": {
                    "startDateTime": "2026-01-05T15:00:00Z",
                    "startTBD": False,
                    "endDateTime": "2026-12-31T22:00:00Z",
                }
            },
            "dates": {
                "start": start,
                "timezone": "America/Toronto",
                "status": {"code": "onsale"},
                "spanMultipleDays": False,
            },
            "classifications": [
                {
                    "primary": True,
                    "segment": {"id": segment, "name": SEGMENTS[segment]},
                    "genre": {"id": "KnvZfZ7vAvF", "name": "Rock"},
                    "subGenre": {"id": "KZazBEonSMnZfZ7v6F1", "name": "Undefined"},
                    "family": False,
                }
            ],
            "promoter": {"id": "653", "name": "evenko", "description": "EVENKO / NTL / CAN"},
            "info": "Portes : 19 h. Les billets sont limités à huit par personne. " * 3,
            "pleaseNote": "Ce spectacle est présenté en français.",
            "priceRanges": [{"type": "standard", "currency": "CAD", "min": 35.5, "max": 120.0}],
            "ticketLimit": {"info": "Il y a une limite de 8 billets."},
            "_links": {"self": {"href": f"/discovery/v2/events/{key}?locale=*&v={pass_number}"}},
            "_embedded": {
                "venues": [self._venue(self.venues[number % len(self.venues)], moving=number * pass_number)],
                "attractions": [
                    {
                        "name": f"Artiste {number % 700}",
                        "type": "attraction",
                        "id": f"K8vZ9171{number % 700:04d}",
                        "upcomingEvents": {"_total": number % 50 + pass_number, "ticketmaster": number % 50},
                        "_links": {"self": {"href": f"/discovery/v2/attractions/K8vZ9171{number % 700:04d}?locale=*"}},
                    }
                ],
            },
        }
        if number < self.unsegmented:
            del record["classifications"]
        return record

    def _venue(self, key: str, *, moving: int = 0) -> dict[str, Any]:
        number = int(key[-4:])
        return {
            "name": f"Salle {number}",
            "type": "venue",
            "id": key,
            "test": False,
            "locale": "en-us",
            "postalCode": "H3B 5E8",
            "timezone": "America/Montreal",
            "city": {"name": CITIES[number % len(CITIES)]},
            "state": {"name": "Quebec", "stateCode": "QC"},
            "country": {"name": "Canada", "countryCode": "CA"},
            "address": {"line1": f"{100 + number}, avenue des Canadiens"},
            "location": {"longitude": f"-73.{5000 + number}", "latitude": f"45.{4000 + number}"},
            "upcomingEvents": {"_total": 40 + moving % 9, "ticketmaster": 40},
            "_links": {"self": {"href": f"/discovery/v2/venues/{key}?locale=en-us"}},
        }


_UNDATED = ("includeTBA", "includeTBD")


def _changes(number: int) -> bool:
    return number % 10 == 3


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())


def _instant(query: dict[str, str], name: str, default: int) -> int:
    if name not in query:
        return default
    try:
        moment = datetime.strptime(query[name] + "+0000", "%Y-%m-%dT%H:%M:%SZ%z")
    except ValueError:
        raise ValueError(name) from None
    return int(moment.timestamp())


def _admits(wanted: str, is_undated: bool) -> bool:
    return {"yes": True, "no": not is_undated, "only": is_undated}[wanted]


def _reordered(value: Any) -> Any:
    """The same JSON value, keys the other way round."""
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in reversed(value)}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


def _broken(record: dict[str, Any], number: int) -> tuple[bytes, str]:
    """One of ten ways to be no event, and the reason code it deserves."""
    start = record["dates"]["start"]
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    nameless = {name: value for name, value in record.items() if name != "id"}
    ways: list[tuple[Any, str]] = [
        (None, "not_an_object"),
        (f"événement {number}", "not_an_object"),
        (nameless, "missing_id"),
        (record | {"name": " \u200b "}, "missing_title"),
        (record | {"dates": {}}, "missing_start"),
        (record | {"dates": {"start": start | {"localDate": "2026-13-45"}}}, "invalid_start"),
        (record | {"dates": ["2026-03-04"]}, "missing_start"),
        (record | {"deep": deep}, "too_deep"),
        (record | {"id": {"value": record["id"]}}, "missing_id"),
        (record | {"dates": {"start": start | {"localTime": "25:99:00"}}}, "invalid_start"),
    ]
    value, reason = ways[number % len(ways)]
    return json.dumps(value, ensure_ascii=False).encode(), reason
