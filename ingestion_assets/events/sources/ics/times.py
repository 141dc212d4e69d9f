"""When a series happens: DTSTART, RRULE, RDATE, less EXDATE and EXRULE (RFC 5545 §3.8.5).

Belongs here: the times, on the clocks of the series. Which VEVENT describes each of them is decided in `series.py`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from ingestion_assets.events.model import RejectReason
from ingestion_assets.events.sources.ics.recurrence import (
    BrokenRuleError,
    Budget,
    Rule,
    TooManyError,
    parse_rule,
    rule_times,
)
from ingestion_assets.events.sources.ics.values import When, parse_duration, parse_when, split_list
from ingestion_assets.events.sources.ics.vevent import Dated, Fault, is_midnight

MAX_RULES = 10
"""RRULE and EXRULE lines of one event; RFC 5545 advises one."""


@dataclass(frozen=True, slots=True)
class _Parsed:
    """The recurrence properties of a master, read once."""

    rules: list[Rule]
    excluding: list[Rule]
    listed: list[datetime]
    """RDATE and DTSTART, in order."""
    times: set[datetime]
    days: set[date]
    """EXDATE."""

    def excludes(self, local: datetime) -> bool:
        """Whether an EXDATE names the time or its day."""
        return local in self.times or local.date() in self.days


@dataclass(slots=True)
class SeriesTimes:
    """When a series happens, on its own clocks. What cannot be read is reported once and leaves the rest."""

    master: Dated
    shown_in: str
    """Zone in which times given in UTC are shown."""
    budget: Budget
    horizon: datetime
    """Nothing after this will be asked for, so what is wrong with a series that begins later is not reported."""
    faults: list[Fault]
    """Receives what could not be read."""
    broken: bool = False
    """Something could not be read: the times may not be all there are."""
    lengths: dict[datetime, timedelta] = field(default_factory=dict)
    """How long an RDATE lasts that is a PERIOD."""
    _parsed: _Parsed | None = None

    def between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """The times from `first` to `last` in order, each once, without the excluded ones."""
        parsed = self._parsed = self._parsed or self._parse()
        excluded = {local for rule in parsed.excluding for local in self._expanded(rule, "EXRULE", first, last)}
        sources = [parsed.listed[bisect_left(parsed.listed, first) : bisect_right(parsed.listed, last)]]
        sources += [self._expanded(rule, "RRULE", first, last) for rule in parsed.rules]
        before: datetime | None = None
        for local in heapq.merge(*sources):
            if local != before and local not in excluded and not parsed.excludes(local):
                yield local
            before = local

    def _parse(self) -> _Parsed:
        start = self.master.start.local
        rules = self._rules("RRULE")
        listed = {local for local, _ in self._listed("RDATE")}
        # DTSTART is an occurrence of its own, unless every rule ended before it.
        if not rules or any(rule.until is None or rule.until >= start for rule in rules):
            listed.add(start)
        times, days = self._excluded()
        return _Parsed(rules, self._rules("EXRULE"), sorted(listed), times, days)

    def _rules(self, name: str) -> list[Rule]:
        rules: list[Rule] = []
        for prop in self.master.event.all(name)[:MAX_RULES]:
            if not prop.value.strip():
                continue
            try:
                rules.append(parse_rule(prop.value, is_date=self.master.start.is_date, zone=self.master.start.zone))
            except (BrokenRuleError, TooManyError) as error:
                self._fault(error, name)
        return rules

    def _expanded(self, rule: Rule, name: str, first: datetime, last: datetime) -> list[datetime]:
        """All or nothing: the first hundred times of a rule that turns out to be nonsense are nonsense as well."""
        try:
            return list(rule_times(rule, self.master.start.local, first, last, self.budget))
        except (BrokenRuleError, TooManyError) as error:
            self._fault(error, name)
            return []

    def _fault(self, error: ValueError, name: str) -> None:
        self.broken = True
        if self.master.start.local > self.horizon:
            return
        too_many = isinstance(error, TooManyError)
        reason = RejectReason.TOO_MANY_OCCURRENCES if too_many else RejectReason.INVALID_RECURRENCE
        detail = f"{name}: {error}; DTSTART and what else can be read are kept"
        if all(fault.detail != detail for fault in self.faults):
            self.faults.append(Fault(self.master.event, reason, detail))

    def _excluded(self) -> tuple[set[datetime], set[date]]:
        """Excluded times on the clocks of the series, and excluded days."""
        times: set[datetime] = set()
        days: set[date] = set()
        for local, is_day in self._listed("EXDATE"):
            if is_day:
                days.add(local.date())
            else:
                times.add(local)
        return times, days

    def _listed(self, name: str) -> Iterator[tuple[datetime, bool]]:
        """The times that RDATE or EXDATE lists, on the clocks of the series, and whether each names a whole day."""
        start = self.master.start
        for prop in self.master.event.all(name):
            params = {"TZID": prop.params["TZID"]} if "TZID" in prop.params else {}
            for item in split_list(prop.value):
                begin, _, rest = item.partition("/")
                try:
                    when = parse_when(begin, params, self.master.event.zones)
                    local = self._on_series(when)
                    if rest:
                        self.lengths[local] = self._length(when, rest, params)
                except (ValueError, OverflowError) as error:
                    self._fault(BrokenRuleError(str(error)), name)
                    continue
                yield local, when.is_date or start.is_date

    def _on_series(self, when: When) -> datetime:
        start = self.master.start
        if start.is_date:
            # Midnight is how some write the date itself; any other time lies on the day that people see.
            day = when.day if when.is_date or is_midnight(when) else when.moment(self.shown_in).date
            return datetime.combine(day, datetime.min.time())
        return datetime.combine(when.day, start.local.time()) if when.is_date else when.at(start.zone).local

    def _length(self, when: When, rest: str, params: dict[str, str]) -> timedelta:
        if rest.lstrip("+-").upper().startswith("P"):
            return parse_duration(rest)
        return parse_when(rest, params, self.master.event.zones).at(when.zone).local - when.local
