"""Rows of the staging tables as PostgreSQL reads them: the binary format of COPY.

A driver looks up how to write each of a row's values; here the columns are known, what comes from a start is written
once for all events that share it, and a row is one join. The format: PostgreSQL manual, COPY, "Binary Format"; days and
microseconds count from 2000-01-01. What goes into which table is `loading_statements.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from struct import Struct

from ingestion_assets.events.model import EventStatus, Moment, Precision, week_of

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_BLOCK_BYTES = 100_000
"""What is handed to the driver at once; it cuts what is longer than 128 KiB."""

_NULL = b"\xff\xff\xff\xff"
_FIRST_DAY = date(2000, 1, 1).toordinal()
_FIRST_LOCAL = datetime(2000, 1, 1)  # noqa: DTZ001 - the local time of a place, as `Moment.local` is
_FIRST_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_length = Struct(">i").pack
_day = Struct(">ii").pack
_time = Struct(">iq").pack
_key_head = Struct(">hiii").pack
_event_head = Struct(">hi").pack


def blocks(rows: Iterable[bytes]) -> Iterator[bytearray]:
    """The whole of a COPY, in pieces of a good size."""
    block = bytearray(_SIGNATURE)
    for row in rows:
        block += row
        if len(block) >= _BLOCK_BYTES:
            yield block
            block = bytearray()
    block += _TRAILER
    yield block


def key_row(ordinal: int, source_id: str, content_hash: bytes, week: date | None) -> bytes:
    """A row of `stage_keys`. Raises UnicodeEncodeError for half a surrogate pair."""
    name = source_id.encode()
    head = _key_head(4, 4, ordinal, len(name))
    return b"".join((head, name, _length(len(content_hash)), content_hash, _day_column(week)))


def event_row(
    source_id: str,
    content_hash: bytes,
    start: Moment | None,
    status: EventStatus,
    title: str,
    event: bytes,
    payload: bytes,
) -> bytes:
    """A row of `stage_rows`; `event` and `payload` are JSON in UTF-8. Raises UnicodeEncodeError as `key_row` does."""
    name, shown = source_id.encode(), title.encode()
    return b"".join(
        (
            *(_event_head(12, len(name)), name, _length(len(content_hash)), content_hash, _start_columns(start)),
            *(_text_column(status.value), _length(len(shown)), shown),
            *(_length(len(event)), event, _length(len(payload)), payload),
        )
    )


@lru_cache(maxsize=4_096)
def _start_columns(start: Moment | None) -> bytes:
    """Week, local date, local time, instant, zone and precision."""
    if start is None:
        return _NULL * 5 + _text_column(Precision.TBA.value)
    local, instant = start.local, start.utc
    return b"".join(
        (
            *(_day_column(week_of(start.date)), _day_column(start.date)),
            _NULL if local is None else _time(8, (local - _FIRST_LOCAL) // _MICROSECOND),
            _NULL if instant is None else _time(8, (instant - _FIRST_INSTANT) // _MICROSECOND),
            *(_text_column(start.zone), _text_column(start.precision.value)),
        )
    )


@lru_cache(maxsize=4_096)
def _day_column(day: date | None) -> bytes:
    return _NULL if day is None else _day(4, day.toordinal() - _FIRST_DAY)


@lru_cache(maxsize=1_024)
def _text_column(text: str) -> bytes:
    """A text that many rows share."""
    written = text.encode()
    return _length(len(written)) + written
