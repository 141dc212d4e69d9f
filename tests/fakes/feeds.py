"""Feeds on disk for whole runs: a CSV file of the city's columns and a calendar, in any weeks, with chosen overlaps.

For tests that ask what runs and kills do to records, not how a source reads them: that is what the fakes of services are
for. The same number is the same event in both feeds, so that deduplication has something to find.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.fakes.ckan import COLUMNS

ZONE = "America/Toronto"
_VENUES = (
    ("Bibliothèque de Rosemont", "3131, boulevard Rosemont", "45.552", "-73.576"),
    ("Maison de la culture Claude-Léveillée", "911, rue Jean-Talon Est", "45.542", "-73.6141"),
    ("Quai 5160", "5160, boulevard LaSalle", "45.456", "-73.564"),
    ("Maison Antoine-Beaudet", "14678, rue Notre-Dame Est", "45.6703", "-73.4932"),
    ("Chalet du parc Jarry", "7920, boulevard Saint-Laurent", "45.5358", "-73.6265"),
)
"""Five: on one day at one place there is only one event, as long as there are fewer than five a day."""
_SUBJECTS = ("poterie", "violon", "astronomie", "échecs", "tricot", "jazz", "conte", "photographie", "danse", "chorale")


def this_week(zone: str = ZONE) -> date:
    """The Monday of the running week: what lies after it can be withdrawn, whenever the tests run."""
    today = datetime.now(ZoneInfo(zone)).date()
    return today - timedelta(days=today.weekday())


def title(number: int) -> str:
    """A title of its own for every number."""
    return f"Atelier de {_SUBJECTS[number % len(_SUBJECTS)]} {_word(number)}"


def _word(number: int) -> str:
    """A pronounceable name: numbers alone would make titles that differ by a digit, which is what series look like."""
    syllables = ("ba", "ke", "li", "mo", "nu", "pa", "re", "si", "to", "vu")
    return "".join(syllables[int(digit)] for digit in f"{number:04d}").capitalize()


@dataclass
class Feed:
    """Events `numbers`, spread over `weeks` weeks from `first`; `days` moves single ones, `texts` changes them."""

    path: Path
    first: date
    weeks: int = 3
    numbers: Iterable[int] = ()
    days: dict[int, date] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    @property
    def last(self) -> date:
        """The last week, by its Monday."""
        return self.first + timedelta(weeks=self.weeks - 1)

    def day(self, number: int) -> date:
        return self.days.get(number, self.first + timedelta(days=number % (7 * self.weeks)))

    def text(self, number: int) -> str:
        return self.texts.get(number, f"On apprend ensemble, du premier geste au dernier. Séance {_word(number)}.")


class CsvFeed(Feed):
    """`open_data_montreal` by its CSV file."""

    def write(self) -> Mapping[str, str]:
        """Write the file; the variables that point the source at it."""
        with self.path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            writer.writerows(self._row(number) for number in self.numbers)
        return {"OPEN_DATA_MONTREAL_CSV": str(self.path)}

    def _row(self, number: int) -> list[str]:
        day = self.day(number).isoformat()
        venue, address, lat, lon = _VENUES[number % len(_VENUES)]
        url = f"https://montreal.ca/evenements/atelier-{number}-{100_000 + number}"
        return [
            *(title(number), url, self.text(number), day, day, "Art et artisanat", "Adultes", "En salle"),
            *("Entrée libre", "Gratuit", "Verdun", venue, address, "H2X 1K1", lat, lon),
        ]


class CalendarFeed(Feed):
    """`ics` by a file."""

    def write(self) -> Mapping[str, str]:
        """Write the file; the variables that point the source at it."""
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//ingestion tests//FR"]
        for number in self.numbers:
            lines += self._event(number)
        self.path.write_text("\r\n".join([*lines, "END:VCALENDAR", ""]), encoding="utf-8", newline="")
        return {"ICS_FEEDS": f"tests={self.path}"}

    def _event(self, number: int) -> list[str]:
        day = f"{self.day(number):%Y%m%d}"
        venue, address, *_ = _VENUES[number % len(_VENUES)]
        place = f"{venue}, {address}, Montréal".replace(",", "\\,")
        return [
            "BEGIN:VEVENT",
            f"UID:atelier-{number}@example.org",
            "DTSTAMP:20260101T000000Z",
            f"DTSTART;VALUE=DATE:{day}",
            f"SUMMARY:{title(number)}",
            f"DESCRIPTION:{self.text(number)}".replace(",", "\\,"),
            f"LOCATION:{place}",
            f"URL:https://montreal.ca/evenements/atelier-{number}-{100_000 + number}",
            "END:VEVENT",
        ]
