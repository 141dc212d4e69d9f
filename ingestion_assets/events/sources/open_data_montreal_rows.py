"""One row of Montréal's public events as an event: what the columns mean, and how their cells look at their worst.

Belongs here: the map from columns to `Event`, pure. Where the rows come from belongs to `open_data_montreal.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

from ingestion_assets.events.model import (
    Event,
    EventStatus,
    FetchWindow,
    Json,
    Moment,
    Price,
    RejectedRecord,
    RejectReason,
    Venue,
)
from ingestion_assets.events.sources.encoding import REPLACEMENT, repair_mojibake
from ingestion_assets.events.sources.tabular import column_name
from ingestion_assets.events.sources.text import UnstorableError, clean_text, html_to_text, storable

ZONE = "America/Toronto"
REQUIRED = ("titre", "url_fiche", "date_debut")
"""Without these columns there is no event; every other one may be absent."""

_TRAILING_NUMBER = re.compile(r"(?:^|[-/])(\d+)/?$")
_YEAR = re.compile(r"(?:19|20)\d\d")
_CANCELLED = re.compile(r"^\W*annul[ée]", re.IGNORECASE)
_POSTPONED = re.compile(r"^\W*report[ée]", re.IGNORECASE)
_LOST_LETTERS = re.compile(f"\\s*{REPLACEMENT}+\\s*")
_LIST = re.compile(r"\s*[,;|]\s*")


def parse(record: Json, window: FetchWindow, *, repaired: bool = False) -> Event | RejectedRecord | None:
    """One row as an event, a rejected record with its reason, or None when it begins outside `window`.

    `repaired`: the bytes of the row were not UTF-8 and have been read another way, which is noted as a warning.
    """
    if not isinstance(record, dict):
        return RejectedRecord(
            reason=RejectReason.NOT_AN_OBJECT, detail="a row that is no object", payload=_kept(record)
        )
    if not all(name in record for name in REQUIRED):
        record = {column_name(key) if key != "_id" else key: value for key, value in record.items()}
    try:
        payload = storable(record)
    except UnstorableError as error:
        return RejectedRecord(reason=error.reason, detail=str(error), payload=None)
    row = _Cells(payload, repaired)
    day = _day(payload.get("date_debut"))
    if day is not None and day not in window:
        return None
    url = row.text("url_fiche")
    source_id = _source_id(url) if url else None
    title = row.text("titre")
    fault = _fault(payload, source_id, title, day)
    if fault is not None:
        reason, detail = fault
        return RejectedRecord(reason=reason, detail=detail, payload=payload, source_id=source_id, day=day)
    assert source_id is not None  # noqa: S101 (what `_fault` has just said, for the type checker)
    assert title is not None  # noqa: S101
    assert day is not None  # noqa: S101
    end = _day(payload.get("date_fin"))
    if end is not None and end < day:
        row.warnings.append("end_before_start")
        end = None
    online = _is_online(row.text("emplacement"))
    borough = row.text("arrondissement", dash=True)
    description = payload.get("description")
    text = html_to_text(repair_mojibake(description)) if isinstance(description, str) else None
    if isinstance(description, str) and (REPLACEMENT in description or repair_mojibake(description) is not description):
        row.note(damaged=REPLACEMENT in description)
    return Event(
        source_id=source_id,
        title=title,
        payload=payload,
        start=Moment(day, None, ZONE),
        end=Moment(end, None, ZONE) if end else None,
        status=_status(title),
        description=None if not text or text == "nan" else text,
        venue=None if online else _venue(row),
        online=online,
        url=url,
        price=_price(row.text("cout")),
        organizer=f"Ville de Montréal – {borough}"
        if borough and borough != "Ville de Montréal"
        else "Ville de Montréal",
        categories=_list(row.text("type_evenement")),
        audience=_list(row.text("public_cible")),
        language="fr",
        warnings=tuple(dict.fromkeys(row.warnings)),
    )


@dataclass(slots=True)
class _Cells:
    """The cells of one row as clean text, with the repairs that this took."""

    record: Mapping[str, Any]
    repaired: bool
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.repaired:
            self.warnings.append("encoding_repaired")

    def text(self, column: str, *, dash: bool = False) -> str | None:
        """`dash`: lost letters in this column can only have been the en dash between two names."""
        value = self.record.get(column)
        if value in (None, "", "nan"):
            return None
        if isinstance(value, str) and not value.isascii():
            original = value
            value = repair_mojibake(value)
            if REPLACEMENT in value and dash:
                value = _LOST_LETTERS.sub("–", value)
            if value is not original:
                self.note(damaged=False)
            if REPLACEMENT in value:
                self.note(damaged=True)
        return clean_text(value)

    def number(self, column: str) -> float | None:
        value = self.record.get(column)
        if value is None or isinstance(value, bool):
            return None
        try:
            return float(value.replace(",", ".") if isinstance(value, str) else value)
        except (TypeError, ValueError, OverflowError):
            return None

    def note(self, *, damaged: bool) -> None:
        self.warnings.append("encoding_damaged" if damaged else "encoding_repaired")


def _fault(
    record: Mapping[str, Any], source_id: str | None, title: str | None, day: date | None
) -> tuple[RejectReason, str] | None:
    if source_id is None:
        return RejectReason.MISSING_ID, "no url_fiche, which is what identifies an event of this data set"
    if title is None:
        return RejectReason.MISSING_TITLE, "no titre"
    if day is not None:
        return None
    written = clean_text(record.get("date_debut"), limit=60)
    if written is None:
        return RejectReason.MISSING_START, "no date_debut"
    return RejectReason.INVALID_START, f"date_debut is not a date: {written!r}"


def _source_id(url: str) -> str:
    """The number at the end of the page's address, which outlives changes of its words; else the address.

    Four digits that look like a year are part of the words.
    """
    found = _TRAILING_NUMBER.search(urlsplit(url).path)
    if found is None or _YEAR.fullmatch(found[1]):
        return url
    return found[1]


def _day(value: object) -> date | None:
    """The calendar day of a cell: `2026-12-05`, also with a time (exports append midnight) or with slashes."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        if len(text) == 10:
            return date.fromisoformat(text.replace("/", "-"))
        if len(text) > 10 and text[4] in "-/":
            return datetime.fromisoformat(text.replace("/", "-")).date()
    except ValueError:
        return None
    return None


def _status(title: str) -> EventStatus:
    """The data set has no column for it; the city writes it before the title."""
    if title[:1] in "AaRr[(*«" or not title[:1].isalnum():
        if _CANCELLED.match(title):
            return EventStatus.CANCELLED
        if _POSTPONED.match(title):
            return EventStatus.POSTPONED
    return EventStatus.SCHEDULED


def _is_online(place: str | None) -> bool:
    return place is not None and place.casefold().startswith("en ligne")


def _venue(row: _Cells) -> Venue:
    lat, lon = row.number("lat"), row.number("long")
    if lat is None or lon is None or not (-90 <= lat <= 90 and -180 <= lon <= 180) or (lat == 0 and lon == 0):
        lat = lon = None
    address = [part for part in (row.text("adresse_principale"), row.text("adresse_secondaire")) if part]
    return Venue(
        name=row.text("titre_adresse"),
        address=", ".join(address) or None,
        city="Montréal",
        region="QC",
        postal_code=row.text("code_postal"),
        country="CA",
        lat=lat,
        lon=lon,
    )


def _price(cost: str | None) -> Price | None:
    if cost is None:
        return None
    if cost.casefold().startswith("gratuit"):
        return Price(free=True, minimum=0.0, maximum=0.0, currency="CAD")
    return Price(free=False, currency="CAD")


def _list(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(dict.fromkeys(part for part in _LIST.split(value) if part))


def _kept(value: Json) -> Json:
    try:
        return storable(value)
    except UnstorableError:
        return None
