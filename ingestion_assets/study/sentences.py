"""Sentences of extracted text, with exact offsets.

Extracted text has lines where the page had them: a sentence goes over several, a heading is a line of its own, and a
running head stands in the middle of a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ingestion_assets.study.lexicon import lexicon
from ingestion_assets.study.text import squeeze

_ABBREVIATIONS: Final = lexicon("abbreviations")
_END: Final = re.compile(r"[.!?…]+[\"»”’)\]]*(?=\s|$)")
_OPENING: Final = re.compile(r"\s*(?:[\"«“(\[]\s*)?[A-ZÀ-ÖØ-Þ0-9]")
_ITEM: Final = re.compile(r"\s*(?:[-–—•▪◦*·●]|\(?\d{1,3}[.)]|[a-z][.)]|#{1,6})\s+\S")
_SECTION: Final = re.compile(r"^\d{1,3}(?:\.\d{1,3})*\.?\s+(?=\D)")
"""The number of a heading: "3", "2.4", "2.4."."""
_SUBSECTION: Final = re.compile(r"^\d{1,3}(?:\.\d{1,3})+\.?\s+(?=\D)")
"""One with a dot: where a line is only now found to begin a heading, "3" may also count what follows it."""
_HEADING_CHARS: Final = 60
_FULL: Final = 0.92
"""Letters differ in width, so full lines differ in characters."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence or a line that stands alone; offsets are those of the text it was cut from plus `base`."""

    start: int
    end: int
    text: str
    """On one line."""


def sentences(text: str, base: int = 0) -> Iterator[Sentence]:
    """Cut `text`. Every sentence's `text` is the squeezed `text[start - base:end - base]`."""
    for start, end in _blocks(text):
        block = text[start:end]
        at = 0
        for stop in _stops(block):
            yield from _sentence(block, at, stop, base + start)
            at = stop
        yield from _sentence(block, at, len(block), base + start)


def _sentence(block: str, start: int, end: int, base: int) -> Iterator[Sentence]:
    raw = block[start:end]
    lead = len(raw) - len(raw.lstrip())
    body = raw.strip()
    if body:
        yield Sentence(base + start + lead, base + start + lead + len(body), squeeze(body))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of lines that belong together."""
    start = at = 0
    previous = ""
    width = _width(text)
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if at > start and (not bare or _begins_block(previous, bare, width)):
            yield start, at
            start = at
        at += len(line)
        previous = bare
    if at > start:
        yield start, at


def _width(text: str) -> int:
    """Characters that a full line of the text has: nine of ten lines are no longer."""
    lengths = sorted(len(line.strip()) for line in text.splitlines() if line.strip())
    return lengths[len(lengths) * 9 // 10] if lengths else 0


def _begins_block(previous: str, line: str, width: int) -> bool:
    if not previous or _ITEM.match(line):
        return True
    open_end = previous[-1] not in ".!?…:;"
    if open_end and len(previous) + 1 + len(line.split(maxsplit=1)[0]) > _FULL * width:
        # The next word had no room on the line: it was broken, not ended. Headings leave room.
        return False
    opens = _SUBSECTION.sub("", line)[0].isupper()
    heading = len(previous) < _HEADING_CHARS and open_end and previous[-1] not in ",-" and opens
    title = _SECTION.sub("", previous)
    return (heading and not previous.rsplit(maxsplit=1)[-1].islower()) or (
        heading and title[0].isupper() and len(title) < 40
    )


def _stops(block: str) -> Iterator[int]:
    for match in _END.finditer(block):
        if not _OPENING.match(block, match.end()):
            continue
        if match.group().startswith(".") and not match.group().startswith("..") and _abbreviates(block, match.start()):
            continue
        yield match.end()


def _abbreviates(block: str, dot: int) -> bool:
    found = re.search(r"[\w.’'-]+$", block[max(0, dot - 12) : dot])
    if found is None:
        return False
    word = found.group().lower()
    if len(word) == 1 and re.search(r"(?:°|\d)\s?$", block[max(0, dot - 4) : dot - 1]):
        # A unit: "465 °C.", "12 V."
        return False
    # A single letter is an initial; a number before a dot is counted as the end of a sentence.
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word not in "àay")
