"""A fake of the AllEvents API, made by us from what public clients of it agree on.

POST with the parameters in the query string, 100 items a page from page 0, dates as dd-mm-yyyy, epoch seconds, the
geo list without a date filter, and the refusals of Azure API Management.
"""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from tests.fakes._server import Answer, FakeService, FaultPlan, Request, Truth, VirtualClock, json_answer

KEY = "allevents-canary-key"
FIRST_DAY = date(2026, 11, 16)
ZONE = ZoneInfo("America/Toronto")
PAGE = 100


def epoch(day: date, hour: int, minute: int = 0) -> int:
    """Epoch seconds of a wall-clock time in Montréal."""
    return int(datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE).timestamp())


def event_item(number: int, *, days: int = 84) -> dict[str, Any]:
    """A good item, the same for the same `number`, with the flaws that real ones have."""
    draw = random.Random(number)
    day = FIRST_DAY + timedelta(days=draw.randrange(days))
    start = epoch(day, draw.randrange(9, 22))
    end = start + 7200 if number % 13 else start - 3600
    known = number % 12 != 0
    return {
        "event_id": str(80_000_000_000_000 + number),
        "eventname": f"Soirée d&#039;hiver &amp; danse {number}",
        "eventname_raw": f"Soirée d'hiver & danse {number}",
        "description": f"Une soirée numéro {number}.<br>Bienvenue &agrave; tous.",
        "start_time": start if number % 2 else str(start),
        "start_time_display": f"{day:%a %b %d %Y} at 07:30 pm",
        "end_time": end,
        "location": f"Salle {number % 30}",
        "venue": {
            "street": f"{number}, rue Ontario",
            "city": "Montreal",
            "state": "QC",
            "country": "Canada",
            "latitude": str(45.4 + draw.random() / 5) if known else "0",
            "longitude": str(-73.9 + draw.random() / 3) if known else "0",
            "full_address": f"{number}, rue Ontario, Montreal, QC, Canada",
        },
        "thumb_url": f"https://cdn.example/thumbs/{number}.jpg",
        "banner_url": f"https://cdn.example/banners/{number}.jpg",
        "event_url": f"https://allevents.in/montreal/soiree-{number}/{80_000_000_000_000 + number}",
        "share_url": f"https://allevents.in/e/{number}",
        "categories": ["music", "parties"],
        "tags": ["hiver"],
        "tickets": {
            "has_tickets": bool(number % 3),
            "ticket_url": "",
            "ticket_currency": "CAD",
            "min_ticket_price": 10,
            "max_ticket_price": 25,
        },
        "owner": {"name": f"Organisateur {number % 7}"} if number % 3 else None,
        "interested_count": draw.randrange(500),
        "score": draw.random(),
    }


BAD_ITEMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("missing_title", {"eventname": "", "eventname_raw": None}),
    ("missing_id", {"event_id": None, "event_url": "", "share_url": None}),
    ("missing_start", {"start_time": None}),
    ("invalid_start", {"start_time": "soon"}),
)
"""Damage, and the reason code it must be refused with."""


class FakeAllEvents(FakeService):
    """`events` good items and `bad` malformed ones; pass 2 changes a tenth and adds a fiftieth."""

    name: ClassVar[str] = "allevents"

    def __init__(
        self,
        *,
        events: int = 250,
        bad: int = 4,
        geo: bool = False,
        repeats_last_page: bool = False,
        counts_from_1: bool = False,
        counts_all: bool = False,
        days_in: ZoneInfo = ZONE,
        last_day_included: bool = True,
        faults: FaultPlan | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        """`geo`: the environment asks around a point. `repeats_last_page`: pages beyond the end repeat it.

        `counts_from_1`: page 1 is the first, and page 0 is it too. `counts_all`: `count` is the whole list's and not
        the page's. `days_in`, `last_day_included`: how `sdate` and `edate` are meant. None of these is documented.
        """
        super().__init__(faults=faults, clock=clock)
        self.events = events
        self.bad = bad
        self.geo = geo
        self.repeats_last_page = repeats_last_page
        self.counts_from_1 = counts_from_1
        self.counts_all = counts_all
        self.days_in = days_in
        self.last_day_included = last_day_included
        self._cache: dict[int, list[dict[str, Any]]] = {}

    def environment(self) -> dict[str, str]:
        point = {"ALLEVENTS_LATITUDE": "45.5", "ALLEVENTS_LONGITUDE": "-73.57", "ALLEVENTS_RADIUS": "30"}
        return {
            "ALLEVENTS_BASE_URL": self.origin,
            "ALLEVENTS_API_KEY": KEY,
            "ALLEVENTS_CITY": "montreal",
            "ALLEVENTS_STATE": "QC",
            "ALLEVENTS_COUNTRY": "Canada",
            **(point if self.geo else {}),
        }

    def truth(self, pass_number: int) -> Truth:
        if pass_number == 1:
            return Truth(created=self.events, errors=self.bad)
        changed = self.events // 10
        return Truth(created=self.events // 50, updated=changed, skipped=self.events - changed, errors=self.bad)

    def items(self, pass_number: int) -> list[dict[str, Any]]:
        if pass_number not in self._cache:
            count = self.events + (self.events // 50 if pass_number > 1 else 0)
            items = [event_item(number) for number in range(count)]
            if pass_number > 1:
                for item in items[: self.events // 10]:
                    item["location"] += " (nouvelle salle)"
                # Counters move on, and the keys come in another order.
                items = [dict(reversed({**item, "interested_count": 999, "score": 0.5}.items())) for item in items]
            damaged = (
                {**event_item(900_000 + index), **BAD_ITEMS[index % len(BAD_ITEMS)][1]} for index in range(self.bad)
            )
            items.extend(damaged)
            random.Random(pass_number).shuffle(items)
            self._cache = {pass_number: items}
        return self._cache[pass_number]

    def answer(self, request: Request) -> Answer:
        if request.headers.get("ocp-apim-subscription-key") != KEY:
            message = "Access denied due to invalid subscription key. Make sure to provide a valid key."
            return json_answer({"statusCode": 401, "message": message}, status=401)
        if request.method != "POST" or request.path not in ("/events/list/", "/events/geo/"):
            return json_answer({"statusCode": 404, "message": "Resource not found"}, status=404)
        items = self.items(self.current_pass)
        query = request.query
        if request.path == "/events/list/":
            if not query.get("city"):
                return json_answer({"count": 0, "data": []})
            first, last = (datetime.strptime(query[name], "%d-%m-%Y").date() for name in ("sdate", "edate"))  # noqa: DTZ007
            last -= timedelta(days=not self.last_day_included)
            items = [item for item in items if _within(item, first, last, self.days_in)]
        page = int(query.get("page", "0"))
        if self.counts_from_1:
            page = max(page - 1, 0)
        if self.repeats_last_page:
            page = min(page, (len(items) - 1) // PAGE)
        listed = items[page * PAGE : (page + 1) * PAGE]
        return json_answer({"count": len(items if self.counts_all else listed), "data": listed})

    def rate_limited(self, request: Request) -> Answer:
        wait = self._random.randint(1, 5)
        message = f"Rate limit is exceeded. Try again in {wait} seconds."
        headers = {"Retry-After": str(wait)} if self._random.random() < 0.5 else {}
        until = self.clock.time() + wait
        answer = json_answer({"statusCode": 429, "message": message}, status=429, headers=headers)
        return Answer(status=429, body=answer.body, headers=headers, not_before=until)


def _within(item: dict[str, Any], first: date, last: date, zone: ZoneInfo) -> bool:
    try:
        start = datetime.fromtimestamp(int(item["start_time"]), zone).date()
    except (TypeError, ValueError, OverflowError, OSError):
        return True
    return first <= start <= last
