"""Which day an event belongs to: the logical day, a night with the evening it began.

Belongs here: the calendar. That nothing reaches across logical days is what makes windows equal the whole run.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingestion_assets.events.deduplication.records import Record

DAY = 1440
_NIGHT_ENDS = 300
_NIGHT_ENDS_LATEST = 480
_DAY_IS_OVER = 18


@lru_cache(maxsize=32_768)
def utc_offset(zone: str | None, day: date) -> int | None:
    """Minutes that local time is ahead of UTC at noon of a day; None for an unknown zone."""
    if not zone:
        return None
    try:
        offset = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).utcoffset()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return None if offset is None else int(offset.total_seconds() // 60)


def _whole_days(record: Record) -> bool:
    """What starts at midnight and ends on a day without a time, at midnight, or late that day is said by the day."""
    end = record.end_time
    if record.end_date is None or record.end_date < record.local_date:
        return False
    return end is None or end.hour >= _DAY_IS_OVER or (end.hour == end.minute == 0)


def logical_day(record: Record, *, no_time_at_midnight: bool = False) -> tuple[int, int, int]:
    """Day number, minutes after that day's midnight (-1: no time) and UTC offset in minutes.

    A night belongs to the evening it began: what starts before 05:00 counts as 24:00..29:00 of the day before. That
    is also where an evening lands whose local time was stored as UTC, so both sightings of it share a logical day.
    West of UTC-5 such evenings land later, and the night ends at as many hours as the zone lies behind UTC, at most 8.
    """
    day = record.local_date.toordinal()
    offset = utc_offset(record.zone, record.local_date)
    known = 0 if offset is None else offset
    clock = record.local_time
    midnight = clock is not None and clock.hour == 0 and clock.minute == 0
    if clock is None or (midnight and (no_time_at_midnight or _whole_days(record))):
        return day, -1, known
    minute = clock.hour * 60 + clock.minute
    if minute < min(max(-known, _NIGHT_ENDS), _NIGHT_ENDS_LATEST):
        return day - 1, minute + DAY, known
    return day, minute, known
