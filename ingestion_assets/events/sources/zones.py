"""Time zone names, however a feed spells them, as canonical IANA names.

Belongs here: names. Offsets and transitions belong to `zoneinfo`; zones that a calendar defines itself belong to
`ics/vtimezone.py`. The data is the tz database of the `tzdata` package: `tzdata.zi` holds the links from old names to
new ones, `zone.tab` the names in use per country.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

_UTC_NAMES = frozenset(
    {
        "utc",
        "z",
        "zulu",
        "etc/utc",
        "etc/uct",
        "etc/zulu",
        "etc/universal",
        "uct",
        "universal",
        "coordinated universal time",
    }
)
_PREFIX = re.compile(r"^\(?(?:UTC|GMT)\s*(?:([+-])(\d{1,2})(?::?(\d{2}))?)?\)\s*", re.IGNORECASE)
_OFFSET = re.compile(r"^(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?$", re.IGNORECASE)

# What Windows, Outlook and Rails show to people, where no city of the name says it. Keys are folded (`_folded`).
_DISPLAY_NAMES = {
    "alaska": "America/Anchorage",
    "aleutian islands": "America/Adak",
    "arizona": "America/Phoenix",
    "atlantic": "America/Halifax",
    "atlantic time canada": "America/Halifax",
    "atlantic time": "America/Halifax",
    "baja california": "America/Tijuana",
    "cabo verde is.": "Atlantic/Cape_Verde",
    "cape verde is.": "Atlantic/Cape_Verde",
    "canberra, melbourne, sydney": "Australia/Sydney",
    "central": "America/Chicago",
    "central america": "America/Guatemala",
    "central time": "America/Chicago",
    "central time us and canada": "America/Chicago",
    "chennai, kolkata, mumbai, new delhi": "Asia/Kolkata",
    "city of buenos aires": "America/Argentina/Buenos_Aires",
    "dublin, edinburgh, lisbon, london": "Europe/London",
    "eastern": "America/New_York",
    "eastern time": "America/New_York",
    "eastern time us and canada": "America/New_York",
    "est e.-u. et canada": "America/New_York",
    "est etats-unis et canada": "America/New_York",
    "greenland": "America/Nuuk",
    "greenwich mean time": "Europe/London",
    "hawaii": "Pacific/Honolulu",
    "heure de l'est": "America/Toronto",
    "heure de l'est e.-u. et canada": "America/New_York",
    "heure de l'est canada": "America/Toronto",
    "indiana east": "America/Indiana/Indianapolis",
    "international date line west": "Etc/GMT+12",
    "mountain": "America/Denver",
    "mountain time": "America/Denver",
    "mountain time us and canada": "America/Denver",
    "newfoundland": "America/St_Johns",
    "pacific": "America/Los_Angeles",
    "pacific time": "America/Los_Angeles",
    "pacific time us and canada": "America/Los_Angeles",
    "saskatchewan": "America/Regina",
    "solomon is., new caledonia": "Pacific/Guadalcanal",
    "sri jayawardenepura": "Asia/Colombo",
    "west central africa": "Africa/Lagos",
    "yukon": "America/Whitehorse",
}
# Zones of the tz database that name no place; the feeds that use them mean the place.
_POSIX_NAMES = {
    "est5edt": "America/New_York",
    "cst6cdt": "America/Chicago",
    "mst7mdt": "America/Denver",
    "pst8pdt": "America/Los_Angeles",
}
_DAYLIGHT = re.compile(r"\b(?:daylight|summer)\b", re.IGNORECASE)


@lru_cache(maxsize=4096)
def canonical_zone(name: str) -> str | None:
    """The canonical IANA name of the zone that `name` means, or None when nobody knows it.

    Understood: IANA names in any case and their old spellings (`America/Montreal` is `America/Toronto`, `US/Eastern` is
    `America/New_York`), prefixed ones (`/mozilla.org/20050126_1/America/Toronto`), Windows names (`Eastern Standard
    Time`), display names (`(UTC-05:00) Eastern Time (US & Canada)`, `Eastern Time - Toronto`), whole-hour offsets
    (`UTC-05:00` is `Etc/GMT+5`). A name that its country still uses stays (`Europe/Stockholm`), although the data of
    another zone serves it. UTC is always `UTC`.
    """
    text = " ".join(name.strip().strip("\"'").split())
    if not text or len(text) > 200:
        return None
    return _iana(text) or _offset_zone(text) or _windows(text) or _displayed(text)


def zone_or(name: str | None, default: str) -> str:
    """The canonical zone that `name` means, `default` when it is missing or unknown."""
    return (canonical_zone(name) if name else None) or default


@lru_cache(maxsize=1)
def zones_in_use() -> tuple[str, ...]:
    """Every canonical name that belongs to a place, the large zones of North America and Europe first."""
    first = (
        *("America/Toronto", "America/New_York", "America/Halifax", "America/St_Johns", "America/Winnipeg"),
        *("America/Chicago", "America/Edmonton", "America/Denver", "America/Vancouver", "America/Los_Angeles"),
        *("Europe/London", "Europe/Paris", "Europe/Berlin", "Europe/Athens", "Australia/Sydney", "Pacific/Auckland"),
    )
    others = sorted({zone for zone in _names().values() if "/" in zone and not zone.startswith("Etc/")} - set(first))
    return (*first, *others)


def _iana(text: str) -> str | None:
    names = _names()
    folded = text.casefold().replace(" ", "_").replace("\\", "/")
    if text.casefold() in _UTC_NAMES:
        return "UTC"
    parts = folded.strip("/").split("/")
    # Evolution, Mozilla and libical put a prefix of their own before the name; no IANA name has more than three parts.
    for length in (len(parts), 3, 2):
        if length <= len(parts) and (known := names.get("/".join(parts[-length:]))) is not None:
            return known
    if "-" in folded and "/" not in folded:  # America-Toronto
        return names.get(folded.replace("-", "/", 1))
    return "UTC" if folded.startswith("tzone:") and parts[-1] == "utc" else None


def _offset_zone(text: str) -> str | None:
    match = _OFFSET.match(text.replace(" ", ""))
    if match is None or match[3] not in (None, "00") or int(match[2]) > 14:
        return None
    hours = int(match[2])
    # POSIX signs: Etc/GMT+5 is five hours *behind* UTC.
    return _names().get(f"etc/gmt{'-' if match[1] == '+' else '+'}{hours}") if hours else "UTC"


def _windows(text: str) -> str | None:
    known = _windows_names().get(_DAYLIGHT.sub("Standard", text).casefold())
    return None if known is None else _iana(known)


def _displayed(text: str) -> str | None:
    match = _PREFIX.match(text)
    folded = _folded(text[match.end() :] if match else text)
    offset = None if match is None else _signed(match)
    if not folded or folded in _UTC_NAMES:
        return "UTC" if match or folded else None
    if (known := _DISPLAY_NAMES.get(folded)) is not None:
        return known
    if (known := _windows_names().get(folded)) is not None:
        return _iana(known)
    for city in re.split(r"\s*(?:,|\s-\s|:|\()\s*", folded):
        zone = _cities().get(city.strip(" )").replace(" ", "_"))
        # "La Paz" is in Mexico for one list and in Bolivia for the other: the offset in front of it decides.
        if zone is not None and (offset is None or _standard_offset(zone) == offset):
            return zone
    return _iana(folded)


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.replace("’", "'")).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[()]", " ", plain.replace("&", " and ").replace(" - ", ", ")).casefold().split())


def _signed(match: re.Match[str]) -> timedelta:
    if match[1] is None:
        return timedelta(0)
    span = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    return -span if match[1] == "-" else span


def _standard_offset(zone: str) -> timedelta | None:
    info = ZoneInfo(zone)
    offsets = [datetime(2026, month, 15, 12, tzinfo=info).utcoffset() for month in (1, 7)]
    return min((offset for offset in offsets if offset is not None), default=None)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Every IANA name in lower case -> the canonical name."""
    data = resources.files("tzdata") / "zoneinfo"
    in_use = {
        line.split("\t")[2].strip()
        for line in (data / "zone.tab").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    }
    links: dict[str, str] = {}
    zones: set[str] = set(in_use)
    for line in (data / "tzdata.zi").read_text("utf-8").splitlines():
        if line.startswith("Z "):
            zones.add(line.split(" ", 2)[1])
        elif line.startswith("L "):
            _, target, alias = line.split(" ")
            links[alias] = target
    names = {zone.lower(): zone for zone in zones}
    for alias, target in links.items():
        if alias not in in_use:
            final = target
            while final in links and final not in in_use:
                final = links[final]
            names[alias.lower()] = "UTC" if final == "Etc/UTC" else final
    names["etc/utc"] = "UTC"
    names.pop("factory", None)  # the database's word for "nobody has set a zone yet"
    return names | _POSIX_NAMES


@lru_cache(maxsize=1)
def _cities() -> dict[str, str]:
    """City names that one canonical zone alone has -> that zone."""
    found: dict[str, set[str]] = {}
    for name, zone in _names().items():
        if "/" in name and not name.startswith("etc/"):
            found.setdefault(name.rsplit("/", 1)[1], set()).add(zone)
    return {city: zones.pop() for city, zones in found.items() if len(zones) == 1}


@lru_cache(maxsize=1)
def _windows_names() -> dict[str, str]:
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    return {name.casefold(): zone for name, zone in WINDOWS_TO_OLSON.items()}
