"""Cutting documents into chunks with exact offsets, and the order in which they are worked on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from ingestion_assets.study.model import Chunk, Document
from ingestion_assets.study.text import words

LEAST_CHARS: Final = 1200
MOST_CHARS: Final = 7000
CHUNKS_A_DOCUMENT: Final = 200
"""What the size aims at. It follows from the length of this document alone: another file in the batch moves nothing."""
MIN_WORDS: Final = 12
"""A chunk with fewer words joins no question; it is counted as skipped."""


def chunk_document(document: Document) -> list[Chunk]:
    """The chunks of a document. Together they hold every character that is not white space."""
    from semantic_text_splitter import TextSplitter

    target = min(MOST_CHARS, max(LEAST_CHARS, len(document.text) // CHUNKS_A_DOCUMENT))
    splitter = TextSplitter((target, target + target // 2))
    found = []
    for number, (start, text) in enumerate(splitter.chunk_indices(document.text)):
        found.append(
            Chunk(
                document_id=document.id,
                number=number,
                start=start,
                end=start + len(text),
                text=text,
                words=len(words(text)),
                sha256=sha256(text.encode()).hexdigest(),
            )
        )
    return found


def spread(count: int) -> list[int]:
    """0 … count-1 in an order of which every beginning is spread evenly (van der Corput, base 2).

    Work that is cut off then has covered the whole document thinly, not its first pages well.
    """
    bits = max(1, (count - 1).bit_length())
    order = (int(f"{index:0{bits}b}"[::-1], 2) for index in range(1 << bits))
    return [place for place in order if place < count]


def fair_order(documents: Iterable[Sequence[Chunk]]) -> list[Chunk]:
    """Chunks of several documents: one of each in turn, and each document's spread evenly over its pages."""
    queues = [[chunks[place] for place in spread(len(chunks))] for chunks in documents if chunks]
    ordered: list[Chunk] = []
    for turn in range(max((len(queue) for queue in queues), default=0)):
        ordered.extend(queue[turn] for queue in queues if turn < len(queue))
    return ordered
