"""Dates, durations and schedules as schema.org pages write them, as moments of a local calendar.

Belongs here: https://schema.org/DateTime, /Duration and /Schedule. Which property of an event they stand in belongs to
`schema_event.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from ingestion_assets.events.model import FetchWindow, Json, Moment, RejectReason
from ingestion_assets.events.sources.fields import YEARS, RecordFault
from ingestion_assets.events.sources.zones import canonical_zone, zone_or

MAX_OCCURRENCES = 730
"""Two a day for a year. A schedule with more inside one window is a typing error or an attack."""

_LOOSE = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})[T ]\s*(\d{1,2})[:hH](\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*([AaPp])?\.?[Mm]?\.?\s*"
    r"(Z|[+-]\d{1,2}(?::?\d{2})?)?"
)
_SCRIPT_OFFSET = re.compile(r" (?:GMT|UTC)([+-]\d{4})\b.*", re.DOTALL)
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d\d:?\d\d)?")
_DAY_END = re.compile(r"(\d{4}-\d\d-\d\d)[T ]23:59(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")
_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?", re.IGNORECASE
)
_CLOCK = re.compile(r"T?(\d{1,2})[:hH](\d{2})(?::(\d{2}))?(?:\s*([AaPp])\.?[Mm])?")
_WORDS = {"daily": "P1D", "weekly": "P1W", "biweekly": "P2W", "monthly": "P1M", "yearly": "P1Y", "annually": "P1Y"}
_FREQUENCY = re.compile(r"P(\d{1,3})([DWMY])", re.IGNORECASE)
_SMALL = re.compile(r"[0-9]{1,2}")
_LONGEST_COUNTED = timedelta(days=20 * 366)
_DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")


def scalar(value: Json) -> Json:
    """The plain value inside `{"@value": …}` and one-element lists."""
    for _ in range(4):
        if isinstance(value, list):
            value = next((item for item in value if item is not None), None)
        elif isinstance(value, dict) and "@value" in value:
            value = value["@value"]
        else:
            break
    return value


def moment(value: Json, zone: str) -> Moment | None:
    """A schema.org Date or DateTime, None when it is neither.

    Without an offset the time is taken as it stands in `zone`, and marked so. An offset that `zone` does not have at
    that instant means another place: its wall-clock time is kept, in `Etc/GMT±n`. Epoch seconds and milliseconds are
    read too, and the date format of mail.
    """
    value = scalar(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _epoch(value, zone)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if len(text) >= 9 and text.isascii() and text.isdigit():
        return _epoch(int(text[:20]), zone)
    if len(text) <= 10:
        day = _day(text)
        return None if day is None else Moment(day, None, zone)
    try:
        parsed: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        parsed = _loosely(text)
    if parsed is None or parsed.year not in YEARS:
        return None
    if parsed.tzinfo is None:
        return Moment(parsed.date(), parsed.time(), zone, zone_assumed=True)
    return _placed(parsed, zone, utc_means_zone="Z" in text or "+00" in text or "GMT" in text)


def whole_days(start: Json, end: Json) -> tuple[Json, Json]:
    """Start and end as they are written, less their times where these say "all day", from 0:00 to 23:59.

    schema.org has no other way to say it beside a plain date, and The Events Calendar writes it so. The offset goes as
    well: a day is a day on the calendar of its page, also where that page counts its hours in UTC.
    """
    first, last = scalar(start), scalar(end)
    if isinstance(first, str) and isinstance(last, str):
        opens, closes = _MIDNIGHT.fullmatch(first.strip()), _DAY_END.fullmatch(last.strip())
        if opens is not None and closes is not None:
            return opens[1], closes[1]
    return start, end


def duration(value: Json) -> timedelta | None:
    """An ISO 8601 duration of at most a year; a month counts 30 days. None when it is none, or zero."""
    value = scalar(value)
    if not isinstance(value, str) or (match := _DURATION.fullmatch(value.strip())) is None:
        return None
    years, months, weeks, days, hours, minutes, seconds = (min(int(part or 0), 10**6) for part in match.groups())
    span = timedelta(days=years * 365 + months * 30 + weeks * 7 + days, hours=hours, minutes=minutes, seconds=seconds)
    return span if timedelta(0) < span <= timedelta(days=366) else None


def shifted(start: Moment, span: timedelta) -> Moment:
    """The moment `span` after `start`; of a day without a time, the last day that is touched."""
    if start.time is None:
        days = max(0, -(-span // timedelta(days=1)) - 1)
        return replace(start, date=start.date + timedelta(days=days))
    instant = datetime.combine(start.date, start.time, ZoneInfo(start.zone)).astimezone(UTC) + span
    local = instant.astimezone(ZoneInfo(start.zone))
    return replace(start, date=local.date(), time=local.time())


def occurrences(
    schedule: Json, *, first: Moment | None, zone: str, window: FetchWindow
) -> tuple[list[tuple[Moment, Moment | None]], bool]:
    """Start and end of each occurrence of a schema.org Schedule inside `window`, and whether there were too many.

    `first` is the event's own start: it lends the time of day where the schedule has none. Raises `RecordFault` for a
    schedule that cannot be read.
    """
    if not isinstance(schedule, dict):
        raise RecordFault(RejectReason.INVALID_RECURRENCE, "a schedule that is no object")
    zone = zone_or(_text(schedule.get("scheduleTimezone")), zone)
    begin = moment(schedule.get("startDate"), zone) or first
    if begin is None:
        raise RecordFault(RejectReason.INVALID_RECURRENCE, "a schedule without a readable startDate")
    clock = _clock(schedule.get("startTime"), zone) or begin.time or (first.time if first else None)
    close = _clock(schedule.get("endTime"), zone)
    span = duration(schedule.get("duration"))
    skipped = {day.date for day in _moments(schedule.get("exceptDate"), zone)}
    days = (day for day in _days(schedule, begin, zone, window) if day in window and day not in skipped)
    found: list[tuple[Moment, Moment | None]] = []
    for day in islice(days, MAX_OCCURRENCES):
        start = Moment(day, clock, zone, zone_assumed=begin.zone_assumed)
        end: Moment | None = None
        if close is not None and clock is not None:
            end = replace(start, date=day + timedelta(days=close <= clock), time=close)
        elif span is not None:
            end = shifted(start, span)
        found.append((start, end))
    return found, next(days, None) is not None


def _days(schedule: Mapping[str, Any], begin: Moment, zone: str, window: FetchWindow) -> Iterator[date]:
    """The days of the schedule, in order, none before `begin` and none past the window.

    Each day is asked whether the rule means it, instead of the rule for its next day: a rule that means no day at all
    (the 30th of February) then costs no more than any other.
    """
    means = _rule(schedule, begin.date)
    last = moment(schedule.get("endDate"), zone)
    stop = min(last.date + timedelta(days=1) if last else window.end, window.end)
    count = schedule.get("repeatCount")
    left = int(count) if isinstance(count, int | float) and not isinstance(count, bool) and 0 < count < 1e6 else None
    # Only a count makes what lies before the window matter.
    day = max(begin.date, window.start if left is None else stop - _LONGEST_COUNTED)
    while day < stop and left != 0:
        if means(day):
            yield day
            left = None if left is None else left - 1
        day += timedelta(days=1)


def _rule(schedule: Mapping[str, Any], first: date) -> Callable[[date], bool]:
    """Whether the schedule, begun on `first`, means a day. Days before `first` are not asked."""
    by_day = _weekdays(schedule.get("byDay"))
    written = _text(schedule.get("repeatFrequency")) or ("P1W" if by_day else "")
    if not written:
        return lambda day: day == first
    match = _FREQUENCY.fullmatch(_WORDS.get(written.rpartition("/")[2].casefold(), written))
    if match is None or int(match[1]) == 0:
        raise RecordFault(RejectReason.INVALID_RECURRENCE, f"repeatFrequency cannot be read: {written[:60]!r}")
    interval, unit = int(match[1]), match[2].upper()
    months, month_days, weeks = (_numbers(schedule.get(name)) for name in ("byMonth", "byMonthDay", "byMonthWeek"))
    if unit in "MY" and not (by_day or month_days):
        month_days = {first.day}
    if unit == "Y" and not months:
        months = {first.month}
    if unit == "W" and not by_day:
        by_day = {first.weekday()}
    monday = first - timedelta(days=first.weekday())

    def means(day: date) -> bool:
        periods = {
            "D": (day - first).days,
            "W": (day - monday).days // 7,
            "M": (day.year - first.year) * 12 + day.month - first.month,
            "Y": day.year - first.year,
        }[unit]
        return (
            periods % interval == 0
            and (not by_day or day.weekday() in by_day)
            and (not months or day.month in months)
            and (not month_days or day.day in month_days)
            and (not weeks or (day.day - 1) // 7 + 1 in weeks)
        )

    return means


def _epoch(value: float, zone: str) -> Moment | None:
    seconds = value / 1000 if abs(value) >= 1e11 else float(value)
    if not 0 < seconds < 7e9:
        return None
    local = datetime.fromtimestamp(seconds, ZoneInfo(zone))
    return Moment(local.date(), local.time(), zone)


def _day(text: str) -> date | None:
    try:
        parts = text.replace("/", "-").split("-")
        # The year comes first, or the order is anybody's guess.
        day = date(*map(int, parts)) if len(parts[0]) == 4 else date.fromisoformat(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return day if day.year in YEARS else None


def _loosely(text: str) -> datetime | None:
    match = _LOOSE.fullmatch(text)
    if match is None:
        try:
            # JavaScript's own form: Sat Dec 05 2026 19:30:00 GMT-0500 (heure normale de l’Est)
            return parsedate_to_datetime(_SCRIPT_OFFSET.sub(r" \1", text)) if text[:1].isalpha() else None
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    year, month, day, hour, minute = (int(part) for part in match.groups()[:5])
    hour = _hour(hour, match[7])
    try:
        parsed = datetime(year, month, day, hour % 24, minute, int(match[6] or 0))  # noqa: DTZ001 (zone below)
        if hour == 24:
            parsed += timedelta(days=1)
        if match[8]:
            sign, digits = match[8][0], match[8][1:].replace(":", "")
            padded = "00:00" if match[8] == "Z" else digits.zfill(4 if len(digits) > 2 else 2)
            offset = "+00:00" if match[8] == "Z" else sign + padded
            return datetime.fromisoformat(f"{parsed.isoformat()}{offset}")
    except (ValueError, OverflowError):
        return None
    return parsed


def _placed(parsed: datetime, zone: str, *, utc_means_zone: bool) -> Moment | None:
    try:
        local = parsed.astimezone(ZoneInfo(zone))
    except (OverflowError, ValueError):
        return None
    offset = parsed.utcoffset()
    if offset == local.utcoffset() or (utc_means_zone and not offset):
        return Moment(local.date(), local.time(), zone)
    hours = (offset or timedelta(0)) / timedelta(hours=1)
    elsewhere = canonical_zone(f"UTC{hours:+03.0f}:00") if hours.is_integer() else None
    if elsewhere is None:
        return Moment(local.date(), local.time(), zone)
    return Moment(parsed.date(), parsed.time(), elsewhere)


def _moments(value: Json, zone: str) -> Iterator[Moment]:
    for item in islice(value if isinstance(value, list) else [value], 2000):
        found = moment(item, zone)
        if found is not None:
            yield found


def _clock(value: Json, zone: str) -> time | None:
    """A time of day, also on the twelve-hour clock; that of a DateTime on the clocks of `zone`."""
    value = scalar(value)
    if not isinstance(value, str):
        return None
    match = _CLOCK.match(value.strip())
    if match is None:
        found = moment(value, zone)
        return None if found is None else found.time
    hour = _hour(int(match[1]), match[4])
    try:
        return time(hour, int(match[2]), int(match[3] or 0))
    except ValueError:
        return None


def _hour(written: int, half: str | None) -> int:
    """The hour of the day; `half` is the first letter of AM or PM."""
    return written % 12 + 12 * (half in "Pp") if half else written


def _weekdays(value: Json) -> set[int]:
    """Monday is 0. Read are `Monday`, `https://schema.org/Monday`, `MO` and objects named so."""
    names = (_text(item) or "" for item in (value if isinstance(value, list) else [value]))
    starts = (name.rpartition("/")[2].rpartition(":")[2].strip()[:2].casefold() for name in names)
    return {_DAYS.index(start) for start in starts if start in _DAYS}


def _numbers(value: Json) -> set[int]:
    items = value if isinstance(value, list) else [value]
    return {int(item) for item in items if isinstance(item, int) or (isinstance(item, str) and _SMALL.fullmatch(item))}


def _text(value: Json) -> str | None:
    value = scalar(value)
    if isinstance(value, dict):
        value = value.get("name") or value.get("@id")
    return value.strip() if isinstance(value, str) and value.strip() else None
