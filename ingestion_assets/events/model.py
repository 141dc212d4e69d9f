"""The values that events are made of, from a source's parser to the database.

Belongs here: plain, typed, immutable values and the rules that hold for every source. Parsing belongs to
`sources/`, storage to `loading.py`. Imports neither Dagster nor SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

Json = Any
"""A value made of dict, list, str, int, float, bool and None only."""


class Precision(StrEnum):
    """How much is known of when an event starts."""

    DATETIME = "datetime"
    DATE = "date"
    TBA = "tba"


class EventStatus(StrEnum):
    """What the organiser says of the event. A record that vanished from its feed is *withdrawn*: ours to say."""

    SCHEDULED = "scheduled"
    TENTATIVE = "tentative"
    RESCHEDULED = "rescheduled"
    POSTPONED = "postponed"
    CANCELLED = "cancelled"


class RejectReason(StrEnum):
    """Why a record was not stored as an event. A closed list: dashboards and checks group by it."""

    NOT_AN_OBJECT = "not_an_object"
    MISSING_ID = "missing_id"
    MISSING_TITLE = "missing_title"
    MISSING_START = "missing_start"
    INVALID_START = "invalid_start"
    INVALID_VALUE = "invalid_value"
    INVALID_RECURRENCE = "invalid_recurrence"
    TOO_MANY_OCCURRENCES = "too_many_occurrences"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    UNSTORABLE_TEXT = "unstorable_text"
    UNPARSABLE = "unparsable"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in the local calendar of an event. A missing time stays missing; midnight is never invented."""

    date: date
    time: time | None
    """Local wall-clock time, naive; None when only the day is known."""
    zone: str
    """IANA name, canonical (`America/Toronto`, not `America/Montreal`)."""
    zone_assumed: bool = False
    """The source named no zone, or one that nobody knows, and its default was taken."""

    def __hash__(self) -> int:
        # Asked for several times for each event. The zone says little: most of a platform's starts share it.
        return hash((self.date, self.time))

    @property
    def precision(self) -> Precision:
        return Precision.DATE if self.time is None else Precision.DATETIME

    @property
    def local(self) -> datetime | None:
        """Naive local wall-clock time, None when only the day is known."""
        return None if self.time is None else datetime.combine(self.date, self.time)

    @property
    def utc(self) -> datetime | None:
        """The instant, aware in UTC; None when only the day is known. In a DST fold the first pass is taken."""
        local = self.local
        return None if local is None else _instant(local, self.zone)


@lru_cache(maxsize=4_096)
def _instant(local: datetime, zone: str) -> datetime:
    """Remembered: each start is asked for several times, and many events begin together.

    `fold` is dropped here. It is no part of equality, of this cache's key as of others', nor of what is stored, so
    that the pass of whichever record came first would be taken for all.
    """
    return local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """Where. Every field may be missing; `lat`/`lon` are WGS 84 degrees and both or neither are set."""

    name: str | None = None
    address: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None
    lat: float | None = None
    lon: float | None = None
    source_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a ticket costs, in major units of `currency` (ISO 4217). `free` is None when the source does not say."""

    free: bool | None = None
    minimum: float | None = None
    maximum: float | None = None
    currency: str | None = None


@dataclass(slots=True, kw_only=True)  # not frozen, unlike its parts: to make a frozen one costs three times as much
class Event:
    """One event of one source. `(source, source_id)` is its key, so type and occurrence belong inside `source_id`."""

    source_id: str
    title: str
    payload: Mapping[str, Json]
    """The record as the source gave it, as JSON. Its hash, less the source's volatile paths, decides `updated`."""
    start: Moment | None = None
    """None: not announced yet (`tba`). Kept raw, outside deduplication, until dated."""
    end: Moment | None = None
    """Inclusive last day when only a day is known."""
    status: EventStatus = EventStatus.SCHEDULED
    description: str | None = None
    """Clean text, no markup."""
    venue: Venue | None = None
    online: bool = False
    url: str | None = None
    image_url: str | None = None
    price: Price | None = None
    organizer: str | None = None
    performers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    language: str | None = None
    """ISO 639-1 code of the text, where the source says so."""
    series_id: str | None = None
    """What the source calls the series, run or recurring event that this one is an occurrence of."""
    warnings: tuple[str, ...] = ()
    """Repairs and assumptions made while parsing, as stable codes such as `zone_assumed`."""

    @property
    def precision(self) -> Precision:
        return Precision.TBA if self.start is None else self.start.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRecord:
    """A record that could not become an event, kept with its reason so that nothing is dropped silently."""

    reason: RejectReason
    detail: str
    """What was wrong, in a sentence, without secrets."""
    payload: Json
    source_id: str | None = None
    day: date | None = None
    """The local start date where it could be read: it decides the partition that counts the record."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A record outside the window that is read only where its event is known inside.

    Of a calendar that holds ten years, or a data set that comes whole, nearly none is.
    """

    source_id: str | None
    read: Callable[[], Event | RejectedRecord | None]
    """None: a record that is not to be shown, as if it were not listed."""


@dataclass(frozen=True, slots=True)
class FetchWarning:
    """Something worth knowing about a fetch as a whole: a feed that did not answer, a group that is gone."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one step of a fetch brought. Pages stream: none of them holds more than a few thousand records."""

    records: Sequence[Event | RejectedRecord]
    written: Sequence[bytes | None] = ()
    """The payloads of `records` as JSON, where their reader wrote them to check them: they need not be written again.
    Empty, or as long as `records`."""
    warnings: Sequence[FetchWarning] = ()
    incomplete: str | None = None
    """Why events of the window may be missing from the fetch although it ended well. Then nothing is withdrawn."""
    outside_window: int = 0
    """Records that the service returned although their start lies outside the window: seen, not part of this fetch."""
    outside: Sequence[Event | RejectedRecord | Unread] = ()
    """Those of them that the source can hand on: a known event of the window that is among them was moved, not withdrawn."""


@dataclass(frozen=True, slots=True)
class FetchWindow:
    """The local start dates to fetch, `start` inclusive, `end` exclusive, in the platform's time zone `zone`."""

    start: date
    end: date
    zone: str

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"an empty window: {self.start} is not before {self.end}")

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def days(self) -> Iterator[date]:
        for offset in range((self.end - self.start).days):
            yield self.start + timedelta(days=offset)


@lru_cache(maxsize=4_096)
def week_of(day: date) -> date:
    """The Monday of the week that `day` lies in: the partition of an event that starts on `day`."""
    return day - timedelta(days=day.weekday())
