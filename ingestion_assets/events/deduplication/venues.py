"""Places: what of a venue's name identifies it, what its address says, which city is meant, how alike two venues are.

Belongs here: what can be said of places by themselves. Aliases learned from a corpus come from `statistics`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from importlib.resources import files

from ingestion_assets.events.deduplication.text import fold, stem, words
from ingestion_assets.events.deduplication.titles import parse_title


class Likeness(IntEnum):
    """How two venues compare, from certainly two to certainly one. `UNKNOWN`: one of them is not named."""

    DIFFERENT = 0
    CLASHING = 1
    """The same proper name on two sorts of place: a theatre and a library of one street."""
    WEAK = 2
    UNKNOWN = 3
    PARTIAL = 4
    STRONG = 5
    SAME = 6


@dataclass(frozen=True, slots=True)
class ParsedVenue:
    """What a venue's name says. `core` are its proper words, `sorts` its kinds of place, `initials` of all its words,
    `joined` its words without the generic ones, run together.
    """

    key: str
    """The name reduced to core and sorts; two spellings with one key are one venue. Empty: nowhere in particular."""
    core: frozenset[str] = frozenset()
    sorts: frozenset[str] = frozenset()
    initials: str = ""
    joined: str = ""


@dataclass(frozen=True, slots=True)
class _Tables:
    generic: Mapping[str, str]
    filler: frozenset[str]
    rooms: frozenset[str]
    nowhere: frozenset[str]
    online: frozenset[str]
    city: Mapping[str, str]
    region: frozenset[str]


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    raw = tomllib.loads(files(__package__).joinpath("venues.toml").read_text(encoding="utf-8"))
    return _Tables(
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
    tables = _tables()
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
    r"^\d{1,6}[a-z]?(?:-\d+)?\s+\S|^(?:rue|avenue|av\.?|boulevard|boul\.?|chemin|ch\.?)\s", re.IGNORECASE
)


_ADDRESS_IN_BRACKETS = re.compile(r"^(.*\w)\s*\((\d{1,6}[a-z]?,?\s[^()]*)\)$", re.IGNORECASE)


@lru_cache(maxsize=32_768)
def split_place(name: str | None, address: str | None, city: str | None) -> tuple[str | None, str | None, str | None]:
    """Name, address and city, where a calendar writes all of them into one: `Club, 12, rue X, Montréal, QC H2X 1Y4`.

    What stands in its own field already is left as it is; a name without a street behind it is a name with a comma.
    """
    if name and (found := _ADDRESS_IN_BRACKETS.match(name)):
        name, address = found[1], address or found[2]
    elif name and name.isdigit() and address and address.startswith(name):
        name = None
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


_STREET_TYPES = frozenset("rue street avenue ave boulevard boul blvd chemin road rd drive".split())


def _city_of(address: str) -> str | None:
    """The city of a written-out address: what stands before its region or postal code, or has a name that we know."""
    tables = _tables()
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


@lru_cache(maxsize=32_768)
def parse_venue(name: str | None, city: str = "") -> ParsedVenue:
    """The identifying words of a venue's name; `city` (as `parse_city` gives it) and rooms in it are dropped."""
    if not name:
        return _NOWHERE
    tables = _tables()
    spoken = _without_rooms(name)
    if " ".join(spoken) in tables.nowhere or tables.online.issuperset(spoken):
        return _NOWHERE
    away = set(city.split()) | ({city} if city else set())
    core: list[str] = []
    sorts: list[str] = []
    for word in spoken:
        sort = tables.generic.get(word) or (tables.generic.get(word[:-1]) if word.endswith("s") else None)
        if sort:
            sorts.append(sort)
        elif word not in tables.filler:
            core.append(_COMMON_FORM.get(word) or _ORDINAL.sub(r"\1", word))
    proper = [word for word in core if word not in away and word not in tables.region]
    # `Théâtre de Québec` is named after its city and has nothing else to go by.
    # Half of all churches are called Saint something.
    proper = [word for word in proper if word not in ("saint", "sainte")] or proper
    chosen = frozenset(stem(word) for word in (proper or core))
    kinds = frozenset(sorts)
    if not chosen and not kinds:
        chosen = frozenset(spoken)
    initials = "".join(
        word[0]
        for word in spoken
        if word not in ("the", "la", "le", "les", "l", "de", "du", "des", "d", "of", "et", "and")
    )
    key = " ".join(sorted(chosen)) + "|" + " ".join(sorted(kinds))
    joined = "".join(word for word in spoken if word not in tables.generic and word not in away)
    return ParsedVenue(key, chosen, kinds, initials, joined)


def is_online(name: str) -> bool:
    """The name says that the event is on the net, and nothing else."""
    return _tables().online.issuperset(words(name))


_NOWHERE = ParsedVenue("")
_PIECES = re.compile(r"\s[-–—/|]\s|[,()\[\]–—:]")
_FORMER = re.compile(r"\(\s*(?:formerly|former|anciennement|autrefois|ex[-\s]|aka|jadis)[^)]*\)", re.IGNORECASE)


def _without_rooms(name: str) -> list[str]:
    """The name's words but for its rooms: `Théâtre X – Salle 2` and `Studio B, Théâtre X` are in Théâtre X."""
    pieces = [found for piece in _PIECES.split(_FORMER.sub(" ", name)) if (found := words(piece))]
    rooms = _tables().rooms
    houses = [piece for piece in pieces if not all(word in rooms or word.isdigit() or len(word) == 1 for word in piece)]
    return [word for piece in houses or pieces for word in piece]


_ORDINAL = re.compile(r"^(\d+)(?:e|er|re|eme|ieme|st|nd|rd|th)$")
_COMMON_FORM = {
    "st": "saint",
    "ste": "sainte",
    "nouveau": "new",
    "nouvelle": "new",
    "vieux": "old",
    "vieille": "old",
    "petit": "little",
    "petite": "little",
    "grande": "grand",
    "nord": "north",
    "sud": "south",
    "ouest": "west",
} | {
    word: str(number)
    for number, names in enumerate(
        ("premier premiere first", "deuxieme second", "troisieme third", "quatrieme fourth", "cinquieme fifth"), start=1
    )
    for word in names.split()
}

_STREET_WORDS = frozenset(
    "rue street st ave avenue av boul boulevard blvd bd chemin ch road rd place pl drive dr route rte cote est east "
    "e ouest west "
    "w o nord north n sud south s the le la les de du des l d bureau suite local app apt unit floor etage".split()
)


@lru_cache(maxsize=32_768)
def parse_address(address: str | None) -> tuple[str, frozenset[str]]:
    """Civic number and proper words of the street. Empty where there is none."""
    if not address:
        return "", frozenset()
    line = fold(address).split(",")
    # `123, rue X` has its street behind the comma.
    text = " ".join(line[:2]) if line[0].strip().isdigit() else line[0]
    found = re.match(r"\s*(\d{1,6})[a-z]?(?:-\d+)?\b", text)
    number = found[1] if found else ""
    rest = words(text[found.end() :] if found else text)
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
_NOT_EVEN_MISSPELT = 0.75


_ANY_HOUSE = frozenset({"hall", "space", "room", "place", "complex"})
"""Sorts that say little: with a proper name of two words they may be any other."""


@lru_cache(maxsize=32_768)
def compare_venues(a: ParsedVenue, b: ParsedVenue) -> Likeness:
    """How alike two venue names are, apart from where they stand. Symmetric."""
    from rapidfuzz.distance import JaroWinkler

    if not a.key or not b.key:
        return Likeness.UNKNOWN
    if a.key == b.key:
        return Likeness.SAME
    clash = bool(a.sorts and b.sorts and not a.sorts & b.sorts)
    if clash and len(a.core & b.core) > 1 and (a.sorts <= _ANY_HOUSE or b.sorts <= _ANY_HOUSE):
        clash = False  # `Salle Lemay-Petit`, `Cabaret Lemay-Petit`
    if not a.core or not b.core:
        # `Salle communautaire` and `Salle communautaire Nord`: only sorts to go by on one side.
        return Likeness.WEAK if a.sorts & b.sorts else Likeness.DIFFERENT
    if a.joined and a.joined == b.joined and a.core != b.core:
        return Likeness.CLASHING if clash else Likeness.STRONG
    common = a.core & b.core
    alike = JaroWinkler.similarity(a.joined, b.joined)
    if not common and alike < _NOT_EVEN_MISSPELT:
        return Likeness.STRONG if _abbreviates(a, b) or _abbreviates(b, a) else Likeness.DIFFERENT
    left, right = _without_misspelt(a.core - common, b.core - common)
    common = a.core - left
    if not left and not right:
        return Likeness.CLASHING if clash else Likeness.SAME if a.sorts == b.sorts else Likeness.STRONG
    if common and (not left or not right):
        if clash:
            return Likeness.CLASHING
        shorter = min(a.core, b.core, key=len)
        return Likeness.STRONG if len(common) > 1 or len(max(shorter, key=len)) > 4 else Likeness.PARTIAL
    if _abbreviates(a, b) or _abbreviates(b, a):
        return Likeness.STRONG
    if a.joined and (a.joined == b.joined or alike >= 0.94):
        return Likeness.CLASHING if clash else Likeness.STRONG
    # `Ciné X Verdun` and `Ciné X Lachine`: each has a word of its own.
    return Likeness.WEAK if common else Likeness.DIFFERENT


_PLACE_BEGINS = re.compile(
    r"\s+(?:@|[-–—|])\s+|\s*[|()\[\]@]\s*|\s*:\s+|,\s+|\s+(?:at|in|à|au|aux|chez)\s+(?:(?:la|le|les|the)\s+|l['’])?",
    re.IGNORECASE,
)


@lru_cache(maxsize=32_768)
def without_place(title: str, venue: str | None, city: str | None) -> str:
    """The title but for the pieces that name its own venue: `X @ Théâtre Y`, `Club Y : X`, `X au Musée Y`.

    They would be taken for what the event is: a play, where the venue is a theatre. Something always stays.
    """
    town = parse_city(city)
    place = parse_venue(venue, town)
    if place.core.isdisjoint(stem(word) for word in words(title)):
        return title
    begin, kept = 0, ""
    for found in (*_PLACE_BEGINS.finditer(title), None):
        piece = title[begin : found.start() if found else None]
        named = parse_venue(piece, town)
        here = named.core and named.core <= place.core and compare_venues(named, place) >= Likeness.STRONG
        # `Parking : X` at the car park of the arena says what is sold.
        if not here or parse_title(piece).addons:
            kept += piece
        if found:
            kept += found[0]
            begin = found.end()
    return kept if any(map(str.isalpha, kept)) else title


_CUT = 5
"""Letters from which the beginning of a name stands for it: `Transbo`."""


def _without_misspelt(left: frozenset[str], right: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The words of each side that have no near twin on the other: one letter apart, two from eight on, or cut short."""
    from rapidfuzz.distance import OSA

    for word in sorted(left):
        for other in sorted(right):
            shorter = min(len(word), len(other))
            cutoff = 1 if shorter < 8 else 2
            alike = shorter > 3 and word.isalpha() and other.isalpha()
            cut = shorter >= _CUT and (word.startswith(other) or other.startswith(word))
            if alike and (cut or OSA.distance(word, other, score_cutoff=cutoff) <= cutoff):
                left, right = left - {word}, right - {other}
                break
    return left, right


def _abbreviates(short: ParsedVenue, long: ParsedVenue) -> bool:
    """`TNM` for Théâtre du Nouveau Monde, `PdA` for Place des Arts."""
    if len(long.initials) > 2 and long.initials in short.core:
        return True  # `NAC - Southam Hall`
    if len(short.core) != 1:
        return False
    letters = next(iter(short.core))
    if not 2 <= len(letters) <= 6 or len(long.initials) < 2:
        return False
    # The other language has the words in another order.
    return letters in (long.initials, long.initials[1:]) or (
        len(letters) > 2 and sorted(letters) == sorted(long.initials)
    )
