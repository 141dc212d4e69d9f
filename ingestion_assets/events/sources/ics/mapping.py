"""One occurrence of a VEVENT as an event.

Belongs here: which property means what (RFC 5545, RFC 7986, and what Outlook, Apple and WordPress plugins add), and the
payload that is stored. When something happens is decided in `series.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

from ingestion_assets.events.model import Event, EventStatus, Json, Moment, Price
from ingestion_assets.events.sources.ics.components import Property
from ingestion_assets.events.sources.ics.places import Place, read_place
from ingestion_assets.events.sources.ics.values import When, split_list, unescape
from ingestion_assets.events.sources.ics.vevent import Occurrence, VEvent
from ingestion_assets.events.sources.text import clean_text, html_to_text

MAX_TITLE, MAX_DESCRIPTION, MAX_SHORT = 500, 20_000, 300
"""Characters kept of a title, a description, and of a name or category."""

MAX_URL = 2000
MAX_VALUE = 64 * 1024
"""Characters of one property kept in the payload; longer ones are images written into the file."""

_SERIES_ONLY = frozenset({"RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID", "DTSTART", "DTEND", "DURATION"})
"""Left out of an occurrence's payload, or replaced by its own: one more EXDATE must not update the whole series."""

_PEOPLE = frozenset({"ATTENDEE", "CONTACT"})
"""Left out of every payload: who else is invited is personal data, and no part of the event."""

_MAIL_PARAMS = frozenset({"EMAIL", "SENT-BY", "DIR", "X-EMAIL"})
_MAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
_URL = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)(?:$|\?)", re.IGNORECASE)
_AMOUNT = re.compile(r"\d+(?:[.,]\d{1,2})?")
_FREE = frozenset({"free", "gratuit", "gratuite", "0", "0.00", "0,00", "entrée libre"})


def to_event(occurrence: Occurrence, feed: str, shown_in: str) -> Event | str:
    """The event, or a sentence that says why there is none (it has no title)."""
    event = occurrence.event
    title = _title(event) or (occurrence.title_from and _title(occurrence.title_from))
    if not title:
        return "the event has no SUMMARY"
    place = read_place(event)
    conference = _link(event, "CONFERENCE", "X-GOOGLE-CONFERENCE", "X-MICROSOFT-SKYPETEAMSMEETINGURL")
    uid = f"{feed}:{identity(event, feed)}"
    start = occurrence.start.moment(shown_in)
    return Event(
        source_id=uid if occurrence.recurrence is None else f"{uid}:{occurrence.recurrence}",
        series_id=None if occurrence.recurrence is None else uid,
        title=title,
        payload=payload(occurrence, feed, shown_in),
        start=start,
        end=_end(occurrence.end, start, shown_in),
        status=_status(event),
        description=_description(event),
        venue=place.venue,
        online=place.online or conference is not None,
        url=_link(event, "URL") or conference or place.url or _attached(event),
        image_url=_image(event),
        price=_price(event),
        organizer=_organizer(event),
        categories=_categories(event),
        language=_language(event),
        warnings=_warnings(occurrence, place),
    )


def identity(event: VEvent, feed: str) -> str:
    """The UID as it goes into `source_id`; without one, a hash of what tells the event from others of its feed."""
    uid = clean_text(unescape(event.value("UID")))
    if uid is None:
        told_by = "\x1f".join((feed, event.value("SUMMARY"), event.value("DTSTART"), event.value("LOCATION")))
        return f"sha256-{sha256(told_by.encode()).hexdigest()[:32]}"
    # An index row of PostgreSQL holds 2,700 bytes.
    return uid if len(uid) <= 255 else f"{uid[:64]}-sha256-{sha256(uid.encode()).hexdigest()[:32]}"


def payload(occurrence: Occurrence, feed: str, shown_in: str) -> dict[str, Json]:
    """The properties of one occurrence as JSON, with what the calendar as a whole adds to their meaning.

    Names are sorted. A property without parameters is its value as written; with parameters it is an object; a
    repeated one is a list. Mail addresses are left out.
    """
    properties = record(occurrence.event)
    if occurrence.recurrence is not None:
        for name in _SERIES_ONLY:
            properties.pop(name, None)
        properties["RECURRENCE-ID"] = occurrence.recurrence
        properties["DTSTART"] = _written(occurrence.start)
        if occurrence.end is not None:
            properties["DTEND"] = _written(occurrence.end)
        if occurrence.title_from is not None and "SUMMARY" not in properties:
            properties["SUMMARY"] = occurrence.title_from.value("SUMMARY")
    calendar = {"feed": feed, "zone": occurrence.start.moment(shown_in).zone}
    if (method := occurrence.event.raw.calendar.get("METHOD")) is not None:
        calendar["method"] = method.upper()
    return {"calendar": calendar, **dict(sorted(properties.items()))}


def record(event: VEvent) -> dict[str, Json]:
    """The properties of a VEVENT as JSON, without mail addresses; lines that are no properties are under `?`."""
    found: dict[str, list[Json]] = {}
    for prop in event.properties:
        if prop.name not in _PEOPLE:
            found.setdefault(prop.name, []).append(_stored(prop))
    properties: dict[str, Json] = {name: values[0] if len(values) == 1 else values for name, values in found.items()}
    if event.unreadable:
        properties["?"] = [_MAIL.sub("…", line[:200]) for line in event.unreadable[:20]]
    return properties


def _stored(prop: Property) -> Json:
    value = prop.value
    if len(value) > MAX_VALUE or prop.params.get("ENCODING", "").upper() == "BASE64":
        value = f"sha256:{sha256(value.encode()).hexdigest()} ({len(value)} characters)"
    if prop.name == "ORGANIZER":
        value = "" if _MAIL.search(value) or value.lower().startswith("mailto:") else value
    params = {name: _MAIL.sub("…", text) for name, text in prop.params.items() if name not in _MAIL_PARAMS}
    return {"params": dict(sorted(params.items())), "value": value} if params else value


def _written(when: When) -> Json:
    if when.is_date:
        return {"params": {"VALUE": "DATE"}, "value": f"{when.local:%Y%m%d}"}
    if when.zone == "UTC":
        return f"{when.local:%Y%m%dT%H%M%SZ}"
    return {"params": {"TZID": when.zone}, "value": f"{when.local:%Y%m%dT%H%M%S}"}


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
        name = clean_text(_plain(unescape(prop.params.get("CN", ""))), limit=MAX_SHORT)
        if name is not None and not _MAIL.search(name):
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


def _warnings(occurrence: Occurrence, place: Place) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*occurrence.warnings, *place.warnings)))
