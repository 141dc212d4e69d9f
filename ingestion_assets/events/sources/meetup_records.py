"""One Meetup event (a GraphQL node of `gql-ext`), read into ours.

Belongs here: what each field of a node means. Queries, cursors, tokens and errors are in `meetup.py` and its helpers.
The older schemas' spellings (`venue`, `lng`, `images`, milliseconds) are read as well: they still appear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ingestion_assets.events.model import Event, EventStatus, Json, Moment, Price, RejectReason, Venue
from ingestion_assets.events.sources.fields import (
    MAX_TITLE_CHARS,
    YEARS,
    LeftOut,
    RecordFault,
    coordinates,
    currency,
    first,
    identifier,
    label,
    mapping,
    names,
    number,
    objects,
    plain_text,
    timestamp,
    web_url,
    zone_name,
)
from ingestion_assets.events.sources.text import clean_text

PUBLISHED = {
    "ACTIVE": EventStatus.SCHEDULED,
    "PAST": EventStatus.SCHEDULED,
    "AUTOSCHED": EventStatus.SCHEDULED,
    "AUTOSCHED_FINISHED": EventStatus.SCHEDULED,
    "CANCELLED": EventStatus.CANCELLED,
    "CANCELLED_PERM": EventStatus.CANCELLED,
    "AUTOSCHED_CANCELLED": EventStatus.CANCELLED,
}
"""The statuses of events that the public sees or saw; they are asked for, and others are left out."""
_UNPUBLISHED = frozenset({"AUTOSCHED_DRAFT", "BLOCKED", "DRAFT", "PENDING", "PROPOSED", "TEMPLATE"})
_ONLINE_VENUE = "26906060"
"""The venue that older events use to say that they are online."""
_BRACKETED_ZONE = re.compile(r"\[([A-Za-z0-9_+\-/]{1,60})\]$")
_DURATION = re.compile(r"^P(?:(\d{1,3})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,7})(?:\.\d+)?S)?)?$")
_NOWHERE = Venue()


def read_event(node: dict[str, Json], *, default_zone: str, group_zone: str | None = None) -> Event | LeftOut:
    """The event in `node`. `group_zone` is the zone of the group the node came with, `default_zone` the last resort."""
    status_code = str(node.get("status") or "ACTIVE").upper()
    if status_code in _UNPUBLISHED:
        return LeftOut("unpublished")
    group = mapping(node.get("group"))
    # The id of a recurring event can change; the token cannot.
    source_id = identifier(node.get("token")) or identifier(node.get("id"))
    zone = zone_name(group.get("timezone")) or group_zone
    start = _moment(node.get("dateTime"), zone, default_zone)
    day = start.date if start else None
    if source_id is None:
        raise RecordFault(RejectReason.MISSING_ID, "the event has neither token nor id", day=day)
    title = clean_text(node.get("title"), limit=MAX_TITLE_CHARS)
    if title is None:
        raise RecordFault(RejectReason.MISSING_TITLE, "the event has no title", source_id=source_id, day=day)
    if start is None:
        if node.get("dateTime") in (None, ""):
            raise RecordFault(RejectReason.MISSING_START, "the event has no dateTime", source_id=source_id)
        raise RecordFault(RejectReason.INVALID_START, "dateTime is not a date and time", source_id=source_id)

    warnings = ["zone_assumed"] if start.zone_assumed else []
    if status_code not in PUBLISHED:
        warnings.append("unknown_status")
    end = _end(node, start)
    if end is not None and _instant(end) < _instant(start):
        end = None
        warnings.append("end_before_start")

    text = node.get("description")
    kind = str(node.get("eventType") or "").upper()
    venues = [*objects(node.get("venues")), *objects([node.get("venue")])]
    places = [venue for venue in venues if not _is_online(venue)]
    return Event(
        source_id=source_id,
        title=title,
        payload=node,
        start=start,
        end=end,
        status=PUBLISHED.get(status_code, EventStatus.SCHEDULED),
        description=(plain_text(text) or None) if isinstance(text, str) else None,
        venue=_venue(places[0]) if places and kind != "ONLINE" else None,
        online=kind in ("ONLINE", "HYBRID") or node.get("isOnline") is True or len(places) < len(venues),
        url=web_url(node.get("eventUrl")),
        image_url=_image(node),
        price=_price(mapping(node.get("feeSettings"))),
        organizer=label(group.get("name")),
        categories=_topics(node.get("topics")) or _topics(group.get("topics")),
        warnings=tuple(warnings),
    )


def _moment(value: Json, zone: str | None, default_zone: str) -> Moment | None:
    """A point in local time.

    Spellings seen: `2021-11-20T17:00+05:30`, with seconds, with `Z`, with a zone behind (`…-05:00[US/Eastern]`), and
    epoch milliseconds. The offset fixes the instant; the zone is the bracketed one, else the group's. Without either
    the platform's zone is assumed, if its clocks show the same.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value, zone, default_zone)
    if not isinstance(value, str):
        return None
    text = value.strip()
    bracketed = _BRACKETED_ZONE.search(text)
    if bracketed is not None:
        zone = zone_name(bracketed[1]) or zone
        text = text[: bracketed.start()]
    if text.isdigit() and 9 <= len(text) <= 14:
        return _from_epoch(int(text), zone, default_zone)
    written = timestamp(text)
    if written is None:
        return None
    if written.tzinfo is None:
        return _at(written, zone or default_zone, assumed=zone is None)
    for candidate, assumed in ((zone, False), (default_zone, True)):
        if candidate is not None and written.astimezone(ZoneInfo(candidate)).utcoffset() == written.utcoffset():
            return _at(written, candidate, assumed=assumed)
    if text.endswith(("Z", "z")) or written.utcoffset() == timedelta(0):
        # UTC is how the instant was written, not where people are.
        return _at(written.astimezone(ZoneInfo(zone or default_zone)), zone or default_zone, assumed=zone is None)
    return _at_offset(written, zone or default_zone)


def _at_offset(written: datetime, zone: str) -> Moment:
    """The local time of an offset that is neither the group's nor the platform's, as a zone of that offset."""
    offset = written.utcoffset() or timedelta(0)
    hours = offset / timedelta(hours=1)
    if hours.is_integer() and -12 <= hours <= 14:
        return _at(written, f"Etc/GMT{-int(hours):+d}", assumed=True)
    return _at(written.astimezone(ZoneInfo(zone)), zone, assumed=True)


def _from_epoch(value: float, zone: str | None, default_zone: str) -> Moment | None:
    seconds = value / 1_000 if abs(value) >= 1e11 else value
    try:
        instant = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if instant.year not in YEARS:
        return None
    return _at(instant.astimezone(ZoneInfo(zone or default_zone)), zone or default_zone, assumed=zone is None)


def _at(local: datetime, zone: str, *, assumed: bool) -> Moment:
    return Moment(local.date(), local.time().replace(microsecond=0), zone, assumed)


def _instant(moment: Moment) -> datetime:
    return moment.utc or datetime.combine(moment.date, datetime.min.time(), UTC)


def _end(node: Mapping[str, Json], start: Moment) -> Moment | None:
    written = _moment(node.get("endTime"), start.zone, start.zone)
    if written is not None:
        return written
    length = _duration(node.get("duration"))
    instant = start.utc
    if length is None or instant is None:
        return None
    return _at((instant + length).astimezone(ZoneInfo(start.zone)), start.zone, assumed=start.zone_assumed)


def _duration(value: Json) -> timedelta | None:
    """ISO 8601 (`PT2H30M`), or milliseconds as the older API has it. Above a year it is no duration of an event."""
    if isinstance(value, int) and not isinstance(value, bool):
        length = timedelta(milliseconds=value) if 0 < value < 366 * 86_400_000 else None
    else:
        match = _DURATION.match(value) if isinstance(value, str) else None
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
        length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return length if length and length < timedelta(days=366) else None


def _is_online(venue: Mapping[str, Json]) -> bool:
    return str(venue.get("venueType") or "").lower() == "online" or identifier(venue.get("id")) == _ONLINE_VENUE


def _venue(venue: Mapping[str, Json]) -> Venue | None:
    east = venue.get("lon")
    lat, lon = coordinates(venue.get("lat"), venue.get("lng") if east is None else east)
    result = Venue(
        name=label(venue.get("name")),
        address=label(venue.get("address")),
        city=label(venue.get("city")),
        region=label(venue.get("state")),
        postal_code=label(venue.get("postalCode")),
        country=_country(venue.get("country")),
        lat=lat,
        lon=lon,
        source_id=identifier(venue.get("id")),
    )
    return None if result == _NOWHERE else result


def _country(value: Json) -> str | None:
    text = label(value)
    return text.upper() if text is not None and len(text) == 2 else text


def _image(node: Mapping[str, Json]) -> str | None:
    """A picture's address is put together from its base and its id; the size is the one the site itself shows."""
    photo = mapping(node.get("featuredEventPhoto")) or first(node.get("images"))
    base, key = web_url(photo.get("baseUrl")), identifier(photo.get("id"))
    if base is not None and key is not None:
        return f"{base.rstrip('/')}/{key}/676x380.jpg"
    return web_url(mapping(node.get("displayPhoto")).get("standardUrl")) or web_url(node.get("imageUrl"))


def _price(fee: Mapping[str, Json]) -> Price | None:
    """The fee, where there is one. No fee settings mean free or "paid at the door": not known."""
    amount = number(fee.get("amount"))
    if amount is None or amount < 0:
        return None
    return Price(free=amount == 0, minimum=amount, maximum=amount, currency=currency(fee.get("currency")))


def _topics(value: Json) -> tuple[str, ...]:
    """Topic names, from a plain list or from a connection with edges."""
    plain = names([topic.get("name") for topic in objects(value)])
    return plain or names([mapping(edge.get("node")).get("name") for edge in objects(mapping(value).get("edges"))])
