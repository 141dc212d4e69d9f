"""One VEVENT, read: its properties, when it starts and how long it lasts.

Belongs here: what a VEVENT says by itself. What several with one UID say together is in `series.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ingestion_assets.events.model import RejectReason
from ingestion_assets.events.sources.ics.components import Property, RawEvent, parse_line
from ingestion_assets.events.sources.ics.values import When, Zones, parse_duration, parse_when

_DAY = timedelta(days=1)
_LONGEST = timedelta(days=36_525)
"""An end more than a century away is somebody's way to say "for ever": the end is not known."""


@dataclass(slots=True)
class VEvent:
    """A VEVENT whose lines have been read."""

    raw: RawEvent
    zones: Zones
    properties: dict[str, list[Property]]
    """By name, in the order in which they stand."""
    unreadable: list[str]
    """Lines that are no properties."""

    def first(self, name: str) -> Property | None:
        """The first property called `name` that has a value."""
        found = self.properties.get(name)
        return None if found is None else next((prop for prop in found if prop.value.strip()), None)

    def all(self, name: str) -> list[Property]:
        """Every property called `name`, in order."""
        return self.properties.get(name, [])

    def value(self, name: str) -> str:
        """The value of the first property called `name`, trimmed; empty without one."""
        prop = self.first(name)
        return "" if prop is None else prop.value.strip()

    @property
    def private(self) -> bool:
        return self.value("CLASS").upper() in {"PRIVATE", "CONFIDENTIAL"}

    @property
    def recurring(self) -> bool:
        return self.first("RRULE") is not None or self.first("RDATE") is not None

    @property
    def cancelled(self) -> bool:
        return (
            self.value("STATUS").upper() in {"CANCELLED", "CANCELED"}
            or (self.raw.calendar.get("METHOD") or "").upper() == "CANCEL"
        )

    @property
    def sequence(self) -> int:
        """SEQUENCE; 0 where it is missing or no number."""
        text = self.value("SEQUENCE")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

    def version(self) -> tuple[int, str, str, int]:
        """What decides between two VEVENTs for the same occurrence: the highest wins, of equals the last."""
        return self.sequence, self.value("LAST-MODIFIED"), self.value("DTSTAMP"), self.raw.index


@dataclass(frozen=True, slots=True)
class Dated:
    """A VEVENT with the times that every occurrence needs."""

    event: VEvent
    start: When
    length: timedelta | None
    end: When | None
    warnings: tuple[str, ...]
    rid: When | None = None
    """RECURRENCE-ID on the clocks of the series."""
    onward: bool = False
    """RANGE=THISANDFUTURE."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time that something happens, and the VEVENT that describes it."""

    event: VEvent
    start: When
    end: When | None
    """Exclusive, as iCalendar writes it; for a date the day after the last."""
    recurrence: str | None = None
    """Names the occurrence within its UID; None for an event that does not recur."""
    title_from: VEvent | None = None
    """The master, where an override may have left out the title."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """A VEVENT, or the rule of one, that could not be used."""

    event: VEvent
    reason: RejectReason
    detail: str
    day: date | None = None


def read_event(raw: RawEvent, zones: Zones) -> VEvent:
    """All lines of a VEVENT as properties. Never fails."""
    found: dict[str, list[Property]] = {}
    unreadable: list[str] = []
    for line in raw.lines:
        prop = parse_line(line)
        if prop is None:
            if line.strip():
                unreadable.append(line)
        else:
            found.setdefault(prop.name, []).append(prop)
    return VEvent(raw, zones, found, unreadable)


def dated_event(event: VEvent) -> Dated:
    """The VEVENT with its times. ValueError says why it has none."""
    rid_prop = event.first("RECURRENCE-ID")
    rid = None if rid_prop is None else parse_when(rid_prop.value, rid_prop.params, event.zones)
    onward = rid_prop is not None and rid_prop.params.get("RANGE", "").upper() == "THISANDFUTURE"
    start_prop = event.first("DTSTART")
    if start_prop is None:
        if rid is None:
            raise ValueError("the event has no DTSTART")
        start = rid  # a bare cancellation names only the occurrence that it cancels
    else:
        start = parse_when(start_prop.value, start_prop.params, event.zones)
    midnight = None
    if not start.is_date and event.value("X-MICROSOFT-CDO-ALLDAYEVENT").upper() == "TRUE":
        # Midnight where people are, or in UTC, whichever of them the calendar's program converted to.
        clocks = (start.shown(event.zones.fallback), start.at("UTC"))
        midnight = next((clock for clock in clocks if is_midnight(clock)), None)
    if midnight is not None:
        start = When(midnight.local, True, event.zones.fallback if midnight.zone == "UTC" else midnight.zone)
    warnings = [*(["zone_assumed"] if start.assumed else []), *(["unreadable_line"] if event.unreadable else [])]
    length, end = _end(event, start, warnings, None if midnight is None else midnight.zone)
    return Dated(event, start, length, end, tuple(warnings), rid, onward)


def is_midnight(when: When) -> bool:
    """Whether a time may be how somebody writes a day."""
    return when.local.time() == datetime.min.time()


def _end(
    event: VEvent, start: When, warnings: list[str], day_clock: str | None
) -> tuple[timedelta | None, When | None]:
    """How long the event lasts, and its exclusive end on its own clocks. What makes no sense is dropped and named.

    `day_clock`: the zone in which the start of a day is written as midnight.
    """
    try:
        if (prop := event.first("DTEND")) is not None:
            end = parse_when(prop.value, prop.params, event.zones)
            if start.is_date and not end.is_date:
                # The last day is the one that the end lies on, unless it is that day's midnight.
                end = end if day_clock is None else end.at(day_clock)
                end = When(end.local + (timedelta(0) if is_midnight(end) else _DAY), True, start.zone)
            elif end.is_date and not start.is_date:
                warnings.append("end_kind_mismatch")
                return None, None
            length = end.at(start.zone).local - start.local
        elif (prop := event.first("DURATION")) is not None:
            length = parse_duration(prop.value)
            end = start.moved(start.local + length)
        else:
            return None, None
    except (ValueError, OverflowError):
        warnings.append("end_unreadable")
        return None, None
    if length > _LONGEST:
        warnings.append("end_too_far")
        return None, None
    if length < timedelta(0):
        warnings.append("end_before_start")
        return None, None
    if start.is_date:  # DTEND equal to DTSTART is a common way to write one day
        length = max(timedelta(days=length.days), _DAY)
        return length, start.moved(start.local + length)
    return (length, end) if length else (None, None)
