"""One calendar file as pages of records.

Belongs here: what a whole file means (no calendar at all, a mail invitation, cut in the middle), which VEVENTs belong
together, and the order of the work. How a file was fetched is the business of the source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial

from ingestion_assets.events.model import (
    Event,
    FetchWarning,
    FetchWindow,
    Json,
    Page,
    RejectedRecord,
    RejectReason,
    Unread,
)
from ingestion_assets.events.sources.ics.components import (
    MAX_EVENTS,
    Calendar,
    CalendarFile,
    RawEvent,
    parse_line,
    read_calendar,
)
from ingestion_assets.events.sources.ics.mapping import Mapper
from ingestion_assets.events.sources.ics.payload import cleaned_uid, identity, record
from ingestion_assets.events.sources.ics.recurrence import Budget
from ingestion_assets.events.sources.ics.series import Limits, Outcome, expand
from ingestion_assets.events.sources.ics.values import Zones, parse_when
from ingestion_assets.events.sources.ics.vevent import Occurrence, VEvent, dated_event, is_midnight, read_event
from resources.redaction import excerpt

PAGE_SIZE = 1000
MAX_RECORDS = 200_000
"""Records of one feed in one fetch."""

MAX_EVENT_CHARS = 1024 * 1024
"""Text of one VEVENT, less what is encoded in BASE64. Real ones stay below 100 kB."""

NOT_PUBLISHED = frozenset({"REQUEST", "REPLY", "COUNTER", "DECLINECOUNTER", "REFRESH"})
"""iTIP methods (RFC 5546) of mail between organiser and guests. Such a file publishes nothing."""

_UNFORESEEN = (ArithmeticError, LookupError, TypeError, ValueError)
"""What reading one event could still raise. No input is known that does; if one is met, it costs that event only."""

_SCANNED = ("UID", "DTSTART", "RECURRENCE-ID", "RRULE", "RDATE")
_FIRST = frozenset("UDRudr")
_DAY = timedelta(days=1)


@dataclass(slots=True)
class _Group:
    """VEVENTs with one UID."""

    events: list[RawEvent] = field(default_factory=list)
    uid: str | None = None
    """The line that names it."""
    simple_start: str | None = None
    """The DTSTART line of an event that stands alone and does not recur."""


def read_feed(
    body: bytes,
    *,
    feed: str,
    window: FetchWindow,
    default_zone: str,
    max_occurrences: int,
    charset: str | None = None,
) -> Iterator[Page]:
    """The records of a calendar file that belong to `window`. Never raises, whatever `body` is.

    Handed on from outside of it are, unread, events that do not recur and changed occurrences of those that do: as many
    as the file has VEVENTs.
    """
    calendar = read_calendar(body, charset)
    if not calendar.calendars and not calendar.events:
        yield _no_calendar(body, feed)
        return
    run = _Run(feed, window, default_zone, max_occurrences)
    yield from run.pages(calendar)


def _no_calendar(body: bytes, feed: str) -> Page:
    what = "is empty" if not body.strip() else "holds no VCALENDAR"
    detail = f"the feed {feed!r} {what}; check its address"
    start = excerpt(body[:4000].decode("utf-8", "replace").replace("\x00", ""), 500)
    rejected = RejectedRecord(
        reason=RejectReason.UNPARSABLE, detail=detail, payload={"feed": feed, "start": start}, source_id=feed
    )
    return Page(records=[rejected], warnings=[FetchWarning("feed_unparsable", detail)], incomplete=detail)


@dataclass(slots=True)
class _Run:
    """One fetch of one feed."""

    feed: str
    window: FetchWindow
    default_zone: str
    max_occurrences: int
    notes: Counter[str] = field(default_factory=Counter)
    incomplete: str | None = None
    outside: list[Unread] = field(default_factory=list)
    also_outside: int = 0
    """What lies outside the window besides, and is not handed on."""
    budget: Budget = field(default_factory=Budget)
    zones: dict[int, Zones] = field(default_factory=dict)
    """By identity of the calendar, which outlives the run."""
    mapper: Mapper = field(init=False)

    def __post_init__(self) -> None:
        self.mapper = Mapper(self.feed)

    def pages(self, calendar: CalendarFile) -> Iterator[Page]:
        records: list[Event | RejectedRecord] = []
        total = 0
        for found in self._records(calendar):
            if isinstance(found, Unread):
                self.outside.append(found)
            else:
                records.append(found)
                total += 1
            if len(records) >= PAGE_SIZE or len(self.outside) >= PAGE_SIZE:
                yield self._page(records)
                records = []
            if total >= MAX_RECORDS:
                self.incomplete = f"the feed {self.feed!r} has more than {MAX_RECORDS} records in the window"
                break
        self._whole_file(calendar)
        yield self._page(records, warnings=self._warnings(), incomplete=self.incomplete)

    def _page(
        self,
        records: list[Event | RejectedRecord],
        *,
        warnings: Sequence[FetchWarning] = (),
        incomplete: str | None = None,
    ) -> Page:
        outside, self.outside = self.outside, []
        count, self.also_outside = self.also_outside + len(outside), 0
        return Page(records=records, warnings=warnings, incomplete=incomplete, outside_window=count, outside=outside)

    def _whole_file(self, calendar: CalendarFile) -> None:
        self.notes["encoding_repaired"] += calendar.repaired_lines
        self.notes["events_dropped"] += calendar.events_dropped
        if self.budget.steps < 0:
            self.incomplete = f"the recurring events of the feed {self.feed!r} need more work than one fetch may do"
        if calendar.events_dropped:
            self.incomplete = f"the feed {self.feed!r} has more than {MAX_EVENTS} events"
        elif not calendar.ended:
            self.notes["file_cut"] += 1
            self.incomplete = f"the feed {self.feed!r} ends in the middle of its calendar"

    def _warnings(self) -> list[FetchWarning]:
        texts = {
            "encoding_repaired": "lines that were not UTF-8",
            "events_dropped": f"events beyond the first {MAX_EVENTS}",
            "file_cut": "file that ends in the middle of its calendar",
            "not_a_publication": "events of mail invitations (METHOD), skipped",
            "private_skipped": "events that are private or confidential, skipped",
            "superseded": "events for which the feed holds a newer version, skipped",
            "zone_unknown": "time zone names that nobody knows, read in the feed's zone",
        }
        self.notes["zone_unknown"] = len({name for zones in self.zones.values() for name in zones.unknown})
        return [
            FetchWarning(code, f"feed {self.feed!r}: {text}: {self.notes[code]}")
            for code, text in texts.items()
            if self.notes[code]
        ]

    def _records(self, calendar: CalendarFile) -> Iterator[Event | RejectedRecord | Unread]:
        published: list[RawEvent] = []
        for raw in calendar.events:
            if (raw.calendar.get("METHOD") or "").upper() in NOT_PUBLISHED:
                self.notes["not_a_publication"] += 1
            elif raw.cut_off:
                yield self._cut_off(raw)
            else:
                published.append(raw)
        for group in _groups(published):
            yield from self._of_group(group)

    def _cut_off(self, raw: RawEvent) -> RejectedRecord:
        event = read_event(raw, self._zones(raw.calendar))
        return self._rejected(event, RejectReason.UNPARSABLE, "the file ends inside this event")

    def _of_group(self, group: _Group) -> Iterator[Event | RejectedRecord | Unread]:
        if group.simple_start is not None and self._surely_outside(group.events[0], group.simple_start):
            yield from self._outside(group)
            return
        events: list[VEvent] = []
        for raw in group.events:
            event = read_event(raw, self._zones(raw.calendar))
            if (large := self._too_large(event)) is not None:
                yield large
            else:
                events.append(event)
        if not events:
            return
        shown_in = events[0].zones.fallback
        try:
            outcome = expand(events, Limits(self.window, shown_in, self.max_occurrences, self.budget))
        except _UNFORESEEN as error:
            yield self._unforeseen(events[0], error)
            return
        yield from self._of_outcome(outcome, shown_in)

    def _outside(self, group: _Group) -> Iterator[Unread]:
        """An event that stands alone outside the window. Without a UID its start is part of its key: it cannot move."""
        prop = None if group.uid is None else parse_line(group.uid)
        uid = None if prop is None else cleaned_uid(prop.value)
        if uid is None:
            self.also_outside += 1
        else:
            yield Unread(f"{self.feed}:{uid}", partial(self._read_outside, group.events[0]))

    def _read_outside(self, raw: RawEvent) -> Event | RejectedRecord | None:
        event = read_event(raw, self._zones(raw.calendar))
        if event.private:
            return None
        if (large := self._too_large(event)) is not None:
            return large
        try:
            dated = dated_event(event)
        except _UNFORESEEN as error:
            return self._unforeseen(event, error)
        occurrence = Occurrence(event, dated.start, dated.end, warnings=dated.warnings)
        return self._of_occurrence(occurrence, event.zones.fallback)

    def _of_outcome(self, outcome: Outcome, shown_in: str) -> Iterator[Event | RejectedRecord | Unread]:
        self.notes["superseded"] += outcome.superseded
        self.notes["private_skipped"] += outcome.private + sum(fault.event.private for fault in outcome.faults)
        if outcome.capped:
            self.incomplete = f"the feed {self.feed!r} has a series with more than {self.max_occurrences} occurrences"
        if not (outcome.occurrences or outcome.faults or outcome.private or outcome.outside):
            self.also_outside += 1
        for occurrence in outcome.outside:
            source_id = f"{self.feed}:{identity(occurrence.event, self.feed)}"
            if occurrence.recurrence is not None:
                source_id += f":{occurrence.recurrence}"
            yield Unread(source_id, partial(self._changed, source_id, occurrence, shown_in))
        for fault in outcome.faults:
            if not fault.event.private:
                yield self._rejected(fault.event, fault.reason, fault.detail)
        untitled: set[int] = set()
        for occurrence in outcome.occurrences:
            found = self._of_occurrence(occurrence, shown_in)
            # A series without a title is one bad record, not one a date.
            if isinstance(found, Event) or occurrence.event.raw.index not in untitled:
                yield found
            if not isinstance(found, Event):
                untitled.add(occurrence.event.raw.index)

    def _changed(self, source_id: str, occurrence: Occurrence, shown_in: str) -> Event | RejectedRecord:
        found = self._of_occurrence(occurrence, shown_in)
        # A series is refused under its UID, once. Here one occurrence is, which would else count as gone.
        return found if isinstance(found, Event) else replace(found, source_id=source_id)

    def _of_occurrence(self, occurrence: Occurrence, shown_in: str) -> Event | RejectedRecord:
        try:
            event = self.mapper.to_event(occurrence, shown_in)
        except _UNFORESEEN as error:
            return self._unforeseen(occurrence.event, error)
        if event is None:
            day = occurrence.start.moment(shown_in).date
            return self._rejected(occurrence.event, RejectReason.MISSING_TITLE, "the event has no SUMMARY", day=day)
        return event

    def _too_large(self, event: VEvent) -> RejectedRecord | None:
        if _size(event) <= MAX_EVENT_CHARS:
            return None
        return self._rejected(event, RejectReason.TOO_LARGE, f"the event has more than {MAX_EVENT_CHARS} characters")

    def _unforeseen(self, event: VEvent, error: Exception) -> RejectedRecord:
        return self._rejected(event, RejectReason.INVALID_VALUE, f"the event cannot be read: {error!r}")

    def _rejected(self, event: VEvent, reason: RejectReason, detail: str, *, day: date | None = None) -> RejectedRecord:
        payload: dict[str, Json] = {"calendar": {"feed": self.feed}}
        if reason is not RejectReason.TOO_LARGE:
            payload |= dict(sorted(record(event).items()))
        else:
            payload |= {"UID": event.value("UID")[:255], "SUMMARY": event.value("SUMMARY")[:255]}
        return RejectedRecord(
            reason=reason,
            detail=detail,
            payload=payload,
            source_id=f"{self.feed}:{identity(event, self.feed)}",
            day=day,
        )

    def _surely_outside(self, raw: RawEvent, line: str) -> bool:
        """Whether an event can be left alone without reading the rest of it."""
        prop = parse_line(line)
        if prop is None:
            return False
        zones = self._zones(raw.calendar)
        try:
            when = parse_when(prop.value, prop.params, zones)
            day = when.shown(zones.fallback).day
            near = self.window.start - _DAY <= day <= self.window.end
            # Midnight in UTC stands for its day there where another line flags the event as a whole day.
            return day not in self.window and not (near and is_midnight(when.at("UTC")))
        except (ValueError, OverflowError):
            return False

    def _zones(self, calendar: Calendar) -> Zones:
        zones = self.zones.get(id(calendar))
        if zones is None:
            zones = self.zones[id(calendar)] = Zones(calendar, self.default_zone)
        return zones


def _groups(events: Iterable[RawEvent]) -> Iterable[_Group]:
    """Events by UID, in the order in which UIDs appear. Without a UID every event is a group of its own."""
    groups: dict[str, _Group] = {}
    for raw in events:
        uid = start = named_by = None
        recurs = False
        for line in raw.lines:
            if line[0] not in _FIRST:  # most lines are something else, and there are many
                continue
            head = line[:13].upper()
            if not head.startswith(_SCANNED):
                continue
            name = head.partition(":")[0].partition(";")[0]
            if name == "UID":
                if not uid:
                    uid, named_by = line.partition(":")[2].strip(), line
            elif name == "DTSTART":
                start = start or line
            elif name in {"RECURRENCE-ID", "RRULE", "RDATE"}:
                recurs = recurs or bool(line.partition(":")[2].strip())
        group = groups.setdefault(uid or f"\x00{raw.index}", _Group(uid=named_by))
        group.events.append(raw)
        group.simple_start = start if not recurs and len(group.events) == 1 else None
    return groups.values()


def _size(event: VEvent) -> int:
    return sum(
        len(prop.value)
        for found in event.properties.values()
        for prop in found
        if prop.params.get("ENCODING", "").upper() != "BASE64"
    )
