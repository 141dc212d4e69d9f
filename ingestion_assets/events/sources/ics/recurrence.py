"""Recurrence rules, expanded lazily and at a bounded cost.

Belongs here: RRULE (RFC 5545 §3.3.10) from its text to wall-clock times. Which of those times are events belongs to
`series.py`. The expansion itself is dateutil's; what is ours is everything that keeps it from running for ever:

- a rule without COUNT begins just before the window instead of at DTSTART (dateutil counts up from there);
- a rule that never matches again (30 February) ends at the window's end, not in the year 9999;
- a rule that fires more than `MAX_A_DAY` times a day is no event and ends at once;
- a budget of steps, shared by all rules of a feed, ends what is left.

All of them count work, none measures time: the same feed gives the same events on any machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any

from ingestion_assets.events.sources.ics.values import zone_info

MAX_A_DAY = 48
"""Occurrences on one day: every half hour around the clock. More is a mistake (FREQ=SECONDLY), not an event."""

MAX_RULE_CHARS = 2000
RULE_STEPS = 100_000
"""Work for one rule, in occurrences or days looked at: a daily one with COUNT that began in 1900 needs this much."""
FEED_STEPS = 5_000_000
"""Work for all rules of a feed: 5,000 daily series over a year need 4 million. A step costs one to three microseconds."""
_STEPS_A_PERIOD = 15
"""Days that dateutil looks at between two calls of `_bynweekday`: there are one or two a month."""

_FREQUENCIES = {"YEARLY": 0, "MONTHLY": 1, "WEEKLY": 2, "DAILY": 3, "HOURLY": 4, "MINUTELY": 5}
_MONTHLY, _WEEKLY, _HOURLY, _MINUTELY = 1, 2, 4, 5
_UNITS = {2: timedelta(weeks=1), 3: timedelta(days=1), 4: timedelta(hours=1), 5: timedelta(minutes=1)}
_WEEKDAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
_BY_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_LISTS = {
    "BYMONTH": ("bymonth", 1, 12),
    "BYMONTHDAY": ("bymonthday", -31, 31),
    "BYYEARDAY": ("byyearday", -366, 366),
    "BYWEEKNO": ("byweekno", -53, 53),
    "BYSETPOS": ("bysetpos", -366, 366),
    "BYHOUR": ("byhour", 0, 23),
    "BYMINUTE": ("byminute", 0, 59),
    "BYSECOND": ("bysecond", 0, 59),
}
_STAMP = re.compile(r"(\d{8})(?:T(\d{6})(Z)?)?")


class BrokenRuleError(ValueError):
    """A rule that says nothing that could be expanded."""


class TooManyError(ValueError):
    """A rule with more occurrences than an event can have, or more than there is budget for."""


@dataclass(slots=True)
class Budget:
    """Work left for the rules of one feed, and for the rule at hand."""

    steps: int = field(default_factory=lambda: FEED_STEPS)
    rule_steps: int = RULE_STEPS
    weight: int = 1

    def next_rule(self, weight: int) -> None:
        """A rule begins: it may use its own share again, and each of its steps counts `weight` times."""
        self.rule_steps = RULE_STEPS
        self.weight = weight

    def spend(self, steps: int) -> None:
        """Raises TooManyError once the rule's share or the feed's budget is used up."""
        self.steps -= steps * self.weight
        self.rule_steps -= steps * self.weight
        if self.rule_steps < 0:
            raise TooManyError("the rule takes more work than the rule of an event should")
        if self.steps < 0:
            raise TooManyError("the feed's recurring events need more work than one fetch may do")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as dateutil takes it, without its bounds."""

    freq: int
    interval: int = 1
    times: int | None = None
    """COUNT."""
    until: datetime | None = None
    """Last moment on the clocks of the series, inclusive."""
    week_start: int | None = None
    by: dict[str, Any] = field(default_factory=dict)


def parse_rule(text: str, *, is_date: bool, zone: str) -> Rule:
    """The rule that `text` writes, for a series whose times are dates or are in `zone`.

    UNTIL as a date counts to the end of that day, also where DTSTART has a time: RFC 5545 wants the same kind of value
    there, but a date is what people write, and they mean "including". BrokenRuleError says what cannot be read.
    """
    if len(text) > MAX_RULE_CHARS:
        raise BrokenRuleError(f"the rule is longer than {MAX_RULE_CHARS} characters")
    parts: dict[str, str] = {}
    for part in text.strip().strip(";").upper().split(";"):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise BrokenRuleError(f"no rule part: {part[:40]!r}")
        parts[name] = value
    freq = parts.pop("FREQ", None)
    if freq == "SECONDLY":
        raise TooManyError("a rule by the second is no event")
    if freq not in _FREQUENCIES:
        raise BrokenRuleError("FREQ is missing" if freq is None else f"unknown FREQ: {freq[:20]!r}")
    until = parts.pop("UNTIL", None)
    week_start = parts.pop("WKST", "MO")
    if week_start not in _WEEKDAYS:
        raise BrokenRuleError(f"unknown WKST: {week_start[:20]!r}")
    if parts.pop("RSCALE", "GREGORIAN") != "GREGORIAN" or parts.pop("SKIP", "OMIT") != "OMIT":
        raise BrokenRuleError("only the Gregorian calendar is understood (RSCALE, SKIP)")
    interval = _number("INTERVAL", parts.pop("INTERVAL", "1"), 1, 100_000)
    times = _number("COUNT", parts.pop("COUNT", "-1"), -1, 10**9)  # Exchange writes COUNT=-1 for "no end"
    if times == 0:
        raise BrokenRuleError("COUNT is 0")
    by = _by_parts(parts)
    return Rule(
        _FREQUENCIES[freq],
        interval,
        times if times > 0 else None,
        None if until is None else _until(until, is_date=is_date, zone=zone),
        _WEEKDAYS[week_start],
        by,
    )


def _by_parts(parts: dict[str, str]) -> dict[str, Any]:
    from dateutil.rrule import weekday  # type: ignore[import-untyped]

    by: dict[str, Any] = {}
    for name, value in parts.items():
        if name == "BYDAY":
            days = [_BY_DAY.fullmatch(item.strip()) for item in value.split(",")]
            found = [(day[2], int(day[1]) if day[1] else None) for day in days if day is not None]
            if len(found) != len(days) or any(number == 0 for _, number in found):
                raise BrokenRuleError(f"BYDAY cannot be read: {value[:40]!r}")
            by["byweekday"] = [weekday(_WEEKDAYS[day], number) for day, number in dict.fromkeys(found)]
        elif name in _LISTS:
            key, low, high = _LISTS[name]
            by[key] = sorted({_number(name, item, low, high) for item in value.split(",")})
            if low < 0 and 0 in by[key]:
                raise BrokenRuleError(f"{name} cannot be 0")
        elif not name.startswith("X-"):
            raise BrokenRuleError(f"unknown rule part: {name[:40]!r}")
    return by


def _number(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\s*[+-]?\d{1,12}\s*", text):
        raise BrokenRuleError(f"{name} is no number: {text[:40]!r}")
    number = int(text)
    if not low <= number <= high:
        raise BrokenRuleError(f"{name} must lie between {low} and {high}: {number}")
    return number


def _until(text: str, *, is_date: bool, zone: str) -> datetime:
    match = _STAMP.fullmatch(text)
    if match is None:
        raise BrokenRuleError(f"UNTIL cannot be read: {text[:40]!r}")
    day, clock, utc = match.groups()
    try:
        if clock is None:
            return datetime.combine(datetime.strptime(day, "%Y%m%d"), time.max)  # noqa: DTZ007 - wall clock
        local = datetime.strptime(day + clock, "%Y%m%d%H%M%S")  # noqa: DTZ007 - wall clock
        # For a series of dates midnight UTC is somebody's way to write the date itself; any other time is an instant.
        if utc is not None and not (is_date and clock == "000000"):
            local = local.replace(tzinfo=UTC).astimezone(zone_info(zone)).replace(tzinfo=None)
        return datetime.combine(local, time.max) if is_date else local
    except (ValueError, OverflowError):
        raise BrokenRuleError(f"UNTIL cannot be read: {text[:40]!r}") from None


def rule_times(rule: Rule, start: datetime, first: datetime, last: datetime, budget: Budget) -> Iterator[datetime]:
    """The wall-clock times of a rule from `first` to `last` inclusive, in order.

    `start` is DTSTART. Raises TooManyError when the rule is too dense or the budget is used up, BrokenRuleError when
    its parts contradict each other.
    """
    if rule.until is not None:
        last = min(last, rule.until)
    if last < start or last < first:
        return
    # Measured: what a day costs where dateutil looks at its hours or minutes, and at each position of BYSETPOS.
    budget.next_rule({_HOURLY: 3, _MINUTELY: 10}.get(rule.freq, 1) + len(rule.by.get("bysetpos", ())))
    begin, by = _near(rule, start, first)
    times = 1
    if rule.freq < _HOURLY:
        times = len(by.get("byhour", "1")) * len(by.get("byminute", "1")) * len(by.get("bysecond", "1"))
    if times > MAX_A_DAY:
        raise TooManyError(f"the rule fires {times} times a day")
    try:
        expanded = _bounded(rule, begin, by, last, budget)
        yield from _inside(expanded, start, first, last, budget)
    except (BrokenRuleError, TooManyError):
        raise
    except (ValueError, OverflowError, TypeError, IndexError) as error:
        raise BrokenRuleError(f"the rule cannot be expanded: {error}") from None


def _inside(
    expanded: Iterator[datetime], start: datetime, first: datetime, last: datetime, budget: Budget
) -> Iterator[datetime]:
    day, on_day = None, 0
    for moment in expanded:
        if moment > last:
            return
        budget.spend(1)
        on_day = on_day + 1 if moment.date() == day else 1
        day = moment.date()
        if on_day > MAX_A_DAY:
            raise TooManyError(f"the rule fires more than {MAX_A_DAY} times a day")
        if moment >= first and moment >= start:
            yield moment


def _near(rule: Rule, start: datetime, first: datetime) -> tuple[datetime, dict[str, Any]]:
    """Where the expansion may begin instead of at `start`, and the rule parts that `start` implied.

    Whole intervals are skipped, so the phase stays. COUNT counts from DTSTART: then nothing is skipped.
    """
    by = dict(rule.by)
    if rule.times is not None or first <= start:
        return start, by
    if not by.keys() & {"byweekno", "byyearday", "bymonthday", "byweekday"}:
        if rule.freq == 0:
            by.setdefault("bymonth", [start.month])
        if rule.freq <= _MONTHLY:
            by["bymonthday"] = [start.day]
        elif rule.freq == _WEEKLY:
            by["byweekday"] = [start.weekday()]
    if rule.freq <= _MONTHLY:
        months = (first.year - start.year) * 12 + first.month - start.month
        period = rule.interval * (1 if rule.freq == _MONTHLY else 12)
        months = max(months // period - 1, 0) * period
        if months == 0:
            return start, by
        year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
        return start.replace(year=year, month=month + 1 if rule.freq == _MONTHLY else 1, day=1), by
    period_length = _UNITS[rule.freq] * rule.interval
    periods = (first - start) // period_length - 1
    return start + max(periods, 0) * period_length, by


def _bounded(rule: Rule, begin: datetime, by: dict[str, Any], last: datetime, budget: Budget) -> Iterator[datetime]:
    expanded = _bounded_rrule()(
        freq=rule.freq, dtstart=begin, interval=rule.interval, count=rule.times, wkst=rule.week_start, **by
    )
    # One or two calls a month, or a period where that is longer.
    expanded.calls_left = 2 * ((last.year - begin.year) * 12 + last.month - begin.month + 2)
    expanded.budget = budget
    moments = iter(expanded)
    for _ in count():
        try:
            yield next(moments)
        except (StopIteration, _PastEndError):
            return


class _PastEndError(Exception):
    """The rule was followed past the last day that anybody asked for."""


_BOUNDED: list[Any] = []


def _bounded_rrule() -> Any:
    """A dateutil rule that gives up once it is past the end, although it found nothing on the way.

    dateutil looks only at times that match when it compares with UNTIL, so FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30 runs to
    the year 9999. It asks for `_bynweekday` whenever it enters a month (`_iterinfo.rebuild`); there we count.
    """
    if not _BOUNDED:
        from dateutil.rrule import rrule as dateutil_rrule

        class BoundedRule(dateutil_rrule):  # type: ignore[misc]
            calls_left: int | None = None
            budget: Budget | None = None

            @property
            def _bynweekday(self) -> Any:
                if self.calls_left is not None and self.budget is not None:
                    self.calls_left -= 1
                    self.budget.spend(_STEPS_A_PERIOD)
                    if self.calls_left < 0:
                        raise _PastEndError
                return self.__dict__["nth_weekdays"]

            @_bynweekday.setter
            def _bynweekday(self, value: Any) -> None:
                self.__dict__["nth_weekdays"] = value

        _BOUNDED.append(BoundedRule)
    return _BOUNDED[0]
