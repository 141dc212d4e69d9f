"""Reading fields out of JSON that somebody else wrote, where any value may be of any type.

Belongs here: small readers that answer None instead of failing, and the isolation of one record's faults from its
neighbours. What a field means belongs to the source; cleaning of text to `text.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from unicodedata import is_normalized

import orjson

from ingestion_assets.events.model import (
    Event,
    FetchWarning,
    FetchWindow,
    Json,
    Page,
    RejectedRecord,
    RejectReason,
)
from ingestion_assets.events.sources.text import UnstorableError, clean_text, html_to_text, storable
from ingestion_assets.events.sources.zones import canonical_zone

YEARS = range(1900, 2201)
"""Years that an event can plausibly start in. Outside, conversions between zones overflow, and it is a typing error."""

MAX_TITLE_CHARS = 500
MAX_LABEL_CHARS = 300
MAX_URL_CHARS = 2_048
MAX_RECORD_BYTES = 1024 * 1024
"""As JSON. The largest real event record seen has a fiftieth of it."""
_MAX_KEPT_CHARS = 2_000
_EARLIEST_ZONE = timedelta(hours=14)
_LATEST_ZONE = timedelta(hours=12)


class RecordFault(ValueError):  # noqa: N818 (it is about a record; "error" would read as a failure of ours)
    """A record that cannot become an event: why, and what of it could be read."""

    def __init__(
        self, reason: RejectReason, detail: str, *, source_id: str | None = None, day: date | None = None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.source_id = source_id
        self.day = day


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A record that is well formed and not ours to publish: a draft, a test, a private event."""

    code: str


def mapping(value: Json) -> Mapping[str, Json]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: Json) -> list[dict[str, Json]]:
    """The objects in `value` if it is a list; whatever else it holds is passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def first(value: Json) -> Mapping[str, Json]:
    """The first object of a list, else an empty one."""
    return next(iter(objects(value)), {})


def identifier(value: Json) -> str | None:
    """An id as text: a string without surrounding space or an integer. None for anything else."""
    if isinstance(value, str):
        cleaned = value.strip()
        return cleaned if cleaned and cleaned.isprintable() and len(cleaned) <= 200 else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**40 else None
    return None


def number(value: Json) -> float | None:
    """A finite number, also when it is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def coordinates(lat: Json, lon: Json) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees, both or neither. The point 0, 0 is how services spell "unknown"."""
    north, east = number(lat), number(lon)
    if north is None or east is None or abs(north) > 90 or abs(east) > 180 or (north == 0 and east == 0):
        return None, None
    return north, east


def web_url(value: Json) -> str | None:
    """An http or https address, else None."""
    if not isinstance(value, str) or len(value) > MAX_URL_CHARS:
        return None
    text = value.strip()
    if not text.isprintable() or " " in text:
        return None
    return text if text[:8].lower().startswith(("https://", "http://")) else None


def currency(value: Json) -> str | None:
    """An ISO 4217 code, else None."""
    return value.upper() if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha() else None


def language(locale: Json) -> str | None:
    """The ISO 639-1 part of a locale such as `fr-ca` or `en_US`."""
    return _language(locale) if isinstance(locale, str) else None


@lru_cache(maxsize=512)
def _language(locale: str) -> str | None:
    code = locale.replace("_", "-").split("-", 1)[0].lower()
    return code if len(code) == 2 and code.isascii() and code.isalpha() else None


def label(value: Json) -> str | None:
    """A short clean text that many records share: a city, a venue, a category. Remembered, so it is cleaned once."""
    return _label(value) if isinstance(value, str) else clean_text(value, limit=MAX_LABEL_CHARS)


@lru_cache(maxsize=8_192)
def _label(text: str) -> str | None:
    return clean_text(text, limit=MAX_LABEL_CHARS)


def names(values: Iterable[Json]) -> tuple[str, ...]:
    """The distinct labels among `values`, in their order."""
    return tuple(dict.fromkeys([text for value in values if (text := label(value)) is not None]))


def description(parts: Iterable[Json]) -> str | None:
    """The distinct texts among `parts`, markup removed, as paragraphs."""
    texts = [text for part in parts if isinstance(part, str) and part and (text := plain_text(part))]
    if len(texts) > 1:
        texts = list(dict.fromkeys(texts))
    return "\n\n".join(texts) or None


def plain_text(text: str) -> str:
    """`html_to_text`, with a short cut for what is one line of plain text already, as most descriptions are."""
    if "<" not in text and "&" not in text and text.isprintable() and (text.isascii() or is_normalized("NFC", text)):
        # Of all white space, only the plain space is printable.
        return " ".join(text.split()) if "  " in text else text.strip()
    return html_to_text(text)


def calendar_day(value: Json) -> date | None:
    """A day written `YYYY-MM-DD`, of a plausible year."""
    if not isinstance(value, str) or len(value) != 10 or value[7] != "-":
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return None
    return day if day.year in YEARS else None


def clock_time(value: Json) -> time | None:
    """A local time written `HH:MM` or `HH:MM:SS`."""
    if not isinstance(value, str) or not 5 <= len(value) <= 8:
        return None
    try:
        result = time.fromisoformat(value)
    except ValueError:
        return None
    return result if result.tzinfo is None else None


def timestamp(value: Json) -> datetime | None:
    """A date and time in ISO 8601, aware or naive as written, of a plausible year."""
    if not isinstance(value, str) or not 16 <= len(value) <= 40:
        return None
    try:
        result = datetime.fromisoformat(value)
    except ValueError:
        return None
    return result if result.year in YEARS else None


def zone_name(value: Json) -> str | None:
    """The canonical IANA zone that a text means, None when it means none."""
    return canonical_zone(value) if isinstance(value, str) and value else None


def utc_bounds(window: FetchWindow) -> tuple[datetime, datetime]:
    """The instants between which lies every local day of `window`, in whatever zone the venue is.

    A day begins first at UTC+14 and ends last at UTC-12. Services filter by instant; the window means local dates.
    """
    begin = datetime.combine(window.start, time(), UTC) - _EARLIEST_ZONE
    end = datetime.combine(window.end, time(), UTC) + _LATEST_ZONE
    return begin, end


@dataclass(slots=True)
class PageReader:
    """One page in the making: reads records one by one, so that a bad one costs only itself."""

    window: FetchWindow
    records: list[Event | RejectedRecord] = field(default_factory=list)
    written: list[bytes | None] = field(default_factory=list)
    outside: list[Event | RejectedRecord] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(
        self, raw: Json, read: Callable[[dict[str, Json]], Event | LeftOut], *, known_as: str | None = None
    ) -> Event | None:
        """Read `raw` and keep the outcome. The event is returned when it was kept.

        `known_as` is the event's id where that can be told without reading the rest: what is refused without one counts
        as gone, although it is listed.
        """
        outcome, written = _read(raw, read)
        if isinstance(outcome, Event):
            if outcome.start is not None and outcome.start.date not in self.window:
                self.outside.append(outcome)
                return None
            self.records.append(outcome)
            self.written.append(written if outcome.payload is raw else None)
            return outcome
        if isinstance(outcome, LeftOut):
            self.left_out[outcome.code] += 1
            return None
        if outcome.source_id is None:
            outcome = replace(outcome, source_id=known_as)
        if outcome.day is not None and outcome.day not in self.window:
            self.outside.append(outcome)
        else:
            self.records.append(outcome)
            self.written.append(None)
        return None

    def refuse(self, *rejected: RejectedRecord) -> None:
        """Keep what somebody else has found wrong."""
        self.records.extend(rejected)
        self.written.extend(None for _ in rejected)

    @property
    def outside_window(self) -> int:
        """How many records start outside the window."""
        return len(self.outside)

    def page(self, *, warnings: Iterable[FetchWarning] = (), incomplete: str | None = None) -> Page:
        """What was read so far."""
        return Page(
            records=self.records,
            written=self.written,
            warnings=tuple(warnings),
            incomplete=incomplete,
            outside_window=self.outside_window,
            outside=self.outside,
        )


def read_record(raw: Json, read: Callable[[dict[str, Json]], Event | LeftOut]) -> Event | LeftOut | RejectedRecord:
    """The event in `raw`, or why there is none. Never raises, whatever `raw` is.

    `read` raises `RecordFault` for what it foresees. What it does not foresee (a list where text was expected, and the
    like) is the record's fault as well and becomes `unparsable`.
    """
    return _read(raw, read)[0]


def _read(
    raw: Json, read: Callable[[dict[str, Json]], Event | LeftOut]
) -> tuple[Event | LeftOut | RejectedRecord, bytes | None]:
    """The outcome of `read_record`, and `raw` as JSON where it can be stored as it is."""
    if not isinstance(raw, dict):
        detail = f"expected an object, got {type(raw).__name__}"
        return RejectedRecord(reason=RejectReason.NOT_AN_OBJECT, detail=detail, payload=_kept(raw)), None
    try:
        fit, written = _fit(raw)
        return read(fit), written
    except RecordFault as fault:
        rejected = RejectedRecord(
            reason=fault.reason, detail=str(fault), payload=_kept(raw), source_id=fault.source_id, day=fault.day
        )
    except UnstorableError as fault:
        rejected = RejectedRecord(reason=fault.reason, detail=str(fault), payload=_kept(raw))
    except RecursionError:
        rejected = RejectedRecord(reason=RejectReason.TOO_DEEP, detail="nested too deeply", payload=_kept(raw))
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as fault:
        detail = f"{type(fault).__name__} while reading the record"
        rejected = RejectedRecord(reason=RejectReason.UNPARSABLE, detail=detail, payload=_kept(raw))
    return rejected, None


def warnings_of(left_out: Mapping[str, int], what: str) -> Iterator[FetchWarning]:
    """One warning for each reason for which records of `what` were left out, with their number."""
    for code, count in sorted(left_out.items()):
        yield FetchWarning(code, f"{what}: {count} left out")


def _fit(raw: dict[str, Json]) -> tuple[dict[str, Json], bytes | None]:
    """`raw` in a form that can be stored, and as JSON where it is so already.

    Nearly every record is already, and to write it once in C is ten times cheaper than to walk it: what orjson writes
    without complaint is JSON, nested less than 255 deep, free of lone surrogates.
    """
    try:
        written = orjson.dumps(raw)
    except orjson.JSONEncodeError:
        written = b""
    if len(written) > MAX_RECORD_BYTES:
        raise RecordFault(
            RejectReason.TOO_LARGE, f"the record has {len(written)} bytes; {MAX_RECORD_BYTES} are allowed"
        )
    # Looking for the first sign alone costs a tenth, and most records have no backslash at all.
    if written and (b"\\" not in written or b"\\u0000" not in written):
        return raw, written
    fit: dict[str, Json] = storable(raw)
    return fit, None


def _kept(raw: Json) -> Json:
    """`raw` in a form that can be stored beside its reason: itself if possible, else the beginning of its text."""
    try:
        return _fit(raw)[0] if isinstance(raw, dict) else storable(raw)
    except (UnstorableError, RecordFault, RecursionError):
        try:
            text = repr(raw)
        except RecursionError:
            text = type(raw).__name__
        return {"beginning": clean_text(text, limit=_MAX_KEPT_CHARS)}
