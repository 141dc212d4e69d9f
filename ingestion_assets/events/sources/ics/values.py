"""Values of calendar properties: text, dates and times, durations, and the zone that a time is in.

Belongs here: RFC 5545 §3.3 and its usual misspellings. Each parser takes the value as written and raises ValueError
with a sentence for the rejected record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ingestion_assets.events.model import Moment
from ingestion_assets.events.sources.ics.components import Calendar
from ingestion_assets.events.sources.ics.vtimezone import equivalent_zone
from ingestion_assets.events.sources.zones import canonical_zone

MAX_OWN_ZONES = 50
"""Zones defined by a file itself that are compared with the known ones; each comparison may cost 50 ms."""

_STAMP = re.compile(
    r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ](\d{2}):?(\d{2})(?::?(\d{2})(?:\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?", re.IGNORECASE
)
_DURATION = re.compile(
    r"([+-])?P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?", re.IGNORECASE
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LIST_ITEM = re.compile(r"(?:[^\\,]|\\.|\\$)+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class When:
    """A DATE or DATE-TIME in a zone."""

    local: datetime
    """Naive wall-clock time in `zone`; midnight for a date."""
    is_date: bool
    zone: str
    assumed: bool = False
    """The calendar named no zone, or one that nobody knows."""

    @property
    def day(self) -> date:
        return self.local.date()

    @property
    def utc(self) -> datetime:
        """The instant; for a date, of its first moment."""
        return self.local.replace(tzinfo=zone_info(self.zone)).astimezone(UTC)

    @property
    def key(self) -> str:
        """How an occurrence is named: its UTC instant, or its date."""
        return f"{self.local:%Y%m%d}" if self.is_date else f"{self.utc:%Y%m%dT%H%M%SZ}"

    def at(self, zone: str) -> When:
        """The same instant on the clocks of `zone`; a date has none and stays."""
        if self.is_date or zone == self.zone:
            return self
        return When(self.utc.astimezone(zone_info(zone)).replace(tzinfo=None), False, zone, self.assumed)

    def moved(self, local: datetime) -> When:
        """The same kind of time at another wall-clock time."""
        return When(local, self.is_date, self.zone, self.assumed)

    def shown(self, shown_in: str) -> When:
        """On the clocks that people look at: those of `shown_in` for a time given in UTC, else its own."""
        return self.at(shown_in) if self.zone == "UTC" else self

    def moment(self, shown_in: str) -> Moment:
        """As an event carries it."""
        shown = self.shown(shown_in)
        return Moment(shown.day, None if self.is_date else shown.local.time(), shown.zone, shown.assumed)


@dataclass(slots=True)
class Zones:
    """Which zone a time of one calendar is in. One object a calendar: X-WR-TIMEZONE and VTIMEZONE are its own."""

    calendar: Calendar
    default: str
    """The setting's zone."""
    own: str | None = None
    """What X-WR-TIMEZONE says. UTC is how a server writes its times, not where people are: None then."""
    unknown: set[str] = field(default_factory=set)
    """TZIDs that nobody knows, met so far."""
    _known: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = self.calendar.get("X-WR-TIMEZONE") or self.calendar.get("TIMEZONE-ID")
        zone = self._resolved(named) if named else None
        self.own = None if zone == "UTC" else zone

    @property
    def fallback(self) -> str:
        """The zone of floating times, and the one in which UTC times are shown."""
        return self.own or self.default

    def of(self, tzid: str | None) -> tuple[str, bool]:
        """The zone that `tzid` means, and whether it had to be assumed."""
        if not tzid:
            return self.fallback, self.own is None
        if (zone := self._resolved(tzid)) is not None:
            return zone, False
        self.unknown.add(tzid[:100])
        return self.fallback, True

    def _resolved(self, tzid: str) -> str | None:
        if tzid not in self._known:
            if len(self._known) > 1000:
                self._known.clear()
            self._known[tzid] = canonical_zone(tzid) or self._defined(tzid)
        return self._known[tzid]

    def _defined(self, tzid: str) -> str | None:
        lines = self.calendar.timezone(tzid)
        if lines is None or len(self._known) > MAX_OWN_ZONES:
            return None
        return equivalent_zone(lines, preferred=self.default)


_ZONE_INFO: dict[str, ZoneInfo] = {}


def zone_info(name: str) -> ZoneInfo:
    """ZoneInfo(name), found faster than ZoneInfo's own cache does."""
    info = _ZONE_INFO.get(name)
    if info is None:
        info = _ZONE_INFO[name] = ZoneInfo(name)
    return info


def parse_when(value: str, params: dict[str, str], zones: Zones) -> When:
    """A DATE or DATE-TIME. Extended ISO 8601 (`2026-12-05T19:00:00-05:00`) is understood too."""
    match = _STAMP.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"no date or time: {value.strip()[:60]!r}")
    year, month, day, hour, minute, second, suffix = match.groups()
    if year in {"0001", "9999"}:
        raise ValueError(f"the year {year} is beyond what clocks can be converted in")
    if hour is None or params.get("VALUE", "").upper() == "DATE":
        return When(datetime(int(year), int(month), int(day)), True, zones.fallback)  # noqa: DTZ001 - wall clock
    try:
        local = datetime(  # noqa: DTZ001 - wall clock
            int(year), int(month), int(day), int(hour), int(minute), min(int(second or 0), 59)
        )
        if suffix is None:
            zone, assumed = zones.of(params.get("TZID"))
            return When(local, False, zone, assumed)
        instant = When(local - _offset(suffix), False, "UTC")
        # A calendar that names its zone means it also where it writes UTC: a weekly 19:00 stays 19:00 over the change
        # of clocks (this is what the x-wr-timezone library does as well).
        return instant.at(zones.own) if zones.own else instant
    except (ValueError, OverflowError) as error:
        raise ValueError(f"no date or time: {value.strip()[:60]!r} ({error})") from None


def _offset(suffix: str) -> timedelta:
    if suffix in "Zz":
        return timedelta(0)
    span = timedelta(hours=int(suffix[1:3]), minutes=int(suffix[-2:]))
    return -span if suffix[0] == "-" else span


def parse_duration(value: str) -> timedelta:
    """A DURATION (`PT1H30M`, `P1D`, `-PT15M`)."""
    match = _DURATION.fullmatch(value.strip())
    if match is None or not any(match.groups()[1:]):
        raise ValueError(f"no duration: {value.strip()[:60]!r}")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    span = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -span if match[1] == "-" else span


def unescape(value: str) -> str:
    r"""TEXT as it reads: `\n` is a line break, `\,` a comma. A backslash before anything else vanishes, as usual."""
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)


def split_list(value: str) -> list[str]:
    """The items of a comma-separated value, still escaped."""
    return _LIST_ITEM.findall(value)
