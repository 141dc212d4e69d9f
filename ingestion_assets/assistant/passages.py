"""Stretches of a document that can be found and cited, and how words are compared. Pure: no I/O, no database."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ingestion_assets.study.text import content_words, folded

PASSAGE_CHARS: Final = (500, 1000)
"""A paragraph or two: enough to understand, small enough that what does not matter is not sent."""
CONFIGURATIONS: Final = {"fr": "french", "en": "english"}
"""PostgreSQL's stemmers by language; `simple` for the others."""
_ASKING: Final = frozenset(
    (
        *("what", "which", "who", "whom", "whose", "when", "where", "why", "how", "many", "much"),
        *("tell", "explain", "describe", "define", "give", "mean", "means"),
        *("quel", "quelle", "quels", "quelles", "qui", "que", "quoi", "quand", "ou", "pourquoi", "comment", "combien"),
        *("est", "est-ce", "explique", "decris", "definis", "donne", "signifie", "peux"),
    )
)
"""Words of questions that no answer repeats, without accents."""
_ENDING: Final = re.compile(r"(?:ments?|ations?|ions?|ingly|ings?|edly|ed|ies|ees?|aient|ait|ent|ons|ez|es|e|s|x)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Exactly `text[start:end]` of one document of the user's."""

    collection_id: str
    position: int
    document_id: str
    document: str
    language: str | None
    page_starts: tuple[int, ...]
    start: int
    end: int
    text: str


def cut(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each passage; together they hold every character that is not white space."""
    from semantic_text_splitter import TextSplitter

    for start, part in TextSplitter(PASSAGE_CHARS).chunk_indices(text):
        yield start, start + len(part)


def plain(text: str) -> str:
    """Folded and without accents, for searching: people leave accents out, and so do extractors."""
    decomposed = unicodedata.normalize("NFKD", folded(text))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def terms(text: str, language: str | None = None) -> list[str]:
    """What a text is about: stems of its words that carry meaning, of a question without the words that ask."""
    return [stem(word) for word in meant(text, language)]


def meant(text: str, language: str | None = None) -> list[str]:
    """The words that carry meaning, without accents."""
    found = (plain(word) for word in content_words(text, language))
    return [word for word in found if word not in _ASKING]


def stem(word: str) -> str:
    """A rough stem, the same for both languages: of five letters and more, and never under four."""
    if len(word) < 5 or not word.isalpha():
        return word
    cut_off = _ENDING.sub("", word)
    return cut_off if len(cut_off) >= 4 else word[:4]
