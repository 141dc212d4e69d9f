"""One occurrence of a VEVENT as an event.

Belongs here: which property means what (RFC 5545, RFC 7986, and what Outlook, Apple and WordPress plugins add). When
something happens is decided in `series.py`, what is stored of it in `payload.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from ingestion_assets.events.model import Event, EventStatus, Json, Moment, Price
from ingestion_assets.events.sources.ics.components import Property
from ingestion_assets.events.sources.ics.payload import MAIL, identity, occurrence_payload, record
from ingestion_assets.events.sources.ics.places import read_place
from ingestion_assets.events.sources.ics.values import When, split_list, unescape
from ingestion_assets.events.sources.ics.vevent import Occurrence, VEvent
from ingestion_assets.events.sources.text import clean_text, html_to_text

MAX_TITLE, MAX_DESCRIPTION, MAX_SHORT = 500, 20_000, 300
"""Characters kept of a title, a description, and of a name or category."""

MAX_URL = 2000

_URL = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)(?:$|\?)", re.IGNORECASE)
_AMOUNT = re.compile(r"\d+(?:[.,]\d{1,2})?")
_PERCENT_ENCODED = re.compile(r"[\w.~-]*(?:%[0-9A-F]{2}[\w.~-]*)+", re.ASCII)
_FREE = frozenset({"free", "gratuit", "gratuite", "0", "0.00", "0,00", "entrée libre"})


@dataclass(frozen=True, slots=True)
class _Described:
    """What a VEVENT says of each of its occurrences alike."""

    event: VEvent
    uid: str
    title: str | None
    properties: dict[str, Json]
    fields: dict[str, Any]
    """Arguments of `Event`."""
    warnings: tuple[str, ...]


@dataclass(slots=True)
class Mapper:
    """Turns the occurrences of one feed into events. The VEVENT of a series is read once, not once a date."""

    feed: str
    _last: _Described | None = None

    def to_event(self, occurrence: Occurrence, shown_in: str) -> Event | None:
        """The event; None when neither the VEVENT nor its master has a title."""
        described = self._last
        if described is None or described.event is not occurrence.event:
            described = self._last = self._described(occurrence.event)
        title = described.title or (occurrence.title_from and _title(occurrence.title_from))
        if not title:
            return None
        uid, key = described.uid, occurrence.recurrence
        start = occurrence.start.moment(shown_in)
        warnings = occurrence.warnings + described.warnings
        return Event(
            source_id=uid if key is None else f"{uid}:{key}",
            series_id=None if key is None else uid,
            title=title,
            payload=occurrence_payload(occurrence, described.properties, self.feed, start.zone),
            start=start,
            end=_end(occurrence.end, start, shown_in),
            warnings=warnings,
            **described.fields,
        )

    def _described(self, event: VEvent) -> _Described:
        place = read_place(event)
        conference = _link(event, "CONFERENCE", "X-GOOGLE-CONFERENCE", "X-MICROSOFT-SKYPETEAMSMEETINGURL")
        fields = {
            "status": _status(event),
            "description": _description(event),
            "venue": place.venue,
            "online": place.online or conference is not None,
            "url": _link(event, "URL") or conference or place.url or _attached(event),
            "image_url": _image(event),
            "price": _price(event),
            "organizer": _organizer(event),
            "categories": _categories(event),
            "language": _language(event),
        }
        uid = f"{self.feed}:{identity(event, self.feed)}"
        return _Described(event, uid, _title(event), record(event), fields, place.warnings)


def _plain(text: str) -> str:
    """Some generators write HTML or entities where RFC 5545 wants plain text."""
    return html_to_text(text) if "<" in text or "&" in text else text


def _title(event: VEvent) -> str | None:
    return clean_text(_plain(unescape(event.value("SUMMARY"))), limit=MAX_TITLE)


def _description(event: VEvent) -> str | None:
    for name in ("DESCRIPTION", "X-ALT-DESC", "STYLED-DESCRIPTION"):
        text = clean_text(_plain(unescape(event.value(name))), limit=MAX_DESCRIPTION, lines=True)
        if text is not None:
            return text
    return None


def _end(end: When | None, start: Moment, shown_in: str) -> Moment | None:
    if end is None:
        return None
    if start.time is None:  # exclusive -> the last day
        return Moment(end.day - timedelta(days=1), None, start.zone)
    return replace(end.moment(shown_in), zone_assumed=start.zone_assumed)


def _status(event: VEvent) -> EventStatus:
    if event.cancelled:
        return EventStatus.CANCELLED
    return EventStatus.TENTATIVE if event.value("STATUS").upper() == "TENTATIVE" else EventStatus.SCHEDULED


def _link(event: VEvent, *names: str) -> str | None:
    for name in names:
        for prop in event.all(name):
            match = _URL.search(unescape(prop.value))
            if match is not None and len(match[0]) <= MAX_URL:
                return clean_text(match[0])
    return None


def _is_image(prop: Property) -> bool:
    kind = prop.params.get("FMTTYPE", "").lower()
    return kind.startswith("image/") or (not kind and _IMAGE_NAME.search(prop.value) is not None)


def _image(event: VEvent) -> str | None:
    candidates = [*event.all("IMAGE"), *(prop for prop in event.all("ATTACH") if _is_image(prop))]
    for prop in [*candidates, *event.all("X-WP-IMAGES-URL")]:
        match = _URL.search(unescape(prop.value))
        if match is not None and len(match[0]) <= MAX_URL:
            return clean_text(match[0])
    return None


def _attached(event: VEvent) -> str | None:
    for prop in event.all("ATTACH"):
        match = None if _is_image(prop) else _URL.match(prop.value.strip())
        if match is not None and len(match[0]) <= MAX_URL:
            return clean_text(match[0])
    return None


def _organizer(event: VEvent) -> str | None:
    for prop in event.all("ORGANIZER"):
        written = prop.params.get("CN", "")
        if _PERCENT_ENCODED.fullmatch(written):  # The Events Calendar, of WordPress, takes it for part of an address
            written = unquote(written)
        name = clean_text(_plain(unescape(written)), limit=MAX_SHORT)
        if name is not None and not MAIL.search(name):
            return name
    return None


def _categories(event: VEvent) -> tuple[str, ...]:
    names = (
        clean_text(_plain(unescape(item)), limit=MAX_SHORT)
        for prop in event.all("CATEGORIES")
        for item in split_list(prop.value)
    )
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _language(event: VEvent) -> str | None:
    for name in ("SUMMARY", "DESCRIPTION"):
        prop = event.first(name)
        code = "" if prop is None else prop.params.get("LANGUAGE", "").partition("-")[0].strip().lower()
        if len(code) == 2 and code.isascii() and code.isalpha():
            return code
    return None


def _price(event: VEvent) -> Price | None:
    text = clean_text(unescape(event.value("X-COST")), limit=MAX_SHORT)
    if text is None:
        return None
    if text.casefold() in _FREE:
        return Price(free=True, minimum=0, maximum=0)
    amounts = [float(amount.replace(",", ".")) for amount in _AMOUNT.findall(text)]
    currency = clean_text(event.value("X-COST-CURRENCY"))
    return Price(free=False, minimum=min(amounts), maximum=max(amounts), currency=currency) if amounts else None
