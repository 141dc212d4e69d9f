"""Cities and addresses, and places that a listing writes into one field.

Belongs here: where a place is. What its name says is `venues`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from ingestion_assets.events.deduplication.text import fold, stem, words


@dataclass(frozen=True, slots=True)
class PlaceWords:
    """Words of places, folded: `generic` by sort of place, `city` by the city's common name."""

    generic: Mapping[str, str]
    filler: frozenset[str]
    rooms: frozenset[str]
    nowhere: frozenset[str]
    online: frozenset[str]
    city: Mapping[str, str]
    region: frozenset[str]


@lru_cache(maxsize=1)
def place_words() -> PlaceWords:
    """`venues.toml`, read once."""
    raw = tomllib.loads(files(__package__).joinpath("venues.toml").read_text(encoding="utf-8"))
    return PlaceWords(
        generic={" ".join(words(word)): sort for sort, names in raw["generic"].items() for word in names},
        filler=frozenset(raw["filler"]["filler"]),
        rooms=frozenset(raw["room"]["room"]),
        nowhere=frozenset(" ".join(words(name)) for name in raw["nowhere"]["nowhere"]),
        online=frozenset(raw["nowhere"]["online"]),
        city={" ".join(words(name)): city for city, names in raw["city"].items() for name in names},
        region=frozenset(raw["region"]["region"]),
    )


@lru_cache(maxsize=50_000)
def parse_city(city: str | None) -> str:
    """The city's common name, folded: boroughs become their city, a region after a comma goes. Empty: not named."""
    if not city:
        return ""
    tables = place_words()
    name = " ".join(words(city.split(",", maxsplit=1)[0]))
    name = re.sub(r"^(?:ville de|city of|arrondissement(?: de la| de| du| des| d)?|borough of) ", "", name)
    if name in tables.city:
        return tables.city[name]
    tokens = name.split()
    while len(tokens) > 1 and tokens[-1] in tables.region:
        tokens.pop()
    name = " ".join("saint" if word == "st" else "sainte" if word == "ste" else word for word in tokens)
    return tables.city.get(name, name)


_POSTAL = re.compile(r"\b(?:[a-z]\d[a-z]\s?\d[a-z]\d|\d{5}(?:-\d{4})?)\b", re.IGNORECASE)
_STREET = re.compile(
    r"^\d{1,6}[a-z]?(?:-\d+)?,?\s+\S|^(?:rue|avenue|av\.?|boulevard|boul\.?|chemin|ch\.?|chaussée|quai|allée)\s",
    re.IGNORECASE,
)


_ADDRESS_IN_BRACKETS = re.compile(r"^(.*\w)\s*\((\d{1,6}[a-z]?,?\s[^()]*)\)$", re.IGNORECASE)


@lru_cache(maxsize=32_768)
def split_place(name: str | None, address: str | None, city: str | None) -> tuple[str | None, str | None, str | None]:
    """Name, address and city, where a calendar writes all of them into one: `Club, 12, rue X, Montréal, QC H2X 1Y4`.

    What stands in its own field already is left as it is; a name without a street behind it is a name with a comma.
    """
    if name and (found := _ADDRESS_IN_BRACKETS.match(name)):
        name, address = found[1], address or found[2]
    elif name and name.isdigit() and address:
        name, address = None, address if address[0].isdigit() else f"{name} {address}"
    elif name and (address is None or address.startswith(name)) and _only_an_address(name):
        name, address = None, address or name
    elif name and "," in name:
        parts = [part.strip() for part in name.split(",")]
        parts = [part for part in parts if part]
        begin = next((i for i, part in enumerate(parts) if i and (_STREET.match(part) or part.isdigit())), 0)
        if begin:
            name = ", ".join(parts[:begin])
            address = address or ", ".join(parts[begin:])
    if address and not city:
        city = _city_of(address)
    return name, address, city


def _only_an_address(name: str) -> bool:
    return bool(_STREET.match(name)) and ("," in name or not _STREET_TYPES.isdisjoint(words(name)))


_STREET_TYPES = frozenset(
    "rue street st avenue ave av boulevard boul blvd chemin ch road rd drive lane way court crescent parkway highway "
    "quai allee impasse cours montee rang chaussee straat laan strasse".split()
)


def _city_of(address: str) -> str | None:
    """The city of a written-out address: what stands before its region or postal code, or has a name that we know."""
    tables = place_words()
    parts = [part.strip() for part in address.split(",")]
    street = 2 if parts[0].isdigit() else 1  # `12, rue X` has its street behind the comma
    located = False
    for place in range(len(parts) - 1, street - 1, -1):
        name = _POSTAL.sub("", parts[place]).strip()
        written = " ".join(words(name))
        located = located or name != parts[place]
        if written in tables.city and (place == street or written not in tables.region):
            return name
        if not written or written in tables.region:
            located = True
        elif located:
            return name
    return None


_STREET_WORDS = frozenset(
    "rue street st ave avenue av boul boulevard blvd bd chemin ch road rd place pl drive dr route rte cote est east "
    "e ouest west "
    "w o nord north n sud south s the le la les de du des l d bureau suite local app apt unit floor etage".split()
)


_DOOR_LAST = re.compile(r"\s(\d{1,4})[a-z]?(?:\s+\d{4,5})?\s*$")


@lru_cache(maxsize=32_768)
def parse_address(address: str | None) -> tuple[str, frozenset[str]]:
    """Civic number and proper words of the street. Empty where there is none."""
    if not address:
        return "", frozenset()
    line = fold(address).split(",")
    # `123, rue X` has its street behind the comma.
    text = " ".join(line[:2]) if line[0].strip().isdigit() else line[0]
    found = re.match(r"\s*(\d{1,6})[a-z]?(?:-\d+)?\b", text)
    if found:
        number, text = found[1], text[found.end() :]
    else:  # `rue X 12`, as in Belgium and beyond
        found = _DOOR_LAST.search(text)
        number, text = (found[1], text[: found.start()]) if found else ("", text)
    rest = words(text)
    return number, frozenset(stem(word) for word in rest if word not in _STREET_WORDS and not word.isdigit())


def compare_addresses(a: tuple[str, frozenset[str]], b: tuple[str, frozenset[str]]) -> int:
    """1: the same door or the next one, -1: two doors, 0: cannot tell."""
    if not a[0] or not b[0] or not a[1] or not b[1]:
        return 0
    shared = bool(a[1] & b[1])
    if a[0] == b[0]:
        return 1 if shared else 0
    apart = abs(int(a[0]) - int(b[0]))
    return (1 if apart <= _NEXT_DOOR else 0 if apart <= _SAME_BLOCK else -1) if shared else -1


_NEXT_DOOR, _SAME_BLOCK = 6, 40
"""By how much the civic numbers of one place differ: a corner house has two, a typist finds a third."""
