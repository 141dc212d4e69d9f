"""The IANA zone that a calendar's own VTIMEZONE describes, for TZIDs that mean nothing to anybody else.

Belongs here: reading STANDARD and DAYLIGHT (RFC 5545 §3.6.5) and comparing them with the known zones in one year. An
event is stored with an IANA name, so a definition is only used to find one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from ingestion_assets.events.sources.ics.components import Property, parse_line
from ingestion_assets.events.sources.zones import canonical_zone, zones_in_use

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})(?::?\d{2})?")
_DAY = re.compile(r"([+-]?\d)?(MO|TU|WE|TH|FR|SA|SU)")
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_NOON = timedelta(hours=12)


_MODERN = 2020
"""Rules that have not changed since are compared in this year: the oldest that all zones of the data are right in."""

_Sample = tuple[datetime, timedelta]
"""A wall-clock time and the UTC offset that clocks should have then."""


@dataclass(frozen=True, slots=True)
class _Observance:
    """A STANDARD or DAYLIGHT part: clocks change from one offset to another at `onset`, and again by `rule`."""

    onset: datetime
    """Midnight of the first day, naive."""
    before: timedelta
    after: timedelta
    rule: str | None

    def change_near(self, year: int) -> datetime | None:
        """Midnight of the day of the change in `year`; without a rule, of the one change, if that was about then."""
        if self.rule is not None:
            return _yearly(self.rule, self.onset, year)
        # Some programs write only the changes around their events, each as a date of its own.
        return self.onset if self.onset.year >= year - 1 else None


def equivalent_zone(lines: list[str], *, preferred: str) -> str | None:
    """A zone whose clocks do what the VTIMEZONE says, `preferred` if it is one of them; None without one.

    They are compared in the year of the newest observance, so the answer does not depend on when somebody asks.
    """
    return _equivalent(tuple(lines), preferred)


@lru_cache(maxsize=256)
def _equivalent(lines: tuple[str, ...], preferred: str) -> str | None:
    observances: list[_Observance] = []
    properties: dict[str, Property] = {}
    for line in lines:
        prop = parse_line(line)
        if prop is None:
            continue
        if prop.name == "X-LIC-LOCATION" and (zone := canonical_zone(prop.value)) is not None:
            return zone
        if prop.name == "BEGIN":
            properties = {}
        elif prop.name == "END":
            if (observance := _observance(properties)) is not None:
                observances.append(observance)
        else:
            properties[prop.name] = prop
    if not observances:
        return None
    latest = max(observances, key=lambda observance: observance.onset)
    year = max(latest.onset.year, _MODERN)
    samples: list[_Sample] = []
    for observance in observances:
        day = observance.change_near(year)
        if day is not None and observance.before != observance.after:
            samples += [(day - _NOON, observance.before), (day + 3 * _NOON, observance.after)]
    # Clocks that never change have the offset that was set last.
    return _matching(samples or [(datetime(year, month, 15), latest.after) for month in (1, 4, 7, 10)], preferred)  # noqa: DTZ001


def _matching(wanted: list[_Sample], preferred: str) -> str | None:
    if _agrees(preferred, wanted):
        return preferred
    offsets = {offset for _, offset in wanted}
    if len(offsets) == 1:
        hours = offsets.pop() / timedelta(hours=1)
        return canonical_zone(f"UTC{hours:+03.0f}:00") if hours == int(hours) else _first(wanted)
    return _first(wanted)


def _first(wanted: list[_Sample]) -> str | None:
    return next((zone for zone in zones_in_use() if _agrees(zone, wanted)), None)


def _agrees(zone: str, wanted: list[_Sample]) -> bool:
    info = ZoneInfo(zone)
    return all(local.replace(tzinfo=info).utcoffset() == offset for local, offset in wanted)


def _observance(properties: dict[str, Property]) -> _Observance | None:
    try:
        onset = datetime.strptime(properties["DTSTART"].value.strip()[:8], "%Y%m%d")  # noqa: DTZ007 - wall clock
        before, after = _span(properties["TZOFFSETFROM"].value), _span(properties["TZOFFSETTO"].value)
    except (KeyError, ValueError):
        return None
    rule = properties.get("RRULE")
    # Dates that zones cannot be asked about: the first and last year of all.
    if not 1 < onset.year < 9999:
        return None
    return _Observance(onset, before, after, None if rule is None else rule.value.upper())


def _yearly(rule: str, onset: datetime, year: int) -> datetime | None:
    parts = dict(part.split("=", 1) for part in rule.split(";") if "=" in part)
    if parts.get("FREQ") != "YEARLY" or (
        parts.get("UNTIL", "9999")[:4].isdigit() and int(parts.get("UNTIL", "9999")[:4]) < year
    ):
        return None
    try:
        month = int(parts.get("BYMONTH", onset.month))
        weekday = _DAY.fullmatch(parts.get("BYDAY", ""))
        if weekday is None:
            return datetime(year, month, int(parts.get("BYMONTHDAY", onset.day)))  # noqa: DTZ001 - wall clock
        number = int(weekday[1] or 1)
        wanted = _WEEKDAYS.index(weekday[2])
        if "BYMONTHDAY" in parts:  # "the Sunday among the days 8 to 14" is another way to say "the second Sunday"
            number = (min(int(day) for day in parts["BYMONTHDAY"].split(",")) - 1) // 7 + 1
        return _nth_weekday(year, month, wanted, number)
    except ValueError:
        return None


def _nth_weekday(year: int, month: int, weekday: int, number: int) -> datetime:
    first = datetime(year, month, 1)  # noqa: DTZ001 - wall clock
    if number > 0:
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))
    following = datetime(year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - wall clock
    return following - timedelta(days=(following.weekday() - weekday - 1) % 7 + 1 + 7 * (-number - 1))


def _span(text: str) -> timedelta:
    match = _OFFSET.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"no UTC offset: {text[:20]!r}")
    span = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -span if match[1] == "-" else span
