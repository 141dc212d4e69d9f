"""One row of Montréal's public events as an event: what the columns mean, and how their cells look at their worst.

Belongs here: the map from columns to `Event`, pure. Where the rows come from belongs to `open_data_montreal.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

from ingestion_assets.events.model import (
    Event,
    EventStatus,
    FetchWindow,
    Json,
    Moment,
    Price,
    RejectedRecord,
    RejectReason,
    Unread,
    Venue,
)
from ingestion_assets.events.sources.encoding import REPLACEMENT, repair_mojibake
from ingestion_assets.events.sources.fields import MAX_TITLE_CHARS, coordinates, web_url
from ingestion_assets.events.sources.tabular import column_name
from ingestion_assets.events.sources.text import UnstorableError, clean_text, html_to_text, storable

ZONE = "America/Toronto"
MAX_ID_CHARS = 500
REQUIRED = ("titre", "url_fiche", "date_debut")
"""Without these columns there is no event; every other one may be absent."""

_ADDRESS = re.compile(r"https?://[^\s\",;|]+")
_TRAILING_NUMBER = re.compile(r"(?:^|[-/])(\d+)/?$")
_YEAR = re.compile(r"(?:19|20)\d\d")
# Capitals often go without their accents. In small letters an `e` without one makes another form of the verb.
_CANCELLED = re.compile(r"^\W*(?:annulée?s?|(?-i:ANNULEE?S?))\b", re.IGNORECASE)
_POSTPONED = re.compile(r"^\W*(?:reportée?s?|(?-i:REPORTEE?S?))\b", re.IGNORECASE)
_LOST_LETTERS = re.compile(f"\\s*{REPLACEMENT}+\\s*")
_LIST = re.compile(r"\s*[,;|]\s*")


def parse(record: Json, window: FetchWindow, *, repaired: bool = False) -> Event | RejectedRecord | Unread:
    """One row as an event or a rejected record with its reason; still to be read when it begins outside `window`.

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
    url = row.text("url_fiche")
    source_id = _source_id(url) if url else None
    if day is not None and day not in window:
        return Unread(source_id, partial(_record, row, payload, day, url, source_id))
    return _record(row, payload, day, url, source_id)


def _record(
    row: _Cells, payload: dict[str, Json], day: date | None, url: str | None, source_id: str | None
) -> Event | RejectedRecord:
    title = clean_text(row.text("titre"), limit=MAX_TITLE_CHARS)
    if source_id is None or title is None or day is None:
        return _refused(payload, source_id, title, day)
    end = _day(payload.get("date_fin"))
    if end is not None and end < day:
        row.warnings.append("end_before_start")
        end = None
    online = _is_online(row.text("emplacement"))
    borough = row.text("arrondissement", dash=True)
    organizer = "Ville de Montréal" if borough in (None, "Ville de Montréal") else f"Ville de Montréal – {borough}"
    return Event(
        source_id=source_id,
        title=title,
        payload=payload,
        start=Moment(day, None, ZONE),
        end=Moment(end, None, ZONE) if end else None,
        status=_status(title),
        description=row.markup("description"),
        venue=None if online else _venue(row),
        online=online,
        url=web_url(url),
        price=_price(row.text("cout")),
        organizer=organizer,
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
        if not isinstance(value, str):
            return clean_text(value)
        # Most cells are one of a few dozen words; long ones are seen once.
        text, warnings = (_cleaned if len(value) <= 80 else _cleaned.__wrapped__)(value, dash)
        self.warnings.extend(warnings)
        return text

    def markup(self, column: str) -> str | None:
        """Text of a cell that may hold HTML."""
        value = self.record.get(column)
        if not isinstance(value, str):
            return None
        repaired = repair_mojibake(value)
        if repaired is not value:
            self.warnings.append("encoding_repaired")
        if REPLACEMENT in repaired:
            self.warnings.append("encoding_damaged")
        text = html_to_text(repaired)
        return text if text not in ("", "nan") else None

    def number(self, column: str) -> float | None:
        value = self.record.get(column)
        if value is None or isinstance(value, bool):
            return None
        try:
            return float(value.replace(",", ".") if isinstance(value, str) else value)
        except (TypeError, ValueError, OverflowError):
            return None


@lru_cache(maxsize=4096)
def _cleaned(value: str, dash: bool) -> tuple[str | None, tuple[str, ...]]:
    """Clean text of a cell, and what had to be repaired for it."""
    warnings: list[str] = []
    repaired = repair_mojibake(value)
    if dash and REPLACEMENT in repaired:
        repaired = _LOST_LETTERS.sub("–", repaired)
    if repaired is not value:
        warnings.append("encoding_repaired")
    if REPLACEMENT in repaired:
        warnings.append("encoding_damaged")
    return clean_text(repaired), tuple(warnings)


def _refused(record: Mapping[str, Any], source_id: str | None, title: str | None, day: date | None) -> RejectedRecord:
    """The record with the first thing that it lacks."""
    written = clean_text(record.get("date_debut"), limit=60)
    if source_id is None:
        reason, detail = RejectReason.MISSING_ID, "no url_fiche, which is what identifies an event of this data set"
    elif title is None:
        reason, detail = RejectReason.MISSING_TITLE, "no titre"
    elif written is None:
        reason, detail = RejectReason.MISSING_START, "no date_debut"
    else:
        reason, detail = RejectReason.INVALID_START, f"date_debut is not a date: {written!r}"
    return RejectedRecord(reason=reason, detail=detail, payload=record, source_id=source_id, day=day)


def _source_id(url: str) -> str:
    """The number at the end of the page's address, which outlives changes of its words; else the address.

    Four digits that look like a year are part of the words.
    """
    found = _TRAILING_NUMBER.search(url.partition("#")[0].partition("?")[0])
    if found is not None and len(found[1]) <= 20 and not _YEAR.fullmatch(found[1]):
        return found[1]
    # A key has to fit a database index; an address of this length is damage, but one that can be kept.
    return url if len(url) <= MAX_ID_CHARS else f"sha256:{sha256(url.encode()).hexdigest()}"


def id_in(text: str) -> str | None:
    """The id of the event whose page a damaged row names."""
    found = _ADDRESS.search(text)
    return None if found is None else _source_id(found[0])


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
    lat, lon = coordinates(row.number("lat"), row.number("long"))
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
