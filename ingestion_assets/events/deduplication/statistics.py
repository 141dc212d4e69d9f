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
from functools import lru_cache
from importlib.resources import files
from typing import Self

from ingestion_assets.events.deduplication.records import Record
from ingestion_assets.events.deduplication.titles import ParsedTitle, parse_title
from ingestion_assets.events.deduplication.venues import parse_city, parse_venue

_FLOOR = 2_000
"""Documents that a small corpus is treated as having, so that its few words do not all look common."""
_KEPT_FROM = 3
"""Words seen in fewer titles are left out of the snapshot: they count as rare anyway, and are most of the vocabulary."""
_TOLD_BY = 4
"""Titles of a known language in which a word must stand to tell the language of others."""
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
    midnight_sources: frozenset[str] = frozenset()
    """Sources that write 00:00 where they know no time."""

    @property
    def version(self) -> str:
        """A short digest of the content: equal snapshots have equal versions, on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def idf(self, word: str) -> float:
        """How much a word tells, from about 0 (in every title) upwards; a word never seen is as rare as it gets."""
        total = max(self.documents, _FLOOR)
        return math.log((total + 1) / (self.word_counts.get(word, 0) + 1.0))

    def language(self, title: ParsedTitle) -> str:
        """A title's language by its little words, else by the words that stand in one language only; "" if they differ."""
        if title.lang:
            return title.lang
        told = {self.word_languages[word] for word in title.words if word in self.word_languages}
        return told.pop() if len(told) == 1 else ""

    def to_json(self) -> str:
        """The snapshot as text, the same for the same content."""
        return json.dumps(
            {
                "documents": self.documents,
                "word_counts": dict(sorted(self.word_counts.items())),
                "aliases": dict(sorted(self.aliases.items())),
                "word_languages": dict(sorted(self.word_languages.items())),
                "midnight_sources": sorted(self.midnight_sources),
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
                midnight_sources=frozenset(map(str, raw["midnight_sources"])),
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError("this is no snapshot of corpus statistics; build one with StatisticsBuilder") from error


class StatisticsBuilder:
    """Counts records one at a time, in any order; memory grows with the vocabulary and not with the corpus."""

    def __init__(self) -> None:
        self._documents = 0
        self._words: Counter[str] = Counter()
        self._spoken: dict[str, Counter[str]] = {"fr": Counter(), "en": Counter()}
        self._midnights: Counter[str] = Counter()
        self._timed: Counter[str] = Counter()
        self._small_hours: Counter[str] = Counter()
        self._day: object = None
        self._slots: dict[tuple[object, ...], dict[str, str]] = {}
        self._venues_by_title: dict[str, set[str]] = defaultdict(set)
        self._together: dict[tuple[str, str], set[str]] = defaultdict(set)

    def add(self, record: Record) -> None:
        """Count one record. Feed days in order: aliases are learned inside a day and its sightings forgotten after."""
        self._documents += 1
        title = parse_title(record.title)
        self._words.update(title.head)
        if title.lang:
            self._spoken[title.lang].update(title.words)
        if record.local_time is not None:
            self._timed[record.source] += 1
            midnight = record.local_time.hour == 0 and record.local_time.minute == 0
            self._midnights[record.source] += midnight
            self._small_hours[record.source] += record.local_time.hour < 5 and not midnight
        if record.local_date != self._day:
            self._learn()
            self._day = record.local_date
        if record.local_time is not None and record.venue_name:
            city = parse_city(record.city)
            venue = parse_venue(record.venue_name, city)
            if venue.core:
                name = f"{city}/{venue.key}"
                self._venues_by_title[title.text].add(name)
                slot = (title.text, record.local_time, city)
                self._slots.setdefault(slot, {})[name] = record.source

    def _learn(self) -> None:
        """Two names that two sources give to one title in one minute. A title in many places that day teaches nothing."""
        for (text, _, _), names in self._slots.items():
            if len(names) == 2 and len(self._venues_by_title[str(text)]) == 2:
                (one, source), (two, other) = sorted(names.items())
                if source != other:
                    self._together[one, two].add(str(text))
        self._slots.clear()
        self._venues_by_title.clear()

    def _languages(self) -> Iterator[tuple[str, str]]:
        for lang, other in (("fr", "en"), ("en", "fr")):
            for word, count in self._spoken[lang].items():
                if count >= _TOLD_BY and count >= 9 * self._spoken[other][word] and not word.isdigit():
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
            midnight_sources=frozenset(
                source
                for source, count in self._midnights.items()
                # Nobody opens a third of their events at midnight; and a source whose clock is shifted would have
                # events at one and at two as well.
                if count >= 5 and count > 0.3 * self._timed[source] and self._small_hours[source] < 0.1 * count
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
