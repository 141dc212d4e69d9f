"""Records out of people's files: JSON lines, CSV or Parquet, checked row by row.

Belongs here: formats, columns, and what is wrong with a row. A bad row is reported with its number and column and
left out; a file that lacks a required column is refused as a whole.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ingestion_assets.events.deduplication.addresses import parse_city, split_place
from ingestion_assets.events.deduplication.records import Key, Record
from ingestion_assets.events.deduplication.venues import parse_venue

REQUIRED = ("source", "source_id", "title", "start_at")
OPTIONAL = (
    "lang",
    "end_at",
    "timezone",
    "venue_name",
    "address",
    "city",
    "lat",
    "lon",
    "url",
    "status",
    "organizer",
    "performers",
)
FORMATS = {".jsonl": "JSON lines", ".ndjson": "JSON lines", ".csv": "CSV", ".parquet": "Parquet"}
_LONGEST = 10_000
"""Characters of one cell that are read; a longer title is no title."""


class UnreadableFileError(ValueError):
    """The file as a whole cannot be used; the message says what to change."""


class _BadCellError(ValueError):
    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that was left out. `row` counts data rows from 1."""

    row: int
    column: str
    message: str


@dataclass(slots=True)
class Table:
    """The usable rows of a file, in file order. A key that stands twice is kept once, with its last row."""

    records: list[Record] = field(default_factory=list)
    rows: int = 0
    repeats: int = 0
    error_count: int = 0
    problems: list[Problem] = field(default_factory=list)
    """The first few of the errors."""


def read_table(path: Path, *, default_zone: str | None = None, shown_problems: int = 20) -> Table:
    """Read a file. UnreadableFileError when its format is unknown, it cannot be parsed, or a required column is missing.

    `start_at` and `end_at` are ISO 8601: a date, a local time, or a time with an offset. An offset is converted to the
    row's `timezone`. Where that is missing, UTC is converted to the zone that most rows of the same city name, of the
    same venue, or of the region around its coordinates; then to `default_zone`, then to the zone of most rows.
    """
    table = Table()
    position: dict[Key, int] = {}
    zones = _Zones()
    unzoned: list[int] = []
    shared: dict[str, str] = {}
    for number, row in enumerate(_rows(path), start=1):
        table.rows += 1
        try:
            record = _record(row, shared)
        except _BadCellError as error:
            table.error_count += 1
            if len(table.problems) < shown_problems:
                table.problems.append(Problem(number, error.column, str(error)))
            continue
        place = position.get(record.key)
        if place is None:
            place = position[record.key] = len(table.records)
            table.records.append(record)
        else:
            table.repeats += 1
            table.records[place] = record
        if record.zone is not None:
            zones.add(record)
        else:
            unzoned.append(place)
    _fill_zones(table.records, unzoned, zones, default_zone)
    return table


class _Zones:
    """Which zone is usual where: told by the rows that name theirs."""

    def __init__(self) -> None:
        self._usual: dict[tuple[str, Any], Counter[str]] = defaultdict(Counter)
        self._everywhere: Counter[str] = Counter()

    def add(self, record: Record) -> None:
        """Count a row, if it names its zone."""
        if record.zone is None:
            return
        self._everywhere[record.zone] += 1
        for clue in _clues(record):
            self._usual[clue][record.zone] += 1

    def of(self, record: Record) -> str | None:
        """The zone of most rows of its city, else of its venue, else of its region on the map."""
        return next((_most(self._usual[clue]) for clue in _clues(record) if clue in self._usual), None)

    def of_most(self) -> str | None:
        """The zone of the file, where most of its rows are in one."""
        zone = _most(self._everywhere)
        return zone if zone and 2 * self._everywhere[zone] > self._everywhere.total() else None


def _clues(record: Record) -> Iterator[tuple[str, Any]]:
    city = parse_city(record.city)
    if city:
        yield "city", city
    venue = parse_venue(record.venue_name, city)
    if venue.core:
        yield "venue", venue.key
    if record.lat is not None and record.lon is not None:
        yield "spot", (round(record.lat), round(record.lon))


def _most(counts: Counter[str]) -> str | None:
    return min(counts, key=lambda zone: (-counts[zone], zone), default=None)


def _fill_zones(records: list[Record], unzoned: list[int], zones: _Zones, default_zone: str | None) -> None:
    from dataclasses import replace

    of_most = zones.of_most()
    for place in unzoned:
        record = records[place]
        if record.zone is not None:
            continue
        zone = zones.of(record) or default_zone or of_most
        if zone is None:
            continue
        instant = record.event.get("instant")
        if isinstance(instant, datetime):
            local = instant.astimezone(ZoneInfo(zone))
            record = replace(record, local_date=local.date(), local_time=local.time(), event=_NO_VALUES)
            ends = records[place].event.get("end_instant")
            if isinstance(ends, datetime):
                ends = ends.astimezone(ZoneInfo(zone))
                record = replace(record, end_date=ends.date(), end_time=ends.time())
        records[place] = replace(record, zone=zone)


_NO_VALUES: Mapping[str, Any] = {}


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UnreadableFileError(f"{path.name}: the format is told by the ending, one of {', '.join(FORMATS)}")
    if not path.is_file():
        raise UnreadableFileError(f"{path}: there is no such file")
    reader = {"JSON lines": _json_rows, "CSV": _csv_rows, "Parquet": _parquet_rows}[kind]
    return reader(path)


def _require(path: Path, columns: set[str]) -> None:
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise UnreadableFileError(
            f"{path.name} has no column {', '.join(missing)}; required are {', '.join(REQUIRED)}, known besides are "
            f"{', '.join(OPTIONAL)}"
        )


def _json_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    import orjson

    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = orjson.loads(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            except orjson.JSONDecodeError as error:
                row = {"": f"the line is no JSON: {error}"}
            yield row if isinstance(row, dict) else {"": "the line is no JSON object"}


def _csv_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    before = csv.field_size_limit(16 * 1024 * 1024)  # of the process: others read files with a limit of their own
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
            separator = max(",;\t", key=head.count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=separator)
            names = [name.strip() for name in next(reader, [])]
            _require(path, set(names))
            for cells in reader:
                if not cells:
                    continue
                if len(cells) > len(names):
                    yield {"": f"the row has {len(cells)} cells, the header {len(names)}"}
                    continue
                yield dict(zip(names, cells, strict=False))
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path.name} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise UnreadableFileError(f"{path.name} is not a readable CSV file: {error}") from error
    finally:
        csv.field_size_limit(before)


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFileError(f"{path.name} is not a readable Parquet file: {error}") from error
    _require(path, set(source.schema_arrow.names))
    wanted = [name for name in (*REQUIRED, *OPTIONAL) if name in source.schema_arrow.names]
    for batch in source.iter_batches(batch_size=20_000, columns=wanted):
        yield from batch.to_pylist()


def _record(row: Mapping[str, Any], shared: dict[str, str]) -> Record:
    """One row's record. While its zone is not known, its start as an instant waits among the event's values."""
    if "" in row and len(row) == 1:
        raise _BadCellError("", str(row[""]))
    source, source_id, title = (_required(row, column) for column in ("source", "source_id", "title"))
    zone = _zone(_text(row, "timezone"))
    day, clock, instant = _moment(row.get("start_at"), "start_at", zone)
    end_day, end_clock, end_instant = None, None, None
    if row.get("end_at") not in (None, ""):
        end_day, end_clock, end_instant = _moment(row["end_at"], "end_at", zone)
    lat, lon = _degrees(row, "lat", 90.0), _degrees(row, "lon", 180.0)

    def once(column: str) -> str | None:
        """Places repeat by the thousand; each is kept once."""
        text = _text(row, column)
        return None if text is None else shared.setdefault(text, text)

    venue_name, address, city = split_place(once("venue_name"), once("address"), once("city"))
    return Record(
        source=shared.setdefault(source, source),
        source_id=source_id,
        title=title,
        local_date=day,
        local_time=clock,
        end_date=end_day,
        end_time=end_clock,
        zone=zone,
        lang=once("lang"),
        venue_name=venue_name,
        address=address,
        city=city,
        # Half a position, or the empty position that some feeds send, is none.
        lat=lat if lon is not None and (lat, lon) != (0.0, 0.0) else None,
        lon=lon if lat is not None and (lat, lon) != (0.0, 0.0) else None,
        url=_text(row, "url"),
        status=once("status"),
        organizer=once("organizer"),
        performers=_people(row.get("performers")),
        content_hash=_digest(row),
        event=_NO_VALUES if instant is None else {"instant": instant, "end_instant": end_instant},
    )


def _digest(row: Mapping[str, Any]) -> str:
    text = "\x1f".join([str(row.get(column) or "") for column in _COLUMNS])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


_COLUMNS = (*REQUIRED, *OPTIONAL)


def _text(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str):
        if isinstance(value, dict | list):
            raise _BadCellError(column, "a text is expected, not a list or an object")
        if isinstance(value, float) and math.isnan(value):  # what a data frame writes for nothing
            return None
        value = str(value)
    return value.strip()[:_LONGEST] or None


def _required(row: Mapping[str, Any], column: str) -> str:
    text = _text(row, column)
    if text is None:
        raise _BadCellError(column, "the cell is empty")
    return text


@lru_cache(maxsize=4_096)
def _canonical_zone(name: str) -> str | None:
    """The IANA zone; calendars also write the names that Windows has, `Eastern Standard Time`."""
    from ingestion_assets.events.sources.zones import canonical_zone

    return canonical_zone(name)


def _zone(name: str | None) -> str | None:
    if name is None:
        return None
    zone = _canonical_zone(name)
    if zone is None:
        raise _BadCellError("timezone", f"{name[:60]!r} is no IANA time zone, such as America/Toronto")
    return zone


def _moment(value: Any, column: str, zone: str | None) -> tuple[date, time | None, datetime | None]:
    """Local day, wall-clock time, and the instant where an offset was given and no zone is known to show it in."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        return value, None, None
    else:
        text = str(value).strip() if value is not None else ""
        if not text:
            raise _BadCellError(column, "the cell is empty")
        try:
            if len(text) == 10:
                return _day(text), None, None
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise _BadCellError(
                column, f"{text[:60]!r} is no ISO 8601 date or time, such as 2026-03-05 or 2026-03-05T20:00"
            ) from None
    if moment.tzinfo is None:
        return moment.date(), moment.time().replace(microsecond=0), None
    if zone is not None:
        moment = moment.astimezone(ZoneInfo(zone))
        return moment.date(), moment.time().replace(microsecond=0), None
    # A real offset is local time already; only UTC says nothing of the place.
    instant = moment.astimezone(UTC) if moment.utcoffset() == timedelta() else None
    return moment.date(), moment.time().replace(microsecond=0), instant


@lru_cache(maxsize=4_096)
def _day(text: str) -> date:
    return date.fromisoformat(text)


def _degrees(row: Mapping[str, Any], column: str, limit: float) -> float | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        degrees = float(value)
    except (TypeError, ValueError):
        raise _BadCellError(column, f"{str(value)[:60]!r} is no number of degrees") from None
    if math.isnan(degrees):
        return None
    if abs(degrees) > limit:
        raise _BadCellError(column, f"{degrees} is outside ±{limit:g} degrees")
    return degrees


def _people(value: Any) -> tuple[str, ...]:
    """Names as a list, or as one text separated by semicolons."""
    if value is None or value == "":
        return ()
    if isinstance(value, list | tuple):
        return tuple(str(name) for name in value if name)
    return tuple(name.strip() for name in str(value).split(";") if name.strip())
