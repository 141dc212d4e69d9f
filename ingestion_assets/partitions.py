"""Weeks: the one partitioning of all event assets, and what may be asked of it.

The partitions reach `INGESTION_HORIZON_WEEKS` ahead, so "the latest partition" is a week far in the future. Nothing
here or elsewhere asks for it: schedules name their weeks, and automation conditions look at the partitions that changed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache

import dagster as dg

from ingestion_assets.events.model import FetchWindow, week_of
from ingestion_assets.settings import AssetSettings

# Marked beta since they appeared: every asset would say so at every start, and Dagster of its own copies of sensors.
warnings.filterwarnings("ignore", message="Parameter `(backfill_policy|owners)` of", category=dg.BetaWarning)

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


@cache
def weekly_partitions() -> dg.WeeklyPartitionsDefinition:
    """Weeks by their Monday, from INGESTION_START_DATE to INGESTION_HORIZON_WEEKS ahead of the running week."""
    settings = AssetSettings()
    return dg.WeeklyPartitionsDefinition(
        start_date=settings.start_date.isoformat(),
        timezone=settings.timezone,
        day_offset=1,  # without it a Dagster week begins on Sunday
        end_offset=settings.horizon_weeks + 1,  # 1 is the running week
    )


def key_of(week: date) -> str:
    """The partition key of a week."""
    return week.isoformat()


def weeks_of(keys: Sequence[str]) -> list[date]:
    """The weeks behind partition keys, in order."""
    return sorted(date.fromisoformat(key) for key in keys)


def window_of(weeks: Sequence[date], zone: str) -> FetchWindow:
    """The local dates that a contiguous, sorted range of weeks covers."""
    return FetchWindow(weeks[0], weeks[-1] + timedelta(days=7), zone)


def range_tags(first: date, last: date) -> dict[str, str]:
    """Run tags that make one run of the weeks from `first` to `last`, both included."""
    return {RANGE_START_TAG: key_of(week_of(first)), RANGE_END_TAG: key_of(week_of(last))}


def coming_weeks(today: date, count: int) -> tuple[date, date]:
    """The first and the last of `count` weeks from the one of `today`."""
    first = week_of(today)
    return first, first + timedelta(weeks=count - 1)


def contiguous(weeks: Sequence[date], *, longest: int | None = None) -> list[tuple[date, date]]:
    """Sorted weeks as ranges without gaps, first and last included, each of at most `longest` weeks."""
    ranges: list[tuple[date, date]] = []
    for week in weeks:
        follows = ranges and week - ranges[-1][1] == timedelta(weeks=1)
        if follows and (longest is None or week - ranges[-1][0] < timedelta(weeks=longest)):
            ranges[-1] = (ranges[-1][0], week)
        else:
            ranges.append((week, week))
    return ranges
