"""Venues: what of a name identifies the place, and how alike two names are.

Belongs here: what can be said of names by themselves. Where a place is says `addresses`; aliases learned from a corpus
come from `statistics`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from ingestion_assets.events.deduplication.addresses import parse_city, place_words
from ingestion_assets.events.deduplication.lexicon import default_lexicon
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
    """What a venue's name says. `core` are its proper words, `sorts` its kinds of place, `joined` its words without the
    generic ones, run together.
    """

    key: str
    """The name reduced to core and sorts; two spellings with one key are one venue. Empty: nowhere in particular."""
    core: frozenset[str] = frozenset()
    sorts: frozenset[str] = frozenset()
    joined: str = ""
    pieces: frozenset[str] = frozenset()
    """The keys of its pieces, where it has several: `Pavillon X, Université Y`."""
    acronyms: frozenset[tuple[str, str]] = frozenset()
    """What it is if it is short for something: a piece of one word, or the capitals in it (`UdeM` is `um`); and the word."""
    initials: frozenset[str] = frozenset()
    """What it can be called for short."""
    room: str = ""
    """The number or the letter of the room in it: `Salle 3`."""


@lru_cache(maxsize=32_768)
def parse_venue(name: str | None, city: str = "") -> ParsedVenue:
    """The identifying words of a venue's name; `city` (as `parse_city` gives it) and rooms in it are dropped."""
    if not name:
        return _NOWHERE
    tables = place_words()
    name = _DOTTED.sub(lambda found: found[0].replace(".", ""), name)
    houses = _without_rooms(name)
    spoken = [word for house in houses for word in house]
    if " ".join(spoken) in tables.nowhere or tables.online.issuperset(spoken):
        return _NOWHERE
    away = set(city.split()) | ({city} if city else set())
    core, sorts = _identify(spoken, away)
    named = [house for house in houses if not all(word in away or word in tables.region for word in house)]
    pieces = frozenset(_key(*_identify(house, away)) for house in named) if len(named) > 1 else frozenset()
    joined = "".join(word for word in spoken if word not in tables.generic and word not in away)
    initials = frozenset(short for words_of in (*named, spoken) for short in _initials(words_of, city))
    return ParsedVenue(_key(core, sorts), core, sorts, joined, pieces, _acronyms(name), initials, _room(name))


def _identify(spoken: list[str], away: set[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The proper words of a name, and its sorts of place."""
    tables = place_words()
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
    if not chosen and not sorts:
        chosen = frozenset(spoken)
    return chosen, frozenset(sorts)


def _key(core: frozenset[str], sorts: frozenset[str]) -> str:
    return " ".join(sorted(core)) + "|" + " ".join(sorted(sorts))


_DOTTED = re.compile(r"\b(?:\w\.){2,}")
"""`S.A.T.`"""
_SMALL = frozenset("the la le les l de du des d of for pour et and".split())
_LONGEST_ACRONYM = 10


def _initials(spoken: list[str], city: str) -> Iterator[str]:
    """`tnm` for Théâtre du Nouveau Monde, `mcq` where it is in Québec, `uottawa` for University of Ottawa."""
    spelt = [word for word in spoken if word not in _SMALL]
    if len(spelt) > 1:
        letters = "".join(word[0] for word in spelt)
        yield letters
        if city and city not in spoken:
            yield letters + city[0]
        yield letters[:-1] + spelt[-1]


def _acronyms(name: str) -> frozenset[tuple[str, str]]:
    found = set()
    for piece in _PIECES.split(_FORMER.sub(" ", name)):
        letters = piece.strip()
        if letters.isalpha() and 2 <= len(letters) <= _LONGEST_ACRONYM:
            word = fold(letters)
            capitals = "".join(char for char in letters if char.isupper())
            found.add((word, word))
            if 1 < len(capitals) < len(letters):
                found.add((fold(capitals), word))
    return frozenset(found)


def is_online(name: str) -> bool:
    """The name says that the event is on the net, and nothing else."""
    return place_words().online.issuperset(words(name))


_NOWHERE = ParsedVenue("")
_PIECES = re.compile(r"\s[-–—/|]\s|[,()\[\]–—:]")
_FORMER = re.compile(r"\(\s*(?:formerly|former|anciennement|autrefois|ex[-\s]|aka|jadis)[^)]*\)", re.IGNORECASE)


def _without_rooms(name: str) -> list[list[str]]:
    """The words of the name's pieces but for its rooms: `Théâtre X – Salle 2` and `Studio B, Théâtre X` are Théâtre X."""
    pieces = [found for piece in _PIECES.split(_FORMER.sub(" ", name)) if (found := words(piece))]
    rooms = place_words().rooms
    houses = [piece for piece in pieces if not all(word in rooms or word.isdigit() or len(word) == 1 for word in piece)]
    return houses or pieces


def _room(name: str) -> str:
    """`3` for Salle 3, `b` for Studio B."""
    found = _NUMBERED_ROOM.search(fold(name))
    return found[1] if found else ""


_NUMBERED_ROOM = re.compile(
    # A letter that is followed by more is a word: Salle à manger, Théâtre d'Aujourd'hui.
    r"\b(?:salle|studio|screen|room|theatre|cinema|ecran)\s+(?:no\.?\s*|#\s*)?"
    r"(\d{1,2}\b|[a-h](?=\s*(?:$|[^\w\s'’])))"
)


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

_NOT_EVEN_MISSPELT = 0.75
_SCREENS = frozenset({"theatre", "cinema"})
"""In English a cinema may be called a theatre."""
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
    if a.key in b.pieces or b.key in a.pieces:
        return Likeness.STRONG if min(a, b, key=lambda venue: len(venue.pieces)).core else Likeness.WEAK
    if _abbreviates(a, b) or _abbreviates(b, a):
        return Likeness.STRONG
    clash = bool(a.sorts and b.sorts and not a.sorts & b.sorts and not a.sorts | b.sorts <= _SCREENS)
    if clash and len(a.core & b.core) > 1 and (a.sorts <= _ANY_HOUSE or b.sorts <= _ANY_HOUSE):
        clash = False  # `Salle Lemay-Petit`, `Cabaret Lemay-Petit`
    if not a.core or not b.core:
        # `Salle communautaire` and `Salle communautaire Nord`: only sorts to go by on one side.
        return Likeness.WEAK if a.sorts & b.sorts else Likeness.DIFFERENT
    if a.joined and a.joined == b.joined and a.core != b.core:
        return Likeness.CLASHING if clash else Likeness.STRONG
    common = a.core & b.core
    alike = JaroWinkler.similarity(a.joined, b.joined)
    left, right = _without_translated(a.core - common, b.core - common)
    if len(left) == len(a.core) and alike < _NOT_EVEN_MISSPELT:
        return Likeness.DIFFERENT
    left, right = _without_misspelt(left, right)
    common = a.core - left
    if not left and not right:
        return Likeness.CLASHING if clash else Likeness.SAME if a.sorts == b.sorts else Likeness.STRONG
    if common and (not left or not right):
        if clash:
            return Likeness.CLASHING
        shorter = min(a.core, b.core, key=len)
        return Likeness.STRONG if len(common) > 1 or len(max(shorter, key=len)) > 4 else Likeness.PARTIAL
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


def _without_translated(left: frozenset[str], right: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The words of each side that have no word of the other language on the other: Théâtre du Feu, Fire Theatre."""
    codes = _codes()
    shared = {codes.get(word) for word in left} & {codes.get(word) for word in right}
    return (
        frozenset(word for word in left if codes.get(word) is None or codes[word] not in shared),
        frozenset(word for word in right if codes.get(word) is None or codes[word] not in shared),
    )


@lru_cache(maxsize=1)
def _codes() -> Mapping[str, str]:
    """What the words of names mean, by their stems."""
    return {stem(word): code for code, spelt in default_lexicon().spellings.items() for word in spelt}


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
    """`TNM` for Théâtre du Nouveau Monde, `PdA` for Place des Arts, `NAC - Southam Hall` for the National Arts Centre."""
    for letters, word in sorted(short.acronyms):
        # The other language has the words in another order.
        other_order = len(letters) > 2 and any(sorted(letters) == sorted(initials) for initials in long.initials)
        if other_order or letters in long.initials or letters in {initials[1:] for initials in long.initials}:
            # `BPO, Rideau` and `Bibliothèque publique d'Ottawa, Cumberland`: two of its branches.
            rest = short.core - {stem(word)}
            return not rest or not long.pieces or not rest.isdisjoint(long.core)
    return False
