"""One Eventbrite API v3 event object, read into ours.

Belongs here: what each field of an event means. Lists, paging and errors are in `eventbrite.py` and its helper.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import orjson

from ingestion_assets.events.model import Event, EventStatus, Json, Moment, Price, RejectReason, Venue
from ingestion_assets.events.sources.fields import (
    MAX_TITLE_CHARS,
    LeftOut,
    RecordFault,
    coordinates,
    currency,
    identifier,
    label,
    language,
    mapping,
    names,
    number,
    plain_text,
    timestamp,
    web_url,
    zone_name,
)
from ingestion_assets.events.sources.text import clean_text, html_to_text

FULL_DESCRIPTION = "full_description"
"""Where the answer of `/events/{id}/description/` is put into the record."""
_STATUSES = {
    "live": EventStatus.SCHEDULED,
    "started": EventStatus.SCHEDULED,
    "ended": EventStatus.SCHEDULED,
    "completed": EventStatus.SCHEDULED,
    "canceled": EventStatus.CANCELLED,
    "cancelled": EventStatus.CANCELLED,
}
_BY_SALES = {"event_cancelled": EventStatus.CANCELLED, "event_postponed": EventStatus.POSTPONED}
_NOWHERE = Venue()
_FREE = Price(free=True, minimum=0.0, maximum=0.0)
_UNSAID = (None, None, None)


def read_event(record: dict[str, Json], *, default_zone: str) -> Event | LeftOut:
    """The event in `record`. `default_zone` is used when the record names no known zone.

    Left out are drafts and events that their organiser does not show to everybody.
    """
    code = str(record.get("status") or "live").lower()
    if code == "draft":
        return LeftOut("draft")
    if record.get("listed") is False or record.get("invite_only") is True or record.get("password"):
        return LeftOut("private_event")
    source_id = identifier(record.get("id"))
    start, end, warnings = _times(record, default_zone)
    day = start.date if start else None
    if source_id is None:
        raise RecordFault(RejectReason.MISSING_ID, "the event has no usable id", day=day)
    title = _title(record.get("name"))
    if title is None:
        raise RecordFault(RejectReason.MISSING_TITLE, "the event has no name", source_id=source_id, day=day)
    if start is None:
        if not mapping(record.get("start")):
            raise RecordFault(RejectReason.MISSING_START, "the event has no start", source_id=source_id)
        raise RecordFault(RejectReason.INVALID_START, "the start is not a date and time", source_id=source_id)

    # An event that was called off keeps its place in the life cycle: `completed`, with the sales saying why.
    sales = _BY_SALES.get(str(mapping(record.get("event_sales_status")).get("message_code")))
    if code not in _STATUSES:
        warnings = (*warnings, "unknown_status")

    return Event(
        source_id=source_id,
        title=title,
        payload=record,
        start=start,
        end=end,
        status=sales or _STATUSES.get(code, EventStatus.SCHEDULED),
        description=_description(record),
        venue=_venue(mapping(record.get("venue"))),
        online=record.get("online_event") is True,
        url=web_url(record.get("url")),
        image_url=_image(mapping(record.get("logo"))),
        price=_price(record),
        organizer=label(mapping(record.get("organizer")).get("name")),
        categories=_categories(record),
        language=language(record.get("locale")),
        series_id=identifier(record.get("series_id")),
        warnings=warnings,
    )


def _title(name: Json) -> str | None:
    """`name.text` is plain; `name.html` has its signs escaped."""
    if isinstance(name, str):
        return clean_text(name, limit=MAX_TITLE_CHARS)
    parts = mapping(name)
    title = clean_text(parts.get("text"), limit=MAX_TITLE_CHARS)
    if title is None and isinstance(parts.get("html"), str):
        title = clean_text(html_to_text(parts["html"]), limit=MAX_TITLE_CHARS)
    return title


def _times(record: Mapping[str, Json], default_zone: str) -> tuple[Moment | None, Moment | None, tuple[str, ...]]:
    """Start, end, and warnings about them."""
    hidden = record.get("hide_start_date") is True
    end = _UNSAID if record.get("hide_end_date") is True else _said(record.get("end"))
    return _times_said(_said(record.get("start")), end, default_zone, hidden)


def _said(value: Json) -> tuple[str | None, str | None, str | None]:
    """Zone, local time and instant of a `datetime-tz` object, as written."""
    if not isinstance(value, dict):
        return _UNSAID
    zone, local, utc = value.get("timezone"), value.get("local"), value.get("utc")
    return (
        zone if isinstance(zone, str) else None,
        local if isinstance(local, str) else None,
        utc if isinstance(utc, str) else None,
    )


@lru_cache(maxsize=4_096)
def _times_said(
    start_said: tuple[str | None, str | None, str | None],
    end_said: tuple[str | None, str | None, str | None],
    default_zone: str,
    hidden: bool,
) -> tuple[Moment | None, Moment | None, tuple[str, ...]]:
    """Remembered: a calendar has few times of the day, and many events at each.

    Of a hidden start only the day is taken, and of its end: their times are not for the public.
    """
    start = _moment(*start_said, default_zone, hidden)
    if start is None:
        return None, None, ()
    warnings = ("zone_assumed",) if start.zone_assumed else ()
    end = _moment(*end_said, start.zone, start.time is None)
    if end is not None and _ends_before(start, end):
        return start, None, (*warnings, "end_before_start")
    return start, end, warnings


def _moment(said_zone: str | None, said: str | None, utc: str | None, default: str, hidden: bool) -> Moment | None:
    known = zone_name(said_zone)
    zone = known or default
    local: datetime | None = timestamp(said)
    if local is None or local.tzinfo is not None:
        instant = timestamp(utc)
        if instant is None or instant.tzinfo is None:
            return None
        local = instant.astimezone(ZoneInfo(zone))
    time = None if hidden else local.time().replace(microsecond=0)
    return Moment(local.date(), time, zone, known is None)


def _ends_before(start: Moment, end: Moment) -> bool:
    begins, ends = start.utc, end.utc
    if begins is None or ends is None:
        return end.date < start.date
    return ends < begins


def _description(record: Mapping[str, Json]) -> str | None:
    """The full text where it was fetched, else what the event object holds: today mostly its summary."""
    described = mapping(record.get("description"))
    candidates = (record.get(FULL_DESCRIPTION), described.get("html"), described.get("text"), record.get("summary"))
    for text in candidates:
        if isinstance(text, str) and (plain := plain_text(text)):
            return plain
    return None


def _categories(record: Mapping[str, Json]) -> tuple[str, ...]:
    """A service has few kinds of events: which labels they are is remembered."""
    said = [mapping(record.get(kind)).get("name") for kind in ("category", "subcategory", "format")]
    try:
        return _labels(*said)
    except TypeError:  # an object or a list, which cannot be remembered
        return names(said)


@lru_cache(maxsize=1_024, typed=True)
def _labels(*said: Json) -> tuple[str, ...]:
    return names(said)


def _venue(venue: Mapping[str, Json]) -> Venue | None:
    """A watched place is in all its events, word for word: what it means is remembered by what it says."""
    return _venue_written(orjson.dumps(venue)) if venue else None


@lru_cache(maxsize=1_024)
def _venue_written(written: bytes) -> Venue | None:
    venue = mapping(orjson.loads(written))
    address = mapping(venue.get("address"))
    lat, lon = coordinates(venue.get("latitude"), venue.get("longitude"))
    if lat is None:
        lat, lon = coordinates(address.get("latitude"), address.get("longitude"))
    lines = names([address.get("address_1"), address.get("address_2")])
    result = Venue(
        name=label(venue.get("name")),
        address=", ".join(lines) or label(address.get("localized_address_display")),
        city=label(address.get("city")),
        region=label(address.get("region")),
        postal_code=label(address.get("postal_code")),
        country=label(address.get("country")),
        lat=lat,
        lon=lon,
        source_id=identifier(venue.get("id")),
    )
    return None if result == _NOWHERE else result


def _image(logo: Mapping[str, Json]) -> str | None:
    """The picture as it was uploaded; the other one is cropped."""
    return web_url(mapping(logo.get("original")).get("url")) or web_url(logo.get("url"))


def _price(record: Mapping[str, Json]) -> Price | None:
    """From the event's own tickets, else from a seller elsewhere.

    `major_value` is in units of the currency; `value` is in its smallest coin, which is not everywhere a hundredth.
    """
    elsewhere = mapping(record.get("external_ticketing"))
    if record.get("is_free") is True or elsewhere.get("is_free") is True:
        return _FREE
    for tickets in (mapping(record.get("ticket_availability")), elsewhere):
        lowest, highest = mapping(tickets.get("minimum_ticket_price")), mapping(tickets.get("maximum_ticket_price"))
        said = (lowest.get("major_value"), highest.get("major_value"), lowest.get("currency"), highest.get("currency"))
        try:
            price = _priced(*said)
        except TypeError:  # an object or a list, which cannot be remembered
            price = _priced.__wrapped__(*said)
        if price is not None:
            return price
    return Price(free=False) if record.get("is_free") is False else None


@lru_cache(maxsize=2_048, typed=True)
def _priced(lowest: Json, highest: Json, currency_of_lowest: Json, currency_of_highest: Json) -> Price | None:
    """Remembered: most of a source's prices are alike."""
    low, high = number(lowest), number(highest)
    if low is None and high is None:
        return None
    unit = currency(currency_of_lowest) or currency(currency_of_highest)
    return Price(free=False if high else None, minimum=low, maximum=high, currency=unit)
