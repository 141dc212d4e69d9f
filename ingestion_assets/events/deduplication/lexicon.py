"""The words we know: which phrase plays which role in a title, and which French and English words mean the same.

The words themselves are in `lexicon.toml`, for people to read and extend. How titles use them belongs to `titles`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from ingestion_assets.events.deduplication.text import words


class Entry(NamedTuple):
    """One phrase: its words, its role and the code that stands for it in every language."""

    phrase: tuple[str, ...]
    role: str
    code: str
    weak: bool


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Phrases by their first word, longest first."""

    by_first: Mapping[str, tuple[Entry, ...]]
    concepts: frozenset[str] = frozenset()
    """Codes that carry meaning: two different ones are two different things, whatever the language."""
    frames: frozenset[str] = frozenset()
    """Codes that say what kind of event, or for whom: a title of these alone is about whoever it names besides."""
    weekdays: frozenset[str] = frozenset()
    """Codes of weekdays and months: `Saturdays` is what a series is called."""
    spelt: frozenset[str] = frozenset()
    """Words and names that are right as they are, however near to a known word."""
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each code the single words that stand for it, in both languages."""
    by_shape: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Single long words by each of their shapes with one letter left out, for finding misspelt ones."""
    by_gap: Mapping[tuple[str, ...], tuple[tuple[str, Entry], ...]] = field(default_factory=dict)
    """Phrases of meaning by what is left of them without one of their words, which is empty there; and that word."""
    in_phrases: frozenset[str] = frozenset()
    """The words of `by_gap`."""
    _looked_up: dict[str, Entry | None] = field(default_factory=dict, compare=False, repr=False)

    def match(self, text: Sequence[str], position: int) -> Entry | None:
        """The longest known phrase that begins at `position`; `text` holds words as `singular` gives them."""
        for entry in self.by_first.get(text[position], ()):
            length = len(entry.phrase)
            if length == 1 or tuple(text[position : position + length]) == entry.phrase:
                return entry
        return None

    def misspelt_phrase(self, text: Sequence[str], position: int) -> Entry | None:
        """The known phrase that begins at `position` but for a slip in one of its words; the longest of several."""
        # Of its first two words one is right: nearly no title comes past this.
        if self.in_phrases.isdisjoint(text[position : position + 2]):
            return None
        for length in range(min(_LONGEST_PHRASE, len(text) - position), 1, -1):
            said = tuple(text[position : position + length])
            for gap, word in enumerate(said):
                for meant, entry in self.by_gap.get((*said[:gap], "", *said[gap + 1 :]), ()):
                    if word != meant and _one_edit(word, meant):
                        return entry
        return None

    def misspelt(self, word: str) -> Entry | None:
        """The one long known word that `word` misses by a single letter; None when there is none or several."""
        if word in self._looked_up:
            return self._looked_up[word]
        if len(self._looked_up) > _REMEMBERED:
            self._looked_up.clear()
        found = self._looked_up[word] = self._misspelt(word)
        return found

    def _misspelt(self, word: str) -> Entry | None:
        if len(word) < _LONG - 1 or not word.isalpha() or word in self.by_first or word in self.spelt:
            return None
        meant = {known for shape in _shapes(word) for known in self.by_shape.get(shape, ())}
        # The first letter is hardly ever missed, and Camille is no family.
        meant = {known for known in meant if known[0] == word[0] and _one_edit(word, known)}
        codes = {self.by_first[known][-1].code for known in meant}
        if len(codes) != 1:
            return None
        return next(entry for entry in self.by_first[min(meant)] if len(entry.phrase) == 1)


def _key(phrase: str) -> tuple[str, ...]:
    """A phrase's words as titles give them: elided articles are gone, also where the file writes them as words."""
    spoken = [singular(word) for word in words(phrase)]
    return tuple(word for word in spoken if word not in ("d", "l", "qu")) or tuple(spoken)


def singular(word: str) -> str:
    """The word without a plural s or x, in the rough way that is enough to compare with the lexicon."""
    return word[:-1] if len(word) > 3 and word[-1] in "sx" and word[-2] != "s" and word not in _ENDING_IN_S else word


_ENDING_IN_S = frozenset("ours cours mois fois news".split())
"""Without their s they would be other words: our, courtyard, me, faith, new."""


_REMEMBERED = 200_000
_LONG = 7
"""Letters from which a known word is recognised with one letter wrong; shorter ones have too many neighbours."""


_LONGEST_PHRASE = 5
_SLIP = 4
"""Letters from which a word inside a phrase is known with one of them wrong: the phrase tells which is meant."""


def _shapes(word: str) -> set[str]:
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


def _one_edit(word: str, known: str) -> bool:
    from rapidfuzz.distance import OSA

    return OSA.distance(word, known, score_cutoff=1) <= 1


def build_lexicon(tables: Mapping[str, Mapping[str, list[str]]]) -> Lexicon:
    """The lexicon of parsed tables `role -> code -> phrases`. ValueError names a phrase that stands in two lines."""
    weak = {_key(phrase) for phrases in tables.get("weak", {}).values() for phrase in phrases}
    seen: dict[tuple[str, ...], str] = {}
    spellings: dict[str, list[str]] = {}
    by_first: dict[str, list[Entry]] = {}
    for role, lines in tables.items():
        if role in ("weak", "spelt"):
            continue
        for code, phrases in lines.items():
            for phrase in phrases:
                key = _key(phrase)
                place = f"{role}.{code}"
                if not key:
                    raise ValueError(f"the lexicon line {place} holds a phrase without a word: {phrase!r}")
                if seen.get(key) == place:
                    continue
                if key in seen:
                    raise ValueError(f"the phrase {phrase!r} stands in {seen[key]} and in {place}; keep one of them")
                seen[key] = place
                by_first.setdefault(key[0], []).append(Entry(key, role, code, key in weak))
                if len(key) == 1 and role in _MEANING:
                    spellings.setdefault(code, []).append(key[0])
    shapes: dict[str, set[str]] = {}
    for (word, *more), place in seen.items():
        if not more and len(word) >= _LONG and not place.startswith(("stop", "calendar")):
            for shape in _shapes(word):
                shapes.setdefault(shape, set()).add(word)
    gaps: dict[tuple[str, ...], list[tuple[str, Entry]]] = {}
    for entries in by_first.values():
        for entry in entries:
            if entry.role == "concept" and 1 < len(entry.phrase) <= _LONGEST_PHRASE:
                for gap, word in enumerate(entry.phrase):
                    if len(word) >= _SLIP:
                        gaps.setdefault((*entry.phrase[:gap], "", *entry.phrase[gap + 1 :]), []).append((word, entry))
    return Lexicon(
        {
            first: tuple(sorted(entries, key=lambda entry: (-len(entry.phrase), entry.phrase)))
            for first, entries in by_first.items()
        },
        concepts=frozenset(code for role in _MEANING for code in tables.get(role, {})) | {_ONLINE},
        frames=frozenset(code for role in _FRAMES for code in tables.get(role, {})) | {"night", "music", _ONLINE},
        weekdays=frozenset(tables.get("calendar", {})),
        spelt=frozenset(singular(word) for phrases in tables.get("spelt", {}).values() for word in phrases),
        spellings={code: tuple(found) for code, found in spellings.items()},
        by_gap={key: tuple(found) for key, found in gaps.items()},
        in_phrases=frozenset(word for key in gaps for word in key if word),
        by_shape={shape: tuple(sorted(known)) for shape, known in shapes.items()},
    )


COMPOSERS = frozenset(
    "bach beethoven mozart brahms chopin schubert schumann liszt haydn handel vivaldi tchaikovsky dvorak mahler "
    "bruckner sibelius prokofiev shostakovich rachmaninoff stravinsky debussy ravel faure berlioz verdi puccini wagner "
    "grieg elgar bartok mendelssohn rossini monteverdi purcell mussorgsky gershwin piazzolla telemann pergolesi gluck "
    "donizetti bellini bizet satie scarlatti offenbach strauss".split()
)
"""Codes of those whose works others play: of one concert one listing names the work, the next who plays it."""
FORMS = frozenset(
    {"concert", "show", "theatre", "film", "exhibition", "comedy", "gathering", "workshop", "talk", "course"}
)
"""Codes that say in what form something is on, and hardly ever which of two things it is."""
_ONLINE = "en_ligne"
"""Said of the listing where it stands alone, and what kind of talk it is in `Virtual Panel on X`."""
_FRAMES = ("kind", "secondary", "public", "umbrella")
_MEANING = ("concept", "kind", "secondary", "public", "umbrella")


@lru_cache(maxsize=1)
def default_lexicon() -> Lexicon:
    """The lexicon shipped with the package, read once."""
    text = files(__package__).joinpath("lexicon.toml").read_text(encoding="utf-8")
    return build_lexicon(tomllib.loads(text))
