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


@dataclass(frozen=True, slots=True)
class _Change:
    """The clocks change on `day` (midnight, naive) from one offset to another."""

    day: datetime
    before: timedelta
    after: timedelta


def equivalent_zone(lines: list[str], *, preferred: str, year: int) -> str | None:
    """A zone whose clocks in `year` do what the VTIMEZONE says, `preferred` if it is one of them; None without one."""
    return _equivalent(tuple(lines), preferred, year)


@lru_cache(maxsize=256)
def _equivalent(lines: tuple[str, ...], preferred: str, year: int) -> str | None:
    changes: list[_Change] = []
    latest: tuple[datetime, timedelta] | None = None
    observance: dict[str, Property] = {}
    for line in lines:
        prop = parse_line(line)
        if prop is None:
            continue
        if prop.name == "X-LIC-LOCATION" and (zone := canonical_zone(prop.value)) is not None:
            return zone
        if prop.name == "BEGIN":
            observance = {}
        elif prop.name == "END":
            change, onset = _observed(observance, year)
            if change is not None:
                changes.append(change)
            if onset is not None and (latest is None or onset[0] > latest[0]):
                latest = onset
        else:
            observance[prop.name] = prop
    if any(change.before != change.after for change in changes):
        wanted = tuple(
            sample
            for change in changes
            for sample in ((change.day - _NOON, change.before), (change.day + 3 * _NOON, change.after))
        )
    elif latest is not None:
        wanted = tuple((datetime(year, month, 15), latest[1]) for month in (1, 4, 7, 10))  # noqa: DTZ001 - wall clock
    else:
        return None
    return _matching(wanted, preferred)


def _matching(wanted: tuple[tuple[datetime, timedelta], ...], preferred: str) -> str | None:
    if _agrees(preferred, wanted):
        return preferred
    offsets = {offset for _, offset in wanted}
    if len(offsets) == 1:
        hours = offsets.pop() / timedelta(hours=1)
        return canonical_zone(f"UTC{hours:+03.0f}:00") if hours == int(hours) else _first(wanted)
    return _first(wanted)


def _first(wanted: tuple[tuple[datetime, timedelta], ...]) -> str | None:
    return next((zone for zone in zones_in_use() if _agrees(zone, wanted)), None)


def _agrees(zone: str, wanted: tuple[tuple[datetime, timedelta], ...]) -> bool:
    info = ZoneInfo(zone)
    return all(local.replace(tzinfo=info).utcoffset() == offset for local, offset in wanted)


def _observed(observance: dict[str, Property], year: int) -> tuple[_Change | None, tuple[datetime, timedelta] | None]:
    """The change of clocks that an observance makes near `year`, and its first onset with the offset from then on."""
    try:
        before, after = _span(observance["TZOFFSETFROM"].value), _span(observance["TZOFFSETTO"].value)
        onset = datetime.strptime(observance["DTSTART"].value.strip()[:8], "%Y%m%d")  # noqa: DTZ007 - wall clock
    except (KeyError, ValueError):
        return None, None
    if onset.year > year + 1:
        return None, None
    if "RRULE" in observance:
        day = _yearly(observance["RRULE"].value.upper(), onset, year) if onset.year <= year else None
    else:
        # Some programs write only the changes around their events, each as a date of its own.
        day = onset if onset.year >= year - 1 else None
    return None if day is None else _Change(day, before, after), (onset, after)


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
