"""What a corpus teaches: how common each word is, which venue names are one place, whose midnights mean "no time".

A snapshot is immutable and has a version made from its content. Results depend on the snapshot that is handed in,
never on whatever happens to be stored: that is how a new day cannot silently change an old one. Take a new snapshot
on purpose, and expect every day to be resolved anew under it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Self

from ingestion_assets.events.deduplication.addresses import parse_city
from ingestion_assets.events.deduplication.chains import ChainNames
from ingestion_assets.events.deduplication.records import Record
from ingestion_assets.events.deduplication.titles import ParsedTitle, parse_title
from ingestion_assets.events.deduplication.venues import parse_venue

_FLOOR = 2_000
"""Documents that a small corpus is treated as having, so that its few words do not all look common."""
_KEPT_FROM = 3
"""Words seen in fewer titles are left out of the snapshot: they count as rare anyway, and are most of the vocabulary."""
_TOLD_BY = 4
"""Titles of a known language in which a word must stand to tell the language of others."""
_SHIFTING = 0.006
"""Share of starts between 00:01 and 05:00 from which a source is held to shift clocks."""
_TRANSLATED_AT = 2
"""Places, and days, on which two titles must differ by the same two phrases before these are held to mean the same."""
_ALIAS_SIGHTINGS = 3
"""Distinct titles that two venue names must share, minute by minute, before they are held to be one place."""


@dataclass(frozen=True)
class CorpusStatistics:
    """A snapshot of a corpus. Build it, keep its JSON, hand it to `resolve`."""

    documents: int
    word_counts: Mapping[str, int]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Venue key in its city -> the key that stands for both names."""
    word_languages: Mapping[str, str] = field(default_factory=dict)
    """Words that stand in titles of one language only, and which it is."""
    translations: frozenset[tuple[str, str]] = frozenset()
    """Pairs of phrases (words in alphabetical order) by which titles of one place and minute differ again and again."""
    midnight_sources: frozenset[str] = frozenset()
    """Sources that write 00:00 where they know no time."""
    shifting_sources: frozenset[str] = frozenset()
    """Sources with more starts in the small hours than there are nights out: some of their clocks are UTC."""
    chain_names: frozenset[str] = frozenset()
    """Words that the branches of a chain have in common in their names."""

    @cached_property
    def version(self) -> str:
        """A short digest of the content: equal snapshots have equal versions, on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def idf(self, word: str) -> float:
        """How much a word tells, from about 0 (in every title) upwards; a word never seen is as rare as it gets."""
        total = max(self.documents, _FLOOR)
        return math.log((total + 1) / (self.word_counts.get(word, 0) + 1.0))

    def language(self, title: ParsedTitle) -> str:
        """A title's language by its little words, else by words that stand in one language only, where most of its do."""
        if title.lang:
            return title.lang
        told = [self.word_languages[word] for word in title.words if word in self.word_languages]
        return told[0] if len(set(told)) == 1 and 2 * len(told) > len(title.words) else ""

    def to_json(self) -> str:
        """The snapshot as text, the same for the same content."""
        return json.dumps(
            {
                "documents": self.documents,
                "word_counts": dict(sorted(self.word_counts.items())),
                "aliases": dict(sorted(self.aliases.items())),
                "word_languages": dict(sorted(self.word_languages.items())),
                "translations": sorted(self.translations),
                "midnight_sources": sorted(self.midnight_sources),
                "shifting_sources": sorted(self.shifting_sources),
                "chain_names": sorted(self.chain_names),
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read `to_json`. ValueError when the text is no snapshot."""
        try:
            raw = json.loads(text)
            return cls(
                documents=int(raw["documents"]),
                word_counts={str(word): int(count) for word, count in raw["word_counts"].items()},
                aliases={str(name): str(other) for name, other in raw["aliases"].items()},
                word_languages={str(word): str(lang) for word, lang in raw["word_languages"].items()},
                translations=frozenset((str(one), str(two)) for one, two in raw.get("translations", ())),
                midnight_sources=frozenset(map(str, raw["midnight_sources"])),
                shifting_sources=frozenset(map(str, raw.get("shifting_sources", ()))),
                chain_names=frozenset(map(str, raw.get("chain_names", ()))),
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError("this is no snapshot of corpus statistics; build one with StatisticsBuilder") from error


class StatisticsBuilder:
    """Counts records one at a time, in any order; memory grows with the vocabulary and not with the corpus."""

    def __init__(self) -> None:
        self._documents = 0
        self._words: Counter[str] = Counter()
        self._spoken: dict[str, Counter[str]] = {"fr": Counter(), "en": Counter(), "": Counter()}
        self._midnights: Counter[str] = Counter()
        self._timed: Counter[str] = Counter()
        self._small_hours: Counter[str] = Counter()
        self._day: object = None
        self._slots: dict[tuple[object, ...], dict[str, str]] = {}
        self._venues_by_title: dict[str, set[str]] = defaultdict(set)
        self._together: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._meetings: dict[tuple[str, str], dict[str, list[ParsedTitle]]] = {}
        self._phrases: Counter[str] = Counter()
        self._differences: Counter[tuple[str, str]] = Counter()
        self._difference_places: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._difference_days: dict[tuple[str, str], set[object]] = defaultdict(set)
        self._chains = ChainNames()

    def add(self, record: Record) -> None:
        """Count one record. Feed days in order: aliases are learned inside a day and its sightings forgotten after."""
        self._documents += 1
        title = parse_title(record.title)
        self._words.update(title.head)
        self._spoken[title.lang].update(title.words)
        if record.local_time is not None:
            self._timed[record.source] += 1
            midnight = record.local_time.hour == 0 and record.local_time.minute == 0
            self._midnights[record.source] += midnight
            self._small_hours[record.source] += record.local_time.hour < 5 and not midnight
        if record.local_date != self._day:
            self._learn()
            self._day = record.local_date
        if not record.venue_name:
            return
        city = parse_city(record.city)
        venue = parse_venue(record.venue_name, city)
        if len(venue.core) > 1 and record.lat is not None and record.lon is not None:
            self._chains.add(venue, city, record.lat, record.lon)
        if record.local_time is not None and venue.core:
            name = f"{city}/{venue.key}"
            self._venues_by_title[title.text].add(name)
            slot = (title.text, record.local_time, city)
            self._slots.setdefault(slot, {})[name] = record.publisher
            meeting = self._meetings.setdefault((name, record.local_time.isoformat()), {})
            meeting.setdefault(record.publisher, []).append(title)

    def _learn(self) -> None:
        """Two names that two sources give to one title in one minute. A title in many places that day teaches nothing."""
        for (text, _, _), names in self._slots.items():
            if len(names) == 2 and len(self._venues_by_title[str(text)]) == 2:
                (one, source), (two, other) = sorted(names.items())
                if source != other:
                    self._together[one, two].add(str(text))
        for (place, _), titles in self._meetings.items():
            self._learn_words(place, titles)
        self._slots.clear()
        self._venues_by_title.clear()
        self._meetings.clear()

    def _learn_words(self, place: str, titles: Mapping[str, list[ParsedTitle]]) -> None:
        """By what two titles of two sources differ, where a place and minute has only these two."""
        distinct = {title.text: title for listed in titles.values() for title in listed}
        if len(distinct) != 2 or any(len({title.text for title in listed}) > 1 for listed in titles.values()):
            return  # a source that lists both knows them to be two events
        one, two = distinct.values()
        if one.lang and one.lang == two.lang:
            return
        left = " ".join(sorted(set(one.head) - set(two.head)))
        right = " ".join(sorted(set(two.head) - set(one.head)))
        told = {one.parts, two.parts}, {one.numbers, two.numbers}, {one.tribute, two.tribute}
        if left and right and "match" not in one.head and all(len(said) == 1 for said in told):
            pair = (min(left, right), max(left, right))
            self._phrases.update(pair)
            self._differences[pair] += 1
            self._difference_places[pair].add(place)
            self._difference_days[pair].add(self._day)

    def _translations(self) -> Iterator[tuple[str, str]]:
        for pair, count in self._differences.items():
            # One place has several names, and one evening several sources: only another day is another proof.
            if len(self._difference_days[pair]) < _TRANSLATED_AT:
                continue
            if len(self._difference_places[pair]) >= _TRANSLATED_AT and 2 * count >= min(
                self._phrases[phrase] for phrase in pair
            ):
                yield pair

    def _languages(self) -> Iterator[tuple[str, str]]:
        for lang, other in (("fr", "en"), ("en", "fr")):
            for word, count in self._spoken[lang].items():
                # English has hardly an accent to be told by: a word of French titles that many untold ones have is both.
                told = count >= 9 * self._spoken[other][word] and count >= 3 * self._spoken[""][word]
                if count >= _TOLD_BY and told and not word.isdigit():
                    yield word, lang

    def build(self) -> CorpusStatistics:
        """The snapshot of everything added so far."""
        self._learn()
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            while parent.get(name, name) != name:
                name = parent[name]
            return name

        for (one, two), titles in sorted(self._together.items()):
            if len(titles) >= _ALIAS_SIGHTINGS:
                first, second = sorted((root(one), root(two)))
                parent[second] = first
        return CorpusStatistics(
            documents=self._documents,
            word_counts={word: count for word, count in self._words.items() if count >= _KEPT_FROM},
            word_languages=dict(self._languages()),
            aliases={name: root(name) for name in parent if root(name) != name},
            translations=frozenset(self._translations()),
            chain_names=self._chains.words(),
            shifting_sources=frozenset(
                source
                for source, count in self._small_hours.items()
                # Less a standard deviation: of few records, three in the small hours may be chance.
                if count >= 3 and count - count**0.5 > _SHIFTING * self._timed[source]
            ),
            midnight_sources=frozenset(
                source
                for source, count in self._midnights.items()
                # Hardly anything opens at midnight sharp; and a source whose clock is shifted by some hours would have
                # events at one and at two as well.
                if count >= 3 and count > 0.02 * self._timed[source] and self._small_hours[source] < 0.34 * count
            ),
        )


def build_statistics(records: Iterable[Record], *, enough: int = 250_000) -> CorpusStatistics:
    """The snapshot of a corpus. From a larger corpus than `enough`, whole days at equal distances are taken."""
    days: dict[date, list[Record]] = defaultdict(list)
    for record in records:
        days[record.local_date].append(record)
    step = max(1, -(-sum(map(len, days.values())) // enough))
    builder = StatisticsBuilder()
    for day in sorted(days)[::step]:
        for record in sorted(days[day], key=lambda record: (record.source, record.source_id)):
            builder.add(record)
    return builder.build()


@lru_cache(maxsize=1)
def default_statistics() -> CorpusStatistics:
    """The snapshot shipped with the package: how common the lexicon's words are; no venue of any city."""
    return CorpusStatistics.from_json(files(__package__).joinpath("statistics.json").read_text(encoding="utf-8"))
