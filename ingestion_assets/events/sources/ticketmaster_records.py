"""One Ticketmaster Discovery v2 event record, read into ours.

Belongs here: what each field of a record means. Paging, slicing and errors of the service are in `ticketmaster.py`.
Field names and their presence: the API's documentation and 41 public payloads (docs/sources.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from ingestion_assets.events.model import Event, EventStatus, Json, Moment, Price, RejectReason, Venue
from ingestion_assets.events.sources.fields import (
    MAX_TITLE_CHARS,
    LeftOut,
    RecordFault,
    calendar_day,
    clock_time,
    coordinates,
    currency,
    description,
    first,
    identifier,
    label,
    language,
    mapping,
    names,
    number,
    objects,
    timestamp,
    web_url,
    zone_name,
)
from ingestion_assets.events.sources.text import clean_text

_STATUSES = {
    "onsale": EventStatus.SCHEDULED,
    "offsale": EventStatus.SCHEDULED,
    "cancelled": EventStatus.CANCELLED,
    "canceled": EventStatus.CANCELLED,
    "postponed": EventStatus.POSTPONED,
    "rescheduled": EventStatus.RESCHEDULED,
}
_NO_CATEGORY = frozenset({"Undefined", "Other"})
_TEXTS = ("info", "pleaseNote", "description", "additionalInfo")
_NOWHERE = Venue()
_CLASSIFICATION_LEVELS = ("segment", "genre", "subGenre", "type", "subType")


def read_event(record: dict[str, Json], *, default_zone: str) -> Event | LeftOut:
    """The event in one element of `_embedded.events`. `default_zone` is used when the record names no known zone."""
    if record.get("test") is True:
        return LeftOut("test_event")
    source_id = identifier(record.get("id"))
    dates = mapping(record.get("dates"))
    embedded = mapping(record.get("_embedded"))
    venue = first(embedded.get("venues"))
    warnings: list[str] = []

    zone = zone_name(dates.get("timezone")) or zone_name(venue.get("timezone"))
    start = _start(mapping(dates.get("start")), zone or default_zone, zone is None, source_id)
    day = start.date if start else None
    if source_id is None:
        raise RecordFault(RejectReason.MISSING_ID, "the record has no usable id", day=day)
    title = clean_text(record.get("name"), limit=MAX_TITLE_CHARS)
    if title is None:
        raise RecordFault(RejectReason.MISSING_TITLE, "the record has no name", source_id=source_id, day=day)
    if start is not None and start.zone_assumed:
        warnings.append("zone_assumed")

    code = label(mapping(dates.get("status")).get("code"))
    status = EventStatus.SCHEDULED if code is None else _STATUSES.get(code.lower())
    if status is None:
        warnings.append("unknown_status")
    end = _end(mapping(dates.get("end")), start)
    if start is not None and end is not None and _ends_before(start, end):
        end = None
        warnings.append("end_before_start")
    if len(objects(embedded.get("venues"))) > 1:
        warnings.append("several_venues")

    classifications = objects(record.get("classifications"))
    promoters = [mapping(record.get("promoter")), *objects(record.get("promoters"))]
    restricted = mapping(record.get("ageRestrictions")).get("legalAgeEnforced") is True
    return Event(
        source_id=source_id,
        title=title,
        payload=record,
        start=start,
        end=end,
        status=status or EventStatus.SCHEDULED,
        description=description([record.get(name) for name in _TEXTS]),
        venue=_venue(venue or mapping(record.get("place"))),
        url=web_url(record.get("url")),
        image_url=_image(objects(record.get("images"))),
        price=_price(objects(record.get("priceRanges"))),
        organizer=next(iter(names([promoter.get("name") for promoter in promoters])), None),
        performers=names([attraction.get("name") for attraction in objects(embedded.get("attractions"))]),
        categories=_categories(classifications),
        audience=("legal age",) if restricted else (),
        language=language(record.get("locale")),
        warnings=tuple(warnings),
    )


def _start(start: Mapping[str, Json], zone: str, assumed: bool, source_id: str | None) -> Moment | None:
    """The start, None when it is still to be announced. A time that is not announced stays missing."""
    if start.get("dateTBA") is True or start.get("dateTBD") is True:
        return None
    written_day, instant = start.get("localDate"), timestamp(start.get("dateTime"))
    local = instant.astimezone(ZoneInfo(zone)) if instant is not None and instant.tzinfo is not None else None
    if written_day is None and local is not None:
        return Moment(local.date(), _known_time(start, local.time()), zone, assumed)
    day = calendar_day(written_day)
    if day is None:
        if written_day is None and start.get("dateTime") is None:
            raise RecordFault(RejectReason.MISSING_START, "the record has no start date", source_id=source_id)
        detail = "the start date is not a date of the form YYYY-MM-DD"
        raise RecordFault(RejectReason.INVALID_START, detail, source_id=source_id)
    written_time = start.get("localTime")
    moment_time = clock_time(written_time)
    if moment_time is None and isinstance(written_time, str) and written_time.strip():
        detail = "the start time is not a time of the form HH:MM:SS"
        raise RecordFault(RejectReason.INVALID_START, detail, source_id=source_id, day=day)
    if moment_time is None and local is not None and local.date() == day:
        moment_time = local.time()
    return Moment(day, _known_time(start, moment_time), zone, assumed)


def _known_time(start: Mapping[str, Json], value: time | None) -> time | None:
    if value is None or start.get("timeTBA") is True or start.get("noSpecificTime") is True:
        return None
    return value.replace(microsecond=0)


def _end(end: Mapping[str, Json], start: Moment | None) -> Moment | None:
    if start is None:
        return None
    day: date | None = calendar_day(end.get("localDate"))
    at: time | None = clock_time(end.get("localTime"))
    instant: datetime | None = timestamp(end.get("dateTime"))
    if instant is not None and instant.tzinfo is not None and (day is None or at is None):
        local = instant.astimezone(ZoneInfo(start.zone))
        day, at = local.date(), local.time()
    if day is None:
        return None
    # An end time beside a start without one would claim a precision that nobody announced.
    vague = end.get("approximate") is True or end.get("noSpecificTime") is True or start.time is None
    return Moment(day, None if vague or at is None else at.replace(microsecond=0), start.zone, start.zone_assumed)


def _ends_before(start: Moment, end: Moment) -> bool:
    if start.time is None or end.time is None:
        return end.date < start.date
    return (end.date, end.time) < (start.date, start.time)


def _venue(venue: Mapping[str, Json]) -> Venue | None:
    """A venue, or the `place` that stands in for one: the two have the same shape."""
    if not venue:
        return None
    address, location = mapping(venue.get("address")), mapping(venue.get("location"))
    lat, lon = coordinates(location.get("latitude"), location.get("longitude"))
    lines = names([address.get("line1"), address.get("line2"), address.get("line3")])
    state = mapping(venue.get("state"))
    result = Venue(
        name=label(venue.get("name")),
        address=", ".join(lines) or None,
        city=label(mapping(venue.get("city")).get("name")),
        region=label(state.get("stateCode") or state.get("name")),
        postal_code=label(venue.get("postalCode")),
        country=label(mapping(venue.get("country")).get("countryCode")),
        lat=lat,
        lon=lon,
        source_id=identifier(venue.get("id")),
    )
    return None if result == _NOWHERE else result


def _image(images: list[dict[str, Json]]) -> str | None:
    """The widest picture of the event itself (not a stock picture of its category), 16:9 before other shapes."""
    best, best_url = (False, -1.0), None
    for image in images:
        rank = (image.get("ratio") == "16_9", number(image.get("width")) or 0.0)
        if rank > best and image.get("fallback") is not True and (url := web_url(image.get("url"))) is not None:
            best, best_url = rank, url
    return best_url


def _price(ranges: list[dict[str, Json]]) -> Price | None:
    """The standard range; others include fees or are packages."""
    chosen = next((entry for entry in ranges if entry.get("type") == "standard"), ranges[0] if ranges else None)
    if chosen is None:
        return None
    low, high = number(chosen.get("min")), number(chosen.get("max"))
    if low is None and high is None:
        return None
    return Price(
        free=(low or 0) == 0 and high == 0 if high is not None else None,
        minimum=low,
        maximum=high,
        currency=currency(chosen.get("currency")),
    )


def _categories(classifications: list[dict[str, Json]]) -> tuple[str, ...]:
    primary = next((entry for entry in classifications if entry.get("primary") is True), None)
    chosen = primary or (classifications[0] if classifications else {})
    found = names([mapping(chosen.get(level)).get("name") for level in _CLASSIFICATION_LEVELS])
    return tuple(name for name in found if name not in _NO_CATEGORY)
