"""Records turned into the columns of a `Batch`: everything the later steps compare, computed once a record.

Belongs here: reading records. What the columns mean is in `columns`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ingestion_assets.events.deduplication.addresses import parse_address, parse_city
from ingestion_assets.events.deduplication.columns import PLAYS, Batch, Csr, distinct
from ingestion_assets.events.deduplication.days import DAY, logical_day
from ingestion_assets.events.deduplication.lexicon import FORMS, default_lexicon
from ingestion_assets.events.deduplication.records import Key, Record
from ingestion_assets.events.deduplication.statistics import CorpusStatistics
from ingestion_assets.events.deduplication.text import fold, is_shared, plain_url
from ingestion_assets.events.deduplication.titles import ParsedTitle, parse_title
from ingestion_assets.events.deduplication.venues import is_online, parse_venue, without_place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class _Interner:
    """Values -> small integers in order of first sight; `first` is number 0 and stands for nothing."""

    def __init__(self, *first: Any) -> None:
        self.ids: dict[Any, int] = {value: i for i, value in enumerate(first)}
        self.values: list[Any] = list(first)

    def __call__(self, value: Any) -> int:
        found = self.ids.get(value)
        if found is None:
            found = self.ids[value] = len(self.values)
            self.values.append(value)
        return found


_SAID = ("sessions", "parts", "numbers", "addons", "kinds", "secondary", "publics", "support")
"""What titles say, each a set, kept as the number of the set."""
_FLAGS = ("tribute", "umbrella", "name", "moved", "introductory", "of_a_day", "days", "clock")
_TITLE_COLUMNS = ("title", "raw", "spoken", *_SAID, *_FLAGS)
_PLACE_COLUMNS = ("city", "venue", "alias", "spot")
_RECORD_COLUMNS = ("place", "url", "source", "lang", "day", "minute", "offset", "end", "span")


class _Reader:
    """Numbers for what records say. What repeats, titles and places, is read once a batch."""

    def __init__(self, statistics: CorpusStatistics) -> None:
        self.statistics = statistics
        self.token, self.head, self.raw, self.source = _Interner(), _Interner(), _Interner(), _Interner()
        self.venue, self.alias, self.spot, self.address = _Interner(), _Interner(), _Interner(), _Interner()
        self.city, self.url, self.lang, self.sets = _Interner(""), _Interner(""), _Interner(""), _Interner(frozenset())
        self._titles: dict[str, tuple[ParsedTitle, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {}
        self._places: dict[tuple[str | None, str | None], tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._people: dict[str, tuple[str, tuple[int, ...]]] = {}

    def tokens(self, words: Iterable[str]) -> tuple[int, ...]:
        return tuple(map(self.token, words))

    def title(
        self, text: str, venue: str | None, city: str | None
    ) -> tuple[ParsedTitle, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The title, the numbers of `_TITLE_COLUMNS`, the words that are context, and the proper names."""
        text = without_place(text, venue, city)
        found = self._titles.get(text)
        if found is None:
            title = parse_title(text)
            said = [getattr(title, name) for name in _SAID]
            said[_SAID.index("support")] = frozenset(title.support)
            numbers = (
                self.head(tuple(sorted(set(self.tokens(title.head))))),
                self.raw(title.letters),
                self.lang(self.statistics.language(title)),
                *(self.sets(value) if value else 0 for value in said),
                int(title.tribute) or PLAYS * int(title.plays),
                int(title.umbrella),
                int(title.name),
                int(title.moved),
                int(title.introductory),
                int(title.of_a_day),
                title.days,
                -1 if title.clock is None else title.clock,
            )
            context = self.tokens((*title.support, *title.presenters))
            found = self._titles[text] = title, numbers, context, self.tokens(sorted(title.proper))
        return found

    def place(self, name: str | None, city: str | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The numbers of `_PLACE_COLUMNS`, and the words that are context."""
        found = self._places.get((name, city))
        if found is None:
            town = parse_city(city)
            spot = parse_venue(name, town)
            full = f"{town}/{spot.key}"
            numbers = (
                self.city(town),
                self.venue(spot),
                self.alias(self.statistics.aliases.get(full, full)) if spot.key else -1,
                self.spot(spot.key) if spot.core else -1,
            )
            words = [word for phrase in (name, city) if phrase for word in _phrase_words(phrase)]
            found = self._places[name, city] = numbers, self.tokens(words)
        return found

    def person(self, name: str) -> tuple[str, tuple[int, ...]]:
        """The name in one form, and its words."""
        found = self._people.get(name)
        if found is None:
            words = _phrase_words(name)
            found = self._people[name] = " ".join(sorted(words)) or fold(name), self.tokens(words)
        return found

    def record(self, record: Record) -> tuple[int, ...]:
        """The numbers of `_RECORD_COLUMNS` but the last five."""
        where = parse_address(record.address)
        return (
            self.address(where) + 1 if where[0] else 0,
            self.url(plain_url(record.url)) if record.url else 0,
            self.source(record.publisher),
            self.lang(record.lang[:2].lower()) if record.lang else 0,
        )


def prepare(records: Sequence[Record], statistics: CorpusStatistics, moved: Mapping[Key, int] | None = None) -> Batch:
    """The columns of some records. `moved` puts records into another logical day, where a person's merge needs them."""
    import numpy as np

    moved = moved or {}
    timed = []
    for record in records:
        key = record.key
        day, minute, offset = logical_day(record, no_time_at_midnight=record.source in statistics.midnight_sources)
        timed.append((moved.get(key, day) if moved else day, key, minute, offset, record))
    timed.sort(key=_by_day_and_key)
    size = len(timed)
    reader = _Reader(statistics)
    rows: list[tuple[int, ...]] = []
    titles: list[ParsedTitle] = []
    places: list[tuple[int, ...]] = []
    casts: list[tuple[int, ...]] = []
    proper: list[tuple[int, ...]] = []
    people: list[frozenset[str]] = []
    lat, lon = np.full(size, np.nan), np.full(size, np.nan)
    for day, _, minute, offset, record in timed:
        title, of_title, title_words, names_said = reader.title(record.title, record.venue_name, record.city)
        proper.append(names_said)
        of_place, place_words = reader.place(record.venue_name, record.city)
        end, span = _end(record, day)
        if title.clock is not None and _shifted_from(title.clock, minute, offset):
            end, minute = (end if end < 0 else end + title.clock - minute), title.clock
        if record.end_date is None:
            span = title.days
        rows.append((*of_title, *of_place, *reader.record(record), day, minute, offset, end, span))
        titles.append(title)
        cast = title_words
        if record.organizer or record.performers:
            known = [reader.person(name) for name in (record.organizer, *record.performers) if name]
            people.append(frozenset(name for name, _ in known))
            for _, words in known:
                cast += words
        else:
            people.append(_NOBODY)
        places.append(place_words)
        casts.append(cast)
        if record.lat is not None and record.lon is not None:
            lat[len(rows) - 1], lon[len(rows) - 1] = record.lat, record.lon

    names = (*_TITLE_COLUMNS, *_PLACE_COLUMNS, *_RECORD_COLUMNS)
    table = np.asarray(rows, dtype=np.int64).reshape(size, len(names)).T.copy()
    columns = dict(zip(names, table, strict=True))
    columns["lang"] = np.where(columns["lang"] > 0, columns["lang"], columns["spoken"])
    columns["alias"] = _in_the_only_city(columns)
    said = {name: columns.pop(name) for name in (*_SAID, *_FLAGS)}

    # Tokens are numbered in alphabetical order, so that ties and sums come out the same in every batch.
    number = np.asarray(ranks(reader.token.values), dtype=np.int64)
    tokens: list[str] = sorted(reader.token.values)
    heads = [sorted(int(number[old]) for old in ids) for ids in reader.head.values]
    texts = [" ".join(tokens[i] for i in ids) for ids in heads]
    vocabulary, frames = default_lexicon().concepts, default_lexicon().frames
    return Batch(
        records=[row[4] for row in timed],
        keys=[row[1] for row in timed],
        titles=titles,
        raws=reader.raw.values,
        texts=texts,
        text_rank=np.asarray(ranks(texts), dtype=np.int64),
        head=_csr(heads),
        context=_csr_of([place + cast for place, cast in zip(places, casts, strict=True)], number),
        around=_csr_of(places, number),
        cast=_csr_of(casts, number),
        idf=np.asarray([statistics.idf(word) for word in tokens] or [0.0], dtype=np.float64),
        frame=np.asarray([word in frames for word in tokens] or [False], dtype=np.bool_),
        form=np.asarray([word in FORMS for word in tokens] or [False], dtype=np.bool_),
        proper=_csr_of(proper, number),
        known=np.asarray([word in vocabulary or is_shared(word) for word in tokens] or [False], dtype=np.bool_),
        tokens=tokens,
        translations=statistics.translations,
        chain_names=statistics.chain_names,
        venues=reader.venue.values,
        addresses=reader.address.values,
        city_rank=ranks(reader.city.values),
        lat=lat,
        lon=lon,
        shifting=np.asarray([row[4].source in statistics.shifting_sources for row in timed], dtype=np.bool_),
        people=people,
        parsed=said,
        sets=reader.sets.values,
        framed=np.asarray([title.framed for title in titles], dtype=np.bool_),
        french=np.asarray([title.lang == "fr" for title in titles], dtype=np.bool_),
        online=np.asarray(
            [_is_online(row[4], title) for row, title in zip(timed, titles, strict=True)], dtype=np.bool_
        ),
        match=np.asarray(["match" in title.head for title in titles], dtype=np.bool_),
        **columns,
    )


def _in_the_only_city(columns: Mapping[str, Ints]) -> Ints:
    """The places, where a venue without a city is the one of that name that the others list on its day."""
    import numpy as np

    cityless = (columns["city"] == 0) & (columns["spot"] >= 0)
    named = (columns["city"] > 0) & (columns["spot"] >= 0)
    result = columns["alias"].copy()
    if not cityless.any() or not named.any():
        return result
    width = int(columns["spot"].max()) + 1
    of_day = (columns["day"] - columns["day"].min()) * width + columns["spot"]
    found = np.unique(np.c_[of_day[named], result[named]], axis=0)
    spots, first, many = np.unique(found[:, 0], return_index=True, return_counts=True)
    at = np.minimum(np.searchsorted(spots, of_day), len(spots) - 1)
    known = cityless & (spots[at] == of_day) & (many[at] == 1)
    result[known] = found[first[at[known]], 1]
    return result


def _is_online(record: Record, title: ParsedTitle) -> bool:
    """A place that is named, or shown on a map, is where it is, whatever is streamed from there."""
    if record.address or record.lat is not None:
        return False
    return is_online(record.venue_name) if record.venue_name else title.online


_NOBODY: frozenset[str] = frozenset()


def _by_day_and_key(row: tuple[int, Key, int, int, Record]) -> tuple[int, Key]:
    return row[0], row[1]


@lru_cache(maxsize=32_768)
def _phrase_words(phrase: str) -> tuple[str, ...]:
    title = parse_title(phrase)
    return title.head + title.support


def ranks(values: Sequence[str]) -> list[int]:
    """For each value its place when all are sorted."""
    places = [0] * len(values)
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        places[index] = rank
    return places


def _shifted_from(clock: int, minute: int, offset: int) -> bool:
    """The title names another hour than the start, by exactly the UTC offset: the title is right. An hour or two of
    offset is also what lies between doors and show.
    """
    return minute >= 0 and abs(minute - clock) == abs(offset) >= _FAR_FROM_UTC


_FAR_FROM_UTC = 180
_EARLY, _LATE = 8, 20


def _ends_at_night(record: Record) -> bool:
    """The last day is that of a night's end: the event does not last into it."""
    if record.end_time is not None:
        return record.end_time.hour < _EARLY
    return record.local_time is not None and record.local_time.hour >= _LATE


def _end(record: Record, day: int) -> tuple[int, int]:
    """Minutes from the logical day's midnight to the end (-1: not known), and further days."""
    last = record.end_date
    span = max((last - record.local_date).days, 0) if last is not None else 0
    if span and _ends_at_night(record):
        span -= 1
    clock = record.end_time
    if clock is None:
        return -1, span
    return ((last or record.local_date).toordinal() - day) * DAY + clock.hour * 60 + clock.minute, span


def _csr(rows: Sequence[Sequence[int]]) -> Csr:
    import numpy as np

    start = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=start[1:])
    data = np.fromiter((value for row in rows for value in row), dtype=np.int64, count=int(start[-1]))
    return Csr(start, data)


def _csr_of(rows: Sequence[tuple[int, ...]], number: Ints) -> Csr:
    """Rows of tokens in order of first sight, renumbered, sorted and each token once a row."""
    import numpy as np

    loose = _csr(rows)
    width = len(number) + 1
    row = np.repeat(np.arange(len(rows)), np.diff(loose.start))
    code = distinct(row * width + number[loose.data])
    start = np.searchsorted(code, np.arange(len(rows) + 1) * width)
    return Csr(start, code % width)
