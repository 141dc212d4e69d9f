"""How words are compared, and the vocabulary of the offline rules ready for look-up.

Words are compared without case, accents, punctuation and plural endings. A text is folded once into words; terms are
found by their first word in a dictionary, so the cost grows with the text and not with the size of the vocabulary.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ingestion_assets.events.tagging.taxonomy import AXES

_WORD = re.compile(r"[a-z0-9]+\+?")
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss", "’": "'", "ʼ": "'"})
# Told apart before accents go: a market is no walk.
_DISTINCT = re.compile(r"\bmarchés?\b")
_KINDS = {"fr": ("fr", 1.0), "en": ("en", 1.0), "weak_fr": ("fr", 0.35), "weak_en": ("en", 0.35)}
# Words whose last letter is no plural ending, and that would meet an unrelated word without it.
_WHOLE = frozenset(
    {"ans", "arts", "bus", "corps", "cours", "dans", "gras", "jazz", "pas", "sans", "temps", "tous", "yes", "us"}
)


@dataclass(frozen=True, slots=True)
class Term:
    """One entry of the vocabulary: the words as written, what they stand for, and how much they say."""

    text: str
    language: str
    axis: str
    value: str
    weight: float


@dataclass(frozen=True, slots=True)
class Match:
    """A stretch of a text that is in the vocabulary, with everything it stands for."""

    position: int
    length: int
    terms: tuple[Term, ...]


class Lexicon:
    """Terms by their words. Built once; looking up is free of side effects and safe in threads."""

    def __init__(self, terms: Sequence[Term], ignored: Sequence[str]) -> None:
        self._by_first: dict[str, dict[tuple[str, ...], list[Term]]] = {}
        for term in terms:
            self._entry(term.text).append(term)
        for text in ignored:
            self._entry(text)

    def _entry(self, text: str) -> list[Term]:
        words = fold(text)
        if not words:
            raise ValueError(f"the term {text!r} has no word to look for")
        return self._by_first.setdefault(words[0], {}).setdefault(tuple(words), [])

    def matches(self, words: Sequence[str]) -> Iterator[Match]:
        """From left to right, the longest entry at each place. Words inside a match are not looked at again."""
        place = 0
        while place < len(words):
            found: tuple[tuple[str, ...], list[Term]] | None = None
            for entry, terms in self._by_first.get(words[place], {}).items():
                longer = found is None or len(entry) > len(found[0])
                if longer and tuple(words[place : place + len(entry)]) == entry:
                    found = (entry, terms)
            if found is None:
                place += 1
                continue
            yield Match(place, len(found[0]), tuple(found[1]))
            place += len(found[0])


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A lexicon for each axis (overlaps are settled inside an axis only), and one for names of venues."""

    by_axis: dict[str, Lexicon]
    venues: dict[str, Lexicon]
    type_by_genre: dict[str, str]
    """What the main thing is likely to be where only the genre is known."""


def parse_vocabulary(text: str) -> Vocabulary:
    """Read the rules from TOML. Raises ValueError for an axis or a value that the taxonomy does not have."""
    raw = tomllib.loads(text)
    ignored = [term for terms in raw.pop("ignored", {}).values() for term in terms]
    type_by_genre = _type_by_genre(raw.pop("type_by_genre", {}))
    by_axis, venues = {}, {}
    for axis, entries in raw.items():
        if axis not in AXES:
            raise ValueError(f"the rules name the axis {axis!r}; the taxonomy has {sorted(AXES)}")
        terms, places = [], []
        for value, lists in entries.items():
            if value not in set(AXES[axis]):
                raise ValueError(f"the rules name {axis}.{value}, which is not in the taxonomy")
            for kind, words in lists.items():
                if kind == "venue":
                    places += [Term(word, "", axis, value, 1.0) for word in words]
                else:
                    language, weight = _KINDS[kind]
                    terms += [Term(word, language, axis, value, weight) for word in words]
        by_axis[axis] = Lexicon(terms, ignored)
        venues[axis] = Lexicon(places, ())
    return Vocabulary(by_axis, venues, type_by_genre)


def _type_by_genre(raw: dict[str, list[str]]) -> dict[str, str]:
    found = {genre: kind for kind, genres in raw.items() for genre in genres}
    if unknown := (set(raw) - set(AXES["type"])) | (set(found) - set(AXES["genres"])):
        raise ValueError(f"type_by_genre names {sorted(unknown)}, which the taxonomy does not have")
    return found


@cache
def vocabulary() -> Vocabulary:
    """The vocabulary of this package, read once."""
    return parse_vocabulary(files(__package__).joinpath("rules.toml").read_text(encoding="utf-8"))


def fold(text: str) -> list[str]:
    """The words of a text as they are compared: `Élèves d'ici, 50+` becomes `eleve d ici 50+`."""
    return [_singular(word) for word in _WORD.findall(plain(_DISTINCT.sub("marchee", text.lower())))]


def plain(text: str) -> str:
    """Lower case, without accents and ligatures, with straight apostrophes."""
    decomposed = unicodedata.normalize("NFD", text.lower().translate(_LIGATURES))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _singular(word: str) -> str:
    """A rough singular that is the same for a word and its plural in both languages; never shown to anybody."""
    if len(word) <= 3 or word in _WHOLE:
        return word
    if word.endswith("aux"):
        return word[:-1] if word.endswith("eaux") else word[:-3] + "al"
    if word.endswith(("ches", "shes")) and len(word) > 5:
        return word[:-1]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    if word.endswith("x") and word[-2] == "u":
        return word[:-1]
    return word
