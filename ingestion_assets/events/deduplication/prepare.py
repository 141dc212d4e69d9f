"""Records turned into columns: everything the later steps compare, computed once a record.

Belongs here: reading one record. `Batch` is what blocking, pair features and clustering work on; its order is fixed
by logical day and key, so nothing downstream depends on the order of the input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingestion_assets.events.deduplication.lexicon import default_lexicon
from ingestion_assets.events.deduplication.records import Key, Record
from ingestion_assets.events.deduplication.statistics import CorpusStatistics
from ingestion_assets.events.deduplication.text import fold
from ingestion_assets.events.deduplication.titles import ParsedTitle, parse_title
from ingestion_assets.events.deduplication.venues import ParsedVenue, parse_address, parse_city, parse_venue

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

DAY = 1440
_NIGHT_ENDS = 300
_NIGHT_ENDS_LATEST = 480


@lru_cache(maxsize=100_000)
def utc_offset(zone: str | None, day: date) -> int | None:
    """Minutes that local time is ahead of UTC at noon of a day; None for an unknown zone."""
    if not zone:
        return None
    try:
        offset = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).utcoffset()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return None if offset is None else int(offset.total_seconds() // 60)


def logical_day(record: Record, *, no_time_at_midnight: bool = False) -> tuple[int, int, int]:
    """Day number, minutes after that day's midnight (-1: no time) and UTC offset in minutes.

    A night belongs to the evening it began: what starts before 05:00 counts as 24:00..29:00 of the day before. That
    is also where an evening lands whose local time was stored as UTC, so both sightings of it share a logical day.
    West of UTC-5 such evenings land later, and the night ends at as many hours as the zone lies behind UTC, at most 8.
    """
    day = record.local_date.toordinal()
    offset = utc_offset(record.zone, record.local_date)
    known = 0 if offset is None else offset
    clock = record.local_time
    if clock is None or (no_time_at_midnight and clock.hour == 0 and clock.minute == 0):
        return day, -1, known
    minute = clock.hour * 60 + clock.minute
    if minute < min(max(-known, _NIGHT_ENDS), _NIGHT_ENDS_LATEST):
        return day - 1, minute + DAY, known
    return day, minute, known


_TRACKING = re.compile(r"(?:^|&)(?:utm_[^=]*|fbclid|gclid|aff|ref|source|lang|locale)=[^&]*")


@lru_cache(maxsize=100_000)
def _plain_url(url: str | None) -> str:
    """Host and path without scheme, `www.`, language and tracking; empty for a bare front page, which names no event."""
    if not url:
        return ""
    text = re.sub(r"^[a-z]+://(?:www\.|m\.)?", "", url.strip().lower()).split("#")[0]
    text, _, query = text.partition("?")
    text = re.sub(r"/(?:fr|en|fr-ca|en-ca)(?=/|$)", "", text).rstrip("/")
    query = _TRACKING.sub("", query).strip("&")
    if "/" not in text and not query:
        return ""
    return f"{text}?{query}" if query else text


class _Interner:
    """Values -> small integers in order of first sight."""

    def __init__(self) -> None:
        self.ids: dict[Any, int] = {}
        self.values: list[Any] = []

    def __call__(self, value: Any) -> int:
        found = self.ids.get(value)
        if found is None:
            found = self.ids[value] = len(self.values)
            self.values.append(value)
        return found


@dataclass(slots=True)
class Csr:
    """Lists of token ids, one a row: row i is `data[start[i]:start[i + 1]]`, ascending."""

    start: Ints
    data: Ints


@dataclass(slots=True)
class Batch:
    """Columns over records sorted by logical day and key. Integer ids are local to the batch; -1 or 0 say "none"."""

    records: Sequence[Record]
    keys: Sequence[Key]
    titles: Sequence[ParsedTitle]
    title: Ints
    """Id of the head's words, the same for the same set of words."""
    texts: Sequence[str]
    """By title id."""
    text_rank: Ints
    """By title id: its place in alphabetical order."""
    head: Csr
    """By title id."""
    raw: Ints
    """Id of the whole title's letters and digits."""
    raws: Sequence[str]
    """By raw id."""
    context: Csr
    """By record: words of its venue, city, organiser, performers and lesser acts."""
    idf: Floats
    """By token id."""
    known: NDArray[np.bool_]
    """By token id: a word of the lexicon, which means the same in both languages."""
    tokens: Sequence[str]
    day: Ints
    minute: Ints
    end: Ints
    """Minutes from the logical day's midnight to the end, -1 when unknown."""
    span: Ints
    """Further days it lasts."""
    offset: Ints
    source: Ints
    lang: Ints
    """The language that the source or the title's words tell, 0 unknown."""
    spoken: Ints
    """The language that the title's words tell, 0 unknown."""
    venue: Ints
    venues: Sequence[ParsedVenue]
    alias: Ints
    """By record: id of the place its venue's name is an alias of (-1: nowhere)."""
    spot: Ints
    """By record: id of its venue's key whatever the city, -1 where the name has no proper word."""
    place: Ints
    """By record: 1 + index into `addresses`, 0 none."""
    addresses: Sequence[tuple[str, frozenset[str]]]
    city: Ints
    """0: not named."""
    city_rank: Sequence[int]
    """By city id: its place in the alphabet."""
    lat: Floats
    lon: Floats
    url: Ints
    """0: none."""
    people: Sequence[frozenset[str]]
    """Organiser and performers, folded."""
    parsed: Mapping[str, Ints]
    """Small integer codes of what titles say: sessions, parts, addons …, 0 for nothing."""
    sets: Sequence[Any]
    """What those codes stand for."""

    def __len__(self) -> int:
        return len(self.records)


_PARSED: tuple[tuple[str, Callable[[ParsedTitle], Any]], ...] = (
    ("sessions", lambda title: title.sessions),
    ("parts", lambda title: title.parts),
    ("numbers", lambda title: title.numbers),
    ("addons", lambda title: title.addons),
    ("kinds", lambda title: title.kinds),
    ("secondary", lambda title: title.secondary),
    ("publics", lambda title: title.publics),
    ("support", lambda title: frozenset(title.support)),
)


def prepare(records: Sequence[Record], statistics: CorpusStatistics, moved: Mapping[Key, int] | None = None) -> Batch:
    """The columns of some records. `moved` puts records into another logical day, where a person's merge needs them."""
    import numpy as np

    moved = moved or {}
    timed = [
        (record, *logical_day(record, no_time_at_midnight=record.source in statistics.midnight_sources))
        for record in records
    ]
    timed = [(record, moved.get(record.key, day), minute, offset) for record, day, minute, offset in timed]
    timed.sort(key=lambda row: (row[1], row[0].source, row[0].source_id))
    size = len(timed)

    token, title_of, source, venue, alias, spots, city, url, lang, address, sets, letters = (
        _Interner() for _ in range(12)
    )
    for interner, nothing in ((city, ""), (url, ""), (lang, ""), (sets, frozenset())):
        interner(nothing)  # id 0 means: not named
    columns: dict[str, list[int]] = {
        name: [0] * size
        for name in (
            "title",
            "raw",
            "day",
            "minute",
            "end",
            "span",
            "offset",
            "source",
            "lang",
            "spoken",
            "spoken",
            "venue",
            "alias",
            "spot",
            "place",
            "city",
            "url",
        )
    }
    parsed: dict[str, list[int]] = {name: [0] * size for name, _ in _PARSED}
    flags: dict[str, list[int]] = {name: [0] * size for name in ("tribute", "umbrella", "clock", "name")}
    titles: list[ParsedTitle] = []
    contexts: list[list[int]] = []
    people: list[frozenset[str]] = []
    lat, lon = np.full(size, np.nan), np.full(size, np.nan)

    for row, (record, day, minute, offset) in enumerate(timed):
        title = parse_title(record.title)
        titles.append(title)
        town = parse_city(record.city)
        spot = parse_venue(record.venue_name, town)
        columns["title"][row] = title_of(tuple(sorted(set(map(token, title.head)))))
        columns["raw"][row] = letters(_letters(record.title))
        columns["day"][row], columns["minute"][row], columns["offset"][row] = day, minute, offset
        columns["source"][row] = source(record.source)
        spoken = statistics.language(title)
        columns["spoken"][row] = lang(spoken)
        columns["lang"][row] = lang((record.lang or spoken)[:2].lower())
        columns["venue"][row] = venue(spot)
        name = f"{town}/{spot.key}"
        columns["alias"][row] = alias(statistics.aliases.get(name, name)) if spot.key else -1
        columns["spot"][row] = spots(spot.key) if spot.core else -1
        columns["city"][row] = city(town)
        columns["url"][row] = url(_plain_url(record.url))
        where = parse_address(record.address)
        columns["place"][row] = address(where) + 1 if where[0] else 0
        columns["span"][row] = max((record.end_date - record.local_date).days, 0) if record.end_date else 0
        columns["end"][row] = _end(record, day)
        if record.lat is not None and record.lon is not None:
            lat[row], lon[row] = record.lat, record.lon
        for label, read in _PARSED:
            value = read(title)
            if value:
                parsed[label][row] = sets(value)
        flags["tribute"][row], flags["umbrella"][row] = title.tribute, title.umbrella
        flags["name"][row] = title.name
        flags["clock"][row] = -1 if title.clock is None else title.clock
        context = {token(word) for word in (*title.support, *title.presenters)}
        for phrase in (record.venue_name, record.city, record.organizer, *record.performers):
            if phrase:
                context.update(map(token, _phrase_words(phrase)))
        contexts.append(list(context))
        people.append(frozenset(_name(person) for person in (record.organizer, *record.performers) if person))

    # Tokens are numbered in alphabetical order, so that ties and sums come out the same in every batch.
    alphabet = sorted(range(len(token.values)), key=token.values.__getitem__)
    number = {old: new for new, old in enumerate(alphabet)}
    tokens = [token.values[old] for old in alphabet]
    heads = [sorted(number[old] for old in ids) for ids in title_of.values]
    texts = [" ".join(tokens[i] for i in ids) for ids in heads]
    rank = np.empty(len(texts), dtype=np.int64)
    rank[:] = _ranks(texts)
    vocabulary = default_lexicon().concepts
    as_array = {name: np.asarray(values, dtype=np.int64) for name, values in (columns | parsed | flags).items()}
    return Batch(
        records=[row[0] for row in timed],
        keys=[row[0].key for row in timed],
        titles=titles,
        title=as_array["title"],
        raw=as_array["raw"],
        raws=letters.values,
        texts=texts,
        text_rank=rank,
        head=_csr(heads),
        context=_csr([sorted(number[old] for old in ids) for ids in contexts]),
        idf=np.asarray([statistics.idf(word) for word in tokens] or [0.0], dtype=np.float64),
        tokens=tokens,
        venues=venue.values,
        addresses=address.values,
        known=np.asarray([word in vocabulary for word in tokens] or [False], dtype=bool),
        city_rank=_ranks(city.values),
        lat=lat,
        lon=lon,
        people=people,
        parsed={name: as_array[name] for name in (*parsed, *flags)},
        sets=sets.values,
        **{
            name: as_array[name]
            for name in (
                "day",
                "minute",
                "end",
                "span",
                "offset",
                "source",
                "lang",
                "spoken",
                "spoken",
                "venue",
                "alias",
                "spot",
                "place",
                "city",
                "url",
            )
        },
    )


@lru_cache(maxsize=100_000)
def _letters(title: str) -> str:
    return "".join(filter(str.isalnum, fold(title)))


@lru_cache(maxsize=100_000)
def _phrase_words(phrase: str) -> tuple[str, ...]:
    title = parse_title(phrase)
    return title.head + title.support


@lru_cache(maxsize=100_000)
def _name(person: str) -> str:
    return " ".join(sorted(_phrase_words(person))) or fold(person)


def _ranks(values: Sequence[str]) -> list[int]:
    """For each value its place when all are sorted."""
    ranks = [0] * len(values)
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        ranks[index] = rank
    return ranks


def _end(record: Record, day: int) -> int:
    if record.end_time is None:
        return -1
    last = record.end_date or record.local_date
    return (last.toordinal() - day) * DAY + record.end_time.hour * 60 + record.end_time.minute


def _csr(rows: Sequence[Sequence[int]]) -> Csr:
    import numpy as np

    start = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=start[1:])
    data = np.fromiter((value for row in rows for value in row), dtype=np.int64, count=int(start[-1]))
    return Csr(start, data)
