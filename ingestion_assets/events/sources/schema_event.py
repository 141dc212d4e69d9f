"""One schema.org Event as our event: https://schema.org/Event, as pages and APIs really fill it.

Belongs here: the map from properties to fields, pure; every property may be missing, of another type, or in a list.
Finding events in pages belongs to `jsonld.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urljoin

from ingestion_assets.events.model import Event, EventStatus, Json, Moment, Price, RejectReason, Venue
from ingestion_assets.events.sources.fields import (
    MAX_TITLE_CHARS,
    RecordFault,
    coordinates,
    currency,
    language,
    mapping,
    names,
    web_url,
)
from ingestion_assets.events.sources.schema_time import duration, moment, scalar, shifted, whole_days
from ingestion_assets.events.sources.text import clean_text, html_to_text

VOLATILE_PATHS = (
    # What the page says of itself, of its visitors or of the stock of tickets, and not of the event.
    *("dateModified", "lastModified", "sdDatePublished", "interactionStatistic", "aggregateRating"),
    *("remainingAttendeeCapacity", "offers.inventoryLevel", "offers.*.inventoryLevel"),
    # Ticket plug-ins write the time of the rendering here.
    *("offers.validFrom", "offers.*.validFrom", "offers.priceValidUntil", "offers.*.priceValidUntil"),
)
"""Dotted paths that change without the event changing, for any source whose payload is a schema.org Event."""

_MOST = 50
"""Offers, performers, places … read of one event. Lists are cut, not refused: the payload keeps all of them."""

_AMOUNT = re.compile(r"(?<![\d.,])\d{1,3}(?:[ \u00a0\u202f',]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d{1,2}(?!\d))?")
_FREE = re.compile(r"\b(?:gratuite?s?|free|libre|contribution volontaire)\b", re.IGNORECASE)
_FRENCH_ENGLISH = {"french": "fr", "français": "fr", "anglais": "en", "english": "en"}
_PREFIX = re.compile(r"^(?:https?://(?:www\.)?schema\.org/|schema:)", re.IGNORECASE)
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PROVINCES = {
    **dict.fromkeys(("BC", "COLOMBIE-BRITANNIQUE", "BRITISH COLUMBIA"), "America/Vancouver"),
    **dict.fromkeys(("AB", "ALBERTA"), "America/Edmonton"),
    **dict.fromkeys(("SK", "SASKATCHEWAN"), "America/Regina"),
    **dict.fromkeys(("MB", "MANITOBA"), "America/Winnipeg"),
    **dict.fromkeys(("ON", "ONTARIO", "QC", "QUEBEC", "QUÉBEC"), "America/Toronto"),
    **dict.fromkeys(("NB", "NEW BRUNSWICK", "NOUVEAU-BRUNSWICK"), "America/Moncton"),
    **dict.fromkeys(("NS", "NOVA SCOTIA", "NOUVELLE-ÉCOSSE", "PE", "PEI"), "America/Halifax"),
    **dict.fromkeys(("NL", "NEWFOUNDLAND AND LABRADOR", "TERRE-NEUVE-ET-LABRADOR"), "America/St_Johns"),
}
"""Zones of Canadian provinces: where a time without an offset is a time at the venue, the venue's province decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a site's pages leave unsaid."""

    zone: str = "America/Toronto"
    """Zone of times without an offset whose place does not tell."""
    page_url: str | None = None
    """Where the page is."""
    base_url: str | None = None
    """What relative addresses are relative to, where that is not the page itself (`<base href>`)."""
    languages: tuple[str, ...] = ("fr", "en")
    """Which text to take where there are several, best first."""
    country: str | None = None
    """ISO 3166 code for places that name none."""

    @property
    def base(self) -> str:
        return self.base_url or self.page_url or ""


def type_names(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The schema.org classes of a node, without prefixes."""
    kinds = node.get("@type", node.get("type"))
    return tuple(
        _PREFIX.sub("", kind).strip("/ ")
        for kind in (kinds if isinstance(kinds, list) else [kinds])
        if isinstance(kind, str)
    )


def read_event(node: Mapping[str, Any], rules: Rules, *, source_id: str, undated: bool = False) -> Event:
    """The event that a schema.org Event node describes. Raises `RecordFault` for what it lacks.

    `undated`: an event without `startDate` is still to be dated, or always on, and no fault.
    """
    title, spoken = text_of(node.get("name", node.get("headline")), rules.languages)
    title = _line(title, MAX_TITLE_CHARS)
    place, virtual = _places(node.get("location"))
    venue = _venue(place, rules)
    zone = _PROVINCES.get((venue.region or "").upper(), rules.zone) if venue else rules.zone
    warnings: list[str] = []
    begins, ends = whole_days(node.get("startDate"), node.get("endDate"))
    start = moment(begins, zone)
    day = start.date if start else None
    if title is None:
        raise RecordFault(RejectReason.MISSING_TITLE, "no name", source_id=source_id, day=day)
    if start is None:
        _no_start(node, undated=undated, source_id=source_id)
    elif start.zone_assumed:
        warnings.append("zone_assumed")
    status, moved_online = _status(node.get("eventStatus"))
    mode = _class_of(node.get("eventAttendanceMode"))
    body, body_language = text_of(node.get("description"), rules.languages)
    return Event(
        source_id=source_id,
        title=title,
        payload=node,
        start=start,
        end=_end(node, start, moment(ends, zone), warnings),
        status=status,
        description=html_to_text(body) or None if body else None,
        venue=venue,
        online=moved_online or (virtual and place is None) or mode.startswith(("online", "mixed")),
        url=_address(node.get("url"), rules) or _address(node.get("@id"), rules) or rules.page_url,
        image_url=_image(node, rules),
        price=_price(node, rules),
        organizer=next(iter(_names_of(node.get("organizer"), rules)), None),
        performers=_names_of(node.get("performer", node.get("performers")), rules),
        categories=_categories(node, rules),
        audience=_audience(node, rules),
        language=_language(node.get("inLanguage")) or spoken or body_language,
        series_id=_series(node.get("superEvent")),
        warnings=tuple(warnings),
    )


def text_of(value: Json, languages: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The text in a string, a language map, a value object or a list of these, and its language where that is said."""
    if isinstance(value, str):
        return (value, None) if value and not value.isspace() else (None, None)
    candidates = [(text, spoken) for text, spoken in islice(_texts(value, 0), _MOST) if text.strip()]
    for wanted in languages:
        for text, spoken in candidates:
            if spoken == wanted:
                return text, spoken
    return candidates[0] if candidates else (None, None)


def _texts(value: Json, depth: int) -> Iterator[tuple[str, str | None]]:
    if isinstance(value, str):
        yield value, None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value), None
    elif isinstance(value, list) and depth <= 3:
        for item in islice(value, _MOST):
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict) and depth <= 3:
        yield from _texts_of_object(value, depth + 1)


def _texts_of_object(value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str | None]]:
    """A value object, a thing with a name, or a language map."""
    if "@value" in value:
        yield from ((text, language(value.get("@language"))) for text, _ in _texts(value["@value"], depth))
    elif "name" in value:
        yield from _texts(value["name"], depth)
    else:
        for key, item in islice(value.items(), _MOST):
            if key == "@none" or (len(key) <= 7 and language(key)):
                yield from ((text, language(key)) for text, _ in _texts(item, depth))


def items(value: Json) -> list[Json]:
    """`value` as a list without null items, at most `_MOST` of them."""
    return [item for item in islice(value if isinstance(value, list) else [value], _MOST) if item is not None]


def _line(value: str | None, limit: int | None = None) -> str | None:
    """Names carry entities and sometimes markup, too."""
    if value is not None and ("&" in value or "<" in value):
        value = html_to_text(value)
    return clean_text(value, limit=limit)


def _no_start(node: Mapping[str, Any], *, undated: bool, source_id: str) -> None:
    written = clean_text(scalar(node.get("startDate")), limit=60)
    if written is not None:
        detail = f"startDate is not a date: {written!r}"
        raise RecordFault(RejectReason.INVALID_START, detail, source_id=source_id)
    if node.get("startDate") not in (None, "", []) and clean_text(node["startDate"]) is not None:
        raise RecordFault(RejectReason.INVALID_START, "startDate is no text", source_id=source_id)
    if not undated and _status(node.get("eventStatus"))[0] is not EventStatus.POSTPONED:
        raise RecordFault(RejectReason.MISSING_START, "no startDate", source_id=source_id)


def _end(node: Mapping[str, Any], start: Moment | None, end: Moment | None, warnings: list[str]) -> Moment | None:
    if start is None:
        return None
    if end is None:
        span = duration(node.get("duration"))
        return shifted(start, span) if span else None
    if start.time is None and end.time is not None:
        end = Moment(end.date, None, end.zone)
    before = end.date < start.date
    if not before and end.utc is not None and start.utc is not None:
        before = end.utc < start.utc
    if before:
        warnings.append("end_before_start")
        return None
    return end


def _class_of(value: Json) -> str:
    """The schema.org enumeration member that a value means, in lower case and without its `Event` prefix."""
    value = scalar(value)
    if isinstance(value, dict):
        value = value.get("@id") or value.get("name")
    return _PREFIX.sub("", value).strip("/ ").casefold() if isinstance(value, str) else ""


def _status(value: Json) -> tuple[EventStatus, bool]:
    """The status, and whether the event was moved online. Several values are several facts: the gravest counts."""
    found, online = EventStatus.SCHEDULED, False
    grave = (EventStatus.CANCELLED, EventStatus.POSTPONED, EventStatus.RESCHEDULED)
    for item in items(value):
        name = _class_of(item)
        online = online or "movedonline" in name
        for status, sign in zip(grave, ("cancel", "postpone", "reschedul"), strict=True):
            if sign in name and (found not in grave or grave.index(status) < grave.index(found)):
                found = status
    return found, online


def _places(value: Json) -> tuple[Json, bool]:
    """The first physical place, and whether there is a virtual one."""
    physical: Json = None
    virtual = False
    for item in items(value):
        if "VirtualLocation" in type_names(item) if isinstance(item, dict) else web_url(item):
            virtual = True
        elif physical is None and (item if isinstance(item, dict) else clean_text(item)):
            physical = item
    return physical, virtual


def _venue(place: Json, rules: Rules) -> Venue | None:
    if place is None:
        return None
    if not isinstance(place, dict):
        return _spelled_out(_line(clean_text(place)), rules)
    address = next(iter(items(place.get("address"))), None)
    parts: dict[str, str | None] = {}
    if isinstance(address, dict):
        for name in ("streetAddress", "addressLocality", "addressRegion", "postalCode", "addressCountry"):
            parts[name] = _line(text_of(address.get(name), rules.languages)[0])
    else:
        parts["streetAddress"] = _line(clean_text(address))
    # Some write both, a list of an object and of the same as text; some put the address straight into the place.
    for name in ("streetAddress", "addressLocality", "addressRegion", "postalCode", "addressCountry"):
        if parts.get(name) is None and name in place:
            parts[name] = _line(text_of(place.get(name), rules.languages)[0])
    geo = mapping(next(iter(items(place.get("geo"))), None))
    lat, lon = coordinates(geo.get("latitude", place.get("latitude")), geo.get("longitude", place.get("longitude")))
    found = Venue(
        name=_line(text_of(place.get("name"), rules.languages)[0]),
        address=parts["streetAddress"],
        city=parts.get("addressLocality"),
        region=parts.get("addressRegion"),
        postal_code=parts.get("postalCode"),
        country=parts.get("addressCountry") or rules.country,
        lat=lat,
        lon=lon,
        source_id=_reference(place),
    )
    known = (found.name, found.address, found.city, found.postal_code, found.lat, found.source_id)
    return found if any(value is not None for value in known) else None


def _spelled_out(text: str | None, rules: Rules) -> Venue | None:
    """`Name, street, town` in one string: the first part is the name unless it begins with a house number."""
    if text is None:
        return None
    name, _, rest = text.partition(", ")
    if name[:1].isdigit():
        return Venue(address=text, country=rules.country)
    return Venue(name=name, address=rest or None, country=rules.country)


def _reference(node: Mapping[str, Any]) -> str | None:
    """The id by which a node is known: `identifier`, else `@id`; blank node labels are good for one page only."""
    for name in ("identifier", "@id"):
        value = scalar(node.get(name))
        if isinstance(value, dict):
            value = scalar(value.get("value"))
        text = clean_text(value, limit=500)
        if text is not None and not text.startswith("_:"):
            return text
    return None


def _address(value: Json, rules: Rules) -> str | None:
    for item in items(value):
        link = item.get("@id") or item.get("url") if isinstance(item, dict) else item
        text = clean_text(link) if isinstance(link, str) else None
        if text is None or text.startswith("_:"):
            continue
        try:
            absolute = text if text.startswith(("https://", "http://")) else urljoin(rules.base, text)
        except ValueError:  # an address with a broken bracket
            continue
        found = web_url(absolute)
        if found is not None:
            return found
    return None


def _image(node: Mapping[str, Any], rules: Rules) -> str | None:
    for name in ("image", "thumbnailUrl", "thumbnail"):
        for item in items(node.get(name)):
            if isinstance(item, dict):
                item = item.get("url") or item.get("contentUrl") or item.get("@id")  # noqa: PLW2901 (its address)
            found = _address(item, rules)
            if found is not None:
                return found
    return None


def _price(node: Mapping[str, Any], rules: Rules) -> Price | None:
    amounts: list[float] = []
    said_free: bool | None = None
    coin: str | None = None
    for offer in _offers(node.get("offers"), 0):
        coin = coin or currency(scalar(offer.get("priceCurrency")))
        for name in ("price", "lowPrice", "highPrice", "minPrice", "maxPrice"):
            found = _amounts(text_of(offer.get(name), rules.languages)[0])
            if found is None:
                said_free = True
            else:
                amounts.extend(found)
    flag = scalar(node.get("isAccessibleForFree"))
    if isinstance(flag, str):
        flag = {"true": True, "false": False}.get(_class_of(flag))
    if amounts:
        if said_free:
            amounts.append(0.0)
        return Price(free=max(amounts) == 0, minimum=min(amounts), maximum=max(amounts), currency=coin)
    if said_free or flag is True:
        return Price(free=True, minimum=0.0, maximum=0.0, currency=coin)
    return Price(free=False, currency=coin) if flag is False else None


def _offers(value: Json, depth: int) -> Iterator[Mapping[str, Any]]:
    for item in items(value):
        if not isinstance(item, dict) or depth > 2:
            continue
        yield item
        yield from _offers(item.get("priceSpecification"), depth + 1)
        yield from _offers(item.get("offers"), depth + 1)


def _amounts(text: str | None) -> list[float] | None:
    """The amounts in `12`, `"10,00"`, `"1 234,50 $"`, `"10 - 20 $"`; None when it says that nothing is to be paid."""
    text = clean_text(text)
    if text is None:
        return []
    found = [_number(match[0]) for match in islice(_AMOUNT.finditer(text[:100]), 4) if not text.startswith("-")]
    if not found and _FREE.search(text):
        return None
    return [amount for amount in found if 0 <= amount < 1e6]


def _number(digits: str) -> float:
    digits = re.sub(r"[ \u00a0\u202f']", "", digits)
    if "," in digits and ("." in digits or re.search(r",\d{3}$", digits)):
        digits = digits.replace(",", "")
    return float(digits.replace(",", "."))


def _names_of(value: Json, rules: Rules) -> tuple[str, ...]:
    return names(_line(text_of(item, rules.languages)[0]) for item in items(value))


def _categories(node: Mapping[str, Any], rules: Rules) -> tuple[str, ...]:
    """Subclasses of Event, genre, keywords, and La Vitrine's disciplines, as words."""
    kinds = [_WORD.sub(" ", kind.removesuffix("Event").removesuffix("Series")) for kind in type_names(node)]
    found: list[Json] = [kind for kind in kinds if kind and kind != "Event"]
    for name in ("genre", "keywords"):
        for item in items(node.get(name)):
            text = text_of(item, rules.languages)[0]
            found.extend((text or "").split(","))
    for item in items(node.get("disciplines", node.get("discipline"))):
        value = mapping(item).get("label", mapping(item).get("name", item))
        found.append(text_of(value, rules.languages)[0])
    return names(islice((_line(clean_text(item)) for item in found), _MOST))


def _audience(node: Mapping[str, Any], rules: Rules) -> tuple[str, ...]:
    found: list[Json] = []
    for item in items(node.get("audience")):
        kinds = mapping(item).get("audienceType", item)
        found.extend(text_of(kind, rules.languages)[0] for kind in items(kinds))
    found.append(scalar(node.get("typicalAgeRange")))
    return names(found)


def _language(value: Json) -> str | None:
    for item in items(value):
        node = mapping(item)
        for text in (node.get("alternateName"), node.get("name"), node.get("@id"), item):
            if isinstance(text, str):
                found = language(text.strip()) or _FRENCH_ENGLISH.get(text.strip().casefold())
                if found is not None:
                    return found
    return None


def _series(value: Json) -> str | None:
    parent = next(iter(items(value)), None)
    if not isinstance(parent, dict):
        return clean_text(parent, limit=500)
    return _reference(parent) or clean_text(scalar(parent.get("url")), limit=500)
