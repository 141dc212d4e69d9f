"""Where a VEVENT takes place: LOCATION is free text, the coordinates are somewhere else.

Belongs here: splitting that text into name, address, city and the like, where it can be done without guessing, and
telling a link or "online" from a place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingestion_assets.events.model import Venue
from ingestion_assets.events.sources.ics.components import Property
from ingestion_assets.events.sources.ics.values import unescape
from ingestion_assets.events.sources.ics.vevent import VEvent
from ingestion_assets.events.sources.text import clean_text, html_to_text

MAX_PART = 300

_URL = re.compile(r"https?://[^\s<>\"',;]+", re.IGNORECASE)
_ONLINE = re.compile(
    r"(?:(?:événement|evenement|activité|event)\s+)?(?:en ligne|online|virtuel(?:le)?|virtual|web(?:inaire|inar)|zoom|"
    r"teams|microsoft teams(?: meeting| \w+)?|google meet|visioconférence|sur le web)",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"(?:tb[acd]|to be (?:announced|confirmed)|à (?:venir|confirmer|déterminer|préciser)|n/?a|-+)", re.IGNORECASE
)
_CANADIAN_POSTAL = re.compile(
    r"\b([ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z])[ -]?(\d[ABCEGHJ-NPRSTV-Z]\d)\b", re.IGNORECASE
)
_US_POSTAL = re.compile(r"\b([A-Z]{2})\s+(\d{5}(?:-\d{4})?)$")
_COUNTRIES = {
    "canada": "CA",
    "france": "FR",
    "états-unis": "US",
    "etats-unis": "US",
    "united states": "US",
    "united states of america": "US",
    "usa": "US",
}
_REGIONS = {
    "qc": "QC", "québec": "QC", "quebec": "QC", "on": "ON", "ontario": "ON", "nb": "NB", "nouveau-brunswick": "NB",
    "new brunswick": "NB", "ns": "NS", "nova scotia": "NS", "nouvelle-écosse": "NS", "mb": "MB", "manitoba": "MB",
    "bc": "BC", "british columbia": "BC", "ab": "AB", "alberta": "AB", "sk": "SK", "saskatchewan": "SK",
    "pe": "PE", "nl": "NL", "yt": "YT", "nt": "NT", "nu": "NU",
}  # fmt: skip
_REGION_TAIL = re.compile(r"^(.*?)\s*\(?\b(QC|Qu[ée]bec|ON|Ontario)\)?$", re.IGNORECASE)
# Places where the last part is a city although neither province nor postal code says so: the largest of Quebec.
_CITIES = frozenset(
    {
        *(
            "montréal",
            "montreal",
            "laval",
            "longueuil",
            "gatineau",
            "sherbrooke",
            "trois-rivières",
            "saguenay",
            "lévis",
        ),
        *("terrebonne", "brossard", "saint-jérôme", "westmount", "verdun", "ville de québec", "ottawa", "toronto"),
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """What LOCATION and its relatives say."""

    venue: Venue | None
    online: bool = False
    url: str | None = None
    """A link that stands where a place should."""
    warnings: tuple[str, ...] = ()


def read_place(event: VEvent) -> Place:
    """Where the event takes place. Never fails; coordinates out of range and 0,0 are dropped and named."""
    apple = event.first("X-APPLE-STRUCTURED-LOCATION")
    text = unescape(event.value("LOCATION"))
    if "<" in text or "&" in text:
        text = html_to_text(text)
    match = _URL.search(text)
    link = None
    if match is not None:
        # The bracket or full stop after a link belongs to the sentence around it.
        link = clean_text(match[0].rstrip(".)]}!?:"))
        text = (text[: match.start()] + text[match.end() :]).replace("()", " ")
        text = text.rstrip(" (")
    parts = [part for part in (clean_text(piece, limit=MAX_PART) for piece in re.split(r"[\n,;|]+", text)) if part]
    online = False
    if parts and all(_ONLINE.fullmatch(part.strip("() ")) for part in parts):
        parts, online = [], True
    elif len(parts) == 1 and _UNKNOWN.fullmatch(parts[0]):
        parts = []
    if not parts and apple is not None:
        parts = _apple_parts(apple)
    point, warnings = _point(event, apple)
    if not parts and point is None:
        return Place(None, online or link is not None, link, warnings)
    return Place(_venue(parts, point), online, link, warnings)


def _apple_parts(apple: Property) -> list[str]:
    title, address = (unescape(apple.params.get(name, "")) for name in ("X-TITLE", "X-ADDRESS"))
    pieces = [title, *re.split(r"[\n,]+", address)]
    return [part for part in (clean_text(piece, limit=MAX_PART) for piece in pieces) if part]


def _venue(parts: list[str], point: tuple[float, float] | None) -> Venue:
    rest = list(parts)
    country = region = postal = city = None
    if len(rest) > 1 and (country := _COUNTRIES.get(rest[-1].casefold())) is not None:
        rest.pop()
    located = country is not None
    if len(rest) > 1:
        # Only what follows the name: a hall may be called "Salle H2X 1Y4" for all we know.
        tail, region, postal = _region(rest[-1])
        if region is None and postal is not None and len(rest) > 2 and not tail:
            rest.pop()
            tail, region, _ = _region(rest[-1])
        located = located or region is not None or postal is not None
        rest.pop()
        if tail:
            rest.append(tail)
    if len(rest) > 1 and _is_city(rest[-1], located=located):
        city = rest.pop()
    if postal is not None or region is not None:
        country = country or ("US" if postal is not None and postal[0].isdigit() else "CA")
    name = rest.pop(0) if rest and not rest[0][0].isdigit() else None
    lat, lon = point or (None, None)
    return Venue(
        name=name,
        address=", ".join(rest) or None,
        city=city,
        region=region,
        postal_code=postal,
        country=country,
        lat=lat,
        lon=lon,
    )


def _region(part: str) -> tuple[str, str | None, str | None]:
    """A part of an address as what is left of it, its province or state, its postal code."""
    postal = None
    match = _CANADIAN_POSTAL.search(part)
    if match is not None:
        postal = f"{match[1]} {match[2]}".upper()
        part = (part[: match.start()] + part[match.end() :]).strip(" ()")
    elif (match := _US_POSTAL.search(part)) is not None:
        return part[: match.start()].strip(), match[1], match[2]
    region = _REGIONS.get(part.strip("() ").casefold())
    if region is not None:
        return "", region, postal
    tail = _REGION_TAIL.match(part)
    if tail is not None and tail[1]:
        return tail[1].strip(" ,("), _REGIONS[tail[2].casefold()], postal
    return part, None, postal


def _is_city(part: str, *, located: bool) -> bool:
    if any(character.isdigit() for character in part):
        return False
    return located or part.casefold() in _CITIES


def _point(event: VEvent, apple: Property | None) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    texts = [re.split(r"[;,]", unescape(event.value("GEO")))]
    if apple is not None:
        texts.append(apple.value.strip().lower().removeprefix("geo:").partition(";")[0].split(","))
    bad = False
    for pair in texts:
        if len(pair) < 2:
            bad = bad or bool(pair[0].strip())
            continue
        try:
            lat, lon = float(pair[0]), float(pair[1])
        except ValueError:
            bad = True
            continue
        if -90 <= lat <= 90 and -180 <= lon <= 180 and (lat, lon) != (0, 0):
            return (lat, lon), ()
        bad = True
    return None, ("coordinates_dropped",) if bad else ()
