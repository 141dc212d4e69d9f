"""A fake host of calendars: files with ETag and Last-Modified, moved ones, and ones that are no calendar.

Made from RFC 5545 and from what public feeds look like. `/agenda.ics` is generated and has a second pass with known
truth; further files are given by the test.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from typing import ClassVar

from tests.fakes._server import Answer, FakeService, FaultPlan, Request, Truth, VirtualClock

FIRST_DAY = date(2026, 11, 16)
WEEKS = 10
"""Occurrences of each generated series, one a week from `FIRST_DAY` on."""

BAD_EVENTS: tuple[tuple[str, str], ...] = (
    ("missing_start", "SUMMARY:Un jour, peut-être"),
    ("invalid_start", "SUMMARY:Le 30 février\nDTSTART:20270230T190000"),
    ("missing_title", "DTSTART:20261220T190000"),
    ("invalid_start", "SUMMARY:Bientôt\nDTSTART:à venir"),
)
"""Lines of malformed VEVENTs, and the reason code each must be refused with."""

ZONES = ("America/Toronto", "Eastern Standard Time", "(UTC-05:00) Eastern Time (US & Canada)", "America/Montreal")


def vcalendar(*events: str, head: str = "") -> str:
    """A calendar around `events`, each the lines between BEGIN:VEVENT and END:VEVENT."""
    body = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    head = f"{head.strip()}\n" if head.strip() else ""
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Essai//FR\n{head}{body}END:VCALENDAR\n".replace("\n", "\r\n")


class FakeIcs(FakeService):
    """Serves `/agenda.ics` with `events` single events, `series` weekly ones and `bad` malformed ones.

    Pass 2 changes a tenth of the single events and adds a fiftieth; it also stamps every event anew and writes the
    properties in another order, which is no change.
    """

    name: ClassVar[str] = "ics"

    def __init__(
        self,
        *,
        events: int = 200,
        series: int = 5,
        bad: int = 4,
        files: dict[str, bytes] | None = None,
        charset: str = "utf-8",
        faults: FaultPlan | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        """`files` are further bodies by path; `charset` is what the Content-Type says of all of them."""
        super().__init__(faults=faults, clock=clock)
        self.events = events
        self.series = series
        self.bad = bad
        self.files = files or {}
        self.charset = charset

    def environment(self) -> dict[str, str]:
        return {"ICS_FEEDS": f"agenda={self.origin}/agenda.ics"}

    def truth(self, pass_number: int) -> Truth:
        recurring = self.series * WEEKS
        if pass_number == 1:
            return Truth(created=self.events + recurring, errors=self.bad)
        changed = self.events // 10
        return Truth(
            created=self.events // 50, updated=changed, skipped=self.events - changed + recurring, errors=self.bad
        )

    def agenda(self, pass_number: int) -> bytes:
        """The generated calendar."""
        count = self.events + (self.events // 50 if pass_number > 1 else 0)
        events = [self._single(number, pass_number) for number in range(count)]
        events += [self._weekly(number) for number in range(self.series)]
        events += [f"UID:bad-{number}\n{BAD_EVENTS[number % len(BAD_EVENTS)][1]}" for number in range(self.bad)]
        stamped = [f"DTSTAMP:202611{10 + pass_number}T120000Z\nSEQUENCE:{pass_number}\n{event}" for event in events]
        if pass_number > 1:
            stamped = ["\n".join(reversed(event.split("\n"))) for event in stamped]
        return vcalendar(*stamped).encode()

    def _single(self, number: int, pass_number: int) -> str:
        day = FIRST_DAY + timedelta(days=number % 100)
        zone = ZONES[number % len(ZONES)]
        zone = f'"{zone}"' if ":" in zone else zone
        changed = pass_number > 1 and number < self.events // 10
        note = " (complet)" if changed else ""
        return (
            f"UID:single-{number}@agenda.example\n"
            f"DTSTART;TZID={zone}:{day:%Y%m%d}T193000\n"
            f"DTEND;TZID={zone}:{day:%Y%m%d}T213000\n"
            f"SUMMARY:Soirée n° {number}{note}\n"
            f"LOCATION:Salle {number % 30}\\, {number} rue Principale\\, Montréal\\, QC\n"
            "DESCRIPTION:Théâtre\\, musique et café."
        )

    def _weekly(self, number: int) -> str:
        day = FIRST_DAY + timedelta(days=number % 5)
        return (
            f"UID:weekly-{number}@agenda.example\nSUMMARY:Atelier hebdomadaire {number}\n"
            f"DTSTART;TZID=America/Toronto:{day:%Y%m%d}T180000\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;COUNT={WEEKS}"
        )

    def answer(self, request: Request) -> Answer:
        path = request.path
        if path.startswith("/moved/"):
            return Answer(status=302, headers={"Location": "/" + path.removeprefix("/moved/")})
        if path.startswith("/status/"):
            return Answer(status=int(path.rpartition("/")[2]), body=b"no", content_type="text/plain")
        body = self.agenda(self.current_pass) if path == "/agenda.ics" else self.files.get(path)
        if body is None:
            return Answer(status=404, body=b"not found", content_type="text/plain")
        return self._with_validators(request, body)

    def _with_validators(self, request: Request, body: bytes) -> Answer:
        etag = f'"{sha256(body).hexdigest()[:16]}"'
        changed = datetime(2026, 11, 10, tzinfo=UTC) + timedelta(days=self.current_pass)
        headers = {"ETag": etag, "Last-Modified": format_datetime(changed, usegmt=True)}
        if request.headers.get("if-none-match") == etag:
            return Answer(status=304, headers=headers)
        return Answer(body=body, content_type=f"text/calendar; charset={self.charset}", headers=headers)
