"""The VEVENTs that share a UID, as the occurrences of one window.

Belongs here: masters and overrides (RFC 5545 §3.8.4.4). When a series happens is in `times.py`, how an occurrence
becomes an event in `mapping.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ingestion_assets.events.model import FetchWindow, RejectReason
from ingestion_assets.events.sources.ics.recurrence import Budget
from ingestion_assets.events.sources.ics.times import SeriesTimes
from ingestion_assets.events.sources.ics.values import When
from ingestion_assets.events.sources.ics.vevent import Dated, Fault, Occurrence, VEvent, dated_event

_MARGIN = timedelta(days=2)
"""The window is in the platform's zone, a series on its own clocks: they are up to 26 hours apart."""
_NEVER = datetime.max  # noqa: DTZ901 - wall clock


@dataclass(slots=True)
class Outcome:
    """What a UID brought for the window."""

    occurrences: list[Occurrence] = field(default_factory=list)
    outside: list[Occurrence] = field(default_factory=list)
    """Of what starts outside the window, what a VEVENT of its own describes, or what RANGE=THISANDFUTURE moved out of it.
    What else a rule gives has no end, and its times are its keys: it does not leave the window under the key that it had
    there."""
    faults: list[Fault] = field(default_factory=list)
    superseded: int = 0
    """VEVENTs for an occurrence that a newer VEVENT describes."""
    private: int = 0
    capped: bool = False
    """The window holds more occurrences than were kept."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the expansion of one feed."""

    window: FetchWindow
    shown_in: str
    """Zone in which times given in UTC are shown; it decides the local date."""
    max_occurrences: int
    budget: Budget

    def holds(self, when: When) -> bool:
        """Whether an event that starts at `when` belongs to the window."""
        return when.moment(self.shown_in).date in self.window


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of a series that one VEVENT describes, on the clocks of the series."""

    begin: datetime
    """First original time, inclusive."""
    end: datetime
    described_by: Dated
    moved_by: timedelta
    """How far every occurrence of the stretch was moved (RANGE=THISANDFUTURE)."""

    def originals(self, window: FetchWindow, times: SeriesTimes) -> list[datetime]:
        """The original times whose occurrences may lie in the window, and those that lay there before they were moved."""
        found: set[datetime] = set()
        for moved_by in {self.moved_by, timedelta(0)}:
            try:
                first = datetime.combine(window.start, datetime.min.time()) - _MARGIN - moved_by
                last = datetime.combine(window.end, datetime.min.time()) + _MARGIN - moved_by
            except OverflowError:
                continue
            first, last = max(first, self.begin), min(last, self.end)
            if first <= last:
                found.update(local for local in times.between(first, last) if local < self.end)
        return sorted(found)

    def occurrence(self, original: When, master: VEvent, length: timedelta | None) -> Occurrence:
        """The occurrence that the series has at `original`. OverflowError beyond the calendar's end."""
        start = original.moved(original.local + self.moved_by).at(self.described_by.start.zone)
        start = self.described_by.start.moved(start.local)
        end = start.moved(start.local + length) if length is not None and length > timedelta(0) else None
        return Occurrence(self.described_by.event, start, end, original.key, master, self.described_by.warnings)


def expand(events: list[VEvent], limits: Limits) -> Outcome:
    """The occurrences inside the window of the VEVENTs that share one UID.

    A fault costs its own VEVENT only; a rule that cannot be expanded leaves DTSTART's occurrence.
    """
    outcome = Outcome()
    masters: list[Dated] = []
    overrides: list[Dated] = []
    for event in events:
        try:
            dated = dated_event(event)
        except (ValueError, OverflowError) as error:
            missing = event.first("DTSTART") is None
            reason = RejectReason.MISSING_START if missing else RejectReason.INVALID_START
            outcome.faults.append(Fault(event, reason, str(error)))
            continue
        (masters if dated.rid is None else overrides).append(dated)
    master = max(masters, key=lambda dated: dated.event.version(), default=None)
    outcome.superseded += max(len(masters) - 1, 0)
    if master is None:
        # Overrides whose master is not in the feed are events like any other.
        _add_overrides(_latest(overrides, outcome), None, limits, outcome)
    elif master.event.recurring or overrides:
        _series(master, overrides, limits, outcome)
    else:
        _add(Occurrence(master.event, master.start, master.end, warnings=master.warnings), limits, outcome)
    return outcome


def _add(occurrence: Occurrence, limits: Limits, outcome: Outcome) -> None:
    if not limits.holds(occurrence.start):
        if not occurrence.event.private:
            outcome.outside.append(occurrence)
    elif occurrence.event.private:
        outcome.private += 1
    else:
        outcome.occurrences.append(occurrence)


def _latest(overrides: list[Dated], outcome: Outcome) -> dict[str, Dated]:
    """The newest override of each occurrence, by its key."""
    latest: dict[str, Dated] = {}
    for override in overrides:
        key = "" if override.rid is None else override.rid.key
        known = latest.get(key)
        outcome.superseded += known is not None
        if known is None or override.event.version() >= known.event.version():
            latest[key] = override
    return latest


def _add_overrides(latest: dict[str, Dated], master: VEvent | None, limits: Limits, outcome: Outcome) -> None:
    for key, override in latest.items():
        _add(Occurrence(override.event, override.start, override.end, key, master, override.warnings), limits, outcome)


def _series(master: Dated, overrides: list[Dated], limits: Limits, outcome: Outcome) -> None:
    latest = _latest([_aligned(override, master.start) for override in overrides], outcome)
    horizon = datetime.combine(limits.window.end, datetime.min.time()) + _MARGIN
    times = SeriesTimes(master, limits.shown_in, limits.budget, horizon, outcome.faults)
    _drop_deleted(latest, master, times, outcome)
    _add_overrides(latest, master.event, limits, outcome)
    kept = 0
    for segment in _segments(master, latest):
        for original in segment.originals(limits.window, times):
            when = master.start.moved(original)
            if when.key in latest:
                continue
            length = times.lengths.get(original, segment.described_by.length)
            try:
                occurrence = segment.occurrence(when, master.event, length)
            except OverflowError:
                continue  # after the year 9999
            if not limits.holds(occurrence.start):
                if segment.moved_by:
                    _add(occurrence, limits, outcome)
                continue
            if kept >= limits.max_occurrences:
                outcome.capped = True
                detail = f"more than {kept} occurrences in the window: the first {kept} are kept (ICS_MAX_OCCURRENCES)"
                outcome.faults.append(Fault(master.event, RejectReason.TOO_MANY_OCCURRENCES, detail))
                return
            kept += 1
            _add(occurrence, limits, outcome)


def _drop_deleted(latest: dict[str, Dated], master: Dated, times: SeriesTimes, outcome: Outcome) -> None:
    """Forget overrides of times that a newer master no longer has: it has excluded them since, or ended before them.

    Deleting an occurrence that was changed before leaves both in some feeds: the change, and a later master with an
    EXDATE. An override as new as its master is kept, whatever it overrides.
    """
    sequence = master.event.sequence
    older = {
        key: override.rid.local
        for key, override in latest.items()
        if override.rid is not None and override.event.sequence < sequence
    }
    if not older:
        return
    present = set(times.between(min(older.values()), max(older.values())))
    if times.broken:
        return  # a rule that cannot be expanded does not say what is left
    for key, local in older.items():
        if local not in present:
            del latest[key]
            outcome.superseded += 1


def _segments(master: Dated, latest: dict[str, Dated]) -> Iterator[_Segment]:
    """From each THISANDFUTURE override on, occurrences are like it, and moved as far as it was moved."""
    onward = sorted(
        (
            (override.rid.local, override)
            for override in latest.values()
            if override.onward and override.rid is not None
        ),
        key=lambda pair: pair[0],
    )
    begin, described_by, moved_by = datetime.min, master, timedelta(0)  # noqa: DTZ901 - wall clock
    for original, override in onward:
        yield _Segment(begin, original, described_by, moved_by)
        begin, described_by = original, override
        moved_by = override.start.at(master.start.zone).local - original
    yield _Segment(begin, _NEVER, described_by, moved_by)


def _aligned(override: Dated, series: When) -> Dated:
    """The override with its RECURRENCE-ID in the form of the series, so that both name an occurrence alike."""
    rid = override.rid
    if rid is None:
        return override
    if series.is_date:
        rid = series.moved(datetime.combine(rid.day, datetime.min.time()))
    elif rid.is_date:  # a day is enough to name the occurrence of a daily or rarer series
        rid = series.moved(datetime.combine(rid.day, series.local.time()))
    else:
        rid = series.moved(rid.at(series.zone).local)
    return replace(override, rid=rid)
