"""Finding a quote in a document's canonical text, and what the quote must contain.

A quote counts when its folded form, or its letters and digits alone, stand in the source. Never when it is only similar:
a changed digit is similar.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import Final

from ingestion_assets.study.model import Chunk, Document, Evidence
from ingestion_assets.study.text import Folded, fold, folded, numbers

MIN_QUOTE: Final = 20
MAX_QUOTE: Final = 400
"""Characters. Shorter ones are found anywhere, longer ones prove nothing in particular."""
_MIN_ALPHANUMERIC: Final = 16
_NAME: Final = re.compile(r"(?<![.!?:»”\"]\s)(?<!^)\b[A-ZÀ-ÖØ-Þ][\w’'-]+")
_SENTENCE_END: Final = re.compile(r"[.!?]\s")


class Source:
    """One document's text, ready to be searched. Folding is done once, and a chunk is tried before the whole."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @cached_property
    def _whole(self) -> Folded:
        return fold(self.document.text)

    @cached_property
    def _whole_alphanumeric(self) -> Folded:
        return self._whole.alphanumeric()

    def find(self, quote: str, chunk: Chunk) -> Evidence | None:
        """Where `quote` stands: in `chunk` if possible, else anywhere in the document. None when nowhere."""
        wanted = folded(quote)
        if not wanted:
            return None
        part, part_alphanumeric = _folded_chunk(chunk.text)
        span = _search(wanted, part, chunk.text)
        if span is None:
            bare = "".join(character for character in wanted if character.isalnum())
            span = _search_bare(bare, quote, part_alphanumeric, chunk.text)
            if span is None:
                text = self.document.text
                span = _search(wanted, self._whole, text) or _search_bare(bare, quote, self._whole_alphanumeric, text)
                return None if span is None else self._evidence(*span)
        return self._evidence(chunk.start + span[0], chunk.start + span[1])

    def _evidence(self, start: int, end: int) -> Evidence:
        return Evidence(
            document_id=self.document.id,
            page=self.document.page_at(start),
            start=start,
            end=end,
            quote=self.document.text[start:end],
        )

    def window(self, evidence: Evidence) -> str:
        """The quote with a sentence before and after it."""
        text = self.document.text
        before = text[max(0, evidence.start - MAX_QUOTE) : evidence.start]
        ends = [match.end() for match in _SENTENCE_END.finditer(before)]
        start = evidence.start - (len(before) - ends[-2]) if len(ends) > 1 else evidence.start - len(before)
        after = text[evidence.end : evidence.end + MAX_QUOTE]
        following = list(_SENTENCE_END.finditer(after))
        end = evidence.end + (following[1].end() if len(following) > 1 else len(after))
        return text[start:end]


def verify(evidence: Evidence, document: Document) -> bool:
    """The hard invariant, checked again on what is stored: the offsets give the quote, on that page."""
    return (
        evidence.document_id == document.id
        and 0 <= evidence.start < evidence.end <= len(document.text)
        and document.text[evidence.start : evidence.end] == evidence.quote
        and document.page_at(evidence.start) == evidence.page
    )


def unsupported(answer: str, window: str) -> tuple[str, ...]:
    """Numbers, dates and names of `answer` that are not in the words around its quote."""
    have = set(numbers(window))
    missing = [number for number in numbers(answer) if number not in have]
    where = folded(window)
    missing += [
        name for name in _NAME.findall(answer) if not re.search(rf"(?<!\w){re.escape(folded(name))}(?!\w)", where)
    ]
    return tuple(missing)


@lru_cache(maxsize=64)
def _folded_chunk(text: str) -> tuple[Folded, Folded]:
    part = fold(text)
    return part, part.alphanumeric()


def _search(wanted: str, where: Folded, original: str) -> tuple[int, int] | None:
    at = where.text.find(wanted)
    while at >= 0:
        span = where.starts[at], where.ends[at + len(wanted) - 1]
        if _whole_words(original, *span):
            return span
        at = where.text.find(wanted, at + 1)
    return None


def _search_bare(bare: str, quote: str, where: Folded, original: str) -> tuple[int, int] | None:
    if len(bare) < _MIN_ALPHANUMERIC:
        return None
    at = where.text.find(bare)
    while at >= 0:
        start, end = where.starts[at], where.ends[at + len(bare) - 1]
        # Without punctuation 1.5 reads like 15, and 20 % of 3 like 203: the numbers must be the same ones.
        if _whole_words(original, start, end) and numbers(original[start:end]) == numbers(quote):
            return start, end
        at = where.text.find(bare, at + 1)
    return None


def _whole_words(text: str, start: int, end: int) -> bool:
    """The span does not begin or end inside a word or a number."""
    head = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    tail = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    cut_number = end + 1 < len(text) and text[end] in ".," and text[end - 1].isdigit() and text[end + 1].isdigit()
    led_number = start > 1 and text[start - 1] in ".," and text[start].isdigit() and text[start - 2].isdigit()
    return not (head or tail or cut_number or led_number)
