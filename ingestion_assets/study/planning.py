"""How many items to ask for, and of which chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ingestion_assets.study.chunks import MIN_WORDS, fair_order
from ingestion_assets.study.model import Chunk, StudyOptions

WORDS_A_CARD: Final = 40
WORDS_A_QUESTION: Final = 80
MOST_CARDS: Final = 500
MOST_QUESTIONS: Final = 200
"""Unless more are asked for. More than these in one deck are not studied."""
SURPLUS: Final = 1.35
"""Asked for beyond what is wanted: some do not pass the checks."""
MOST_A_CHUNK: Final = 12
"""Of one kind in one answer; longer answers get cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one chunk is asked for."""

    chunk: Chunk
    cards: int
    questions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which chunks are asked for what, in the order of asking."""

    cards: int
    """To be stored at most."""
    questions: int
    asked: tuple[Asked, ...]
    reserve: tuple[Asked, ...]
    """Chunks that are asked only when the first ones give too little."""
    too_short: tuple[Chunk, ...]


def plan(documents: Mapping[str, Sequence[Chunk]], options: StudyOptions) -> Plan:
    """Share what is wanted over documents and pages. A small document is never left out for a large one."""
    usable = [[chunk for chunk in chunks if chunk.words >= MIN_WORDS] for chunks in documents.values()]
    short = tuple(chunk for chunks in documents.values() for chunk in chunks if chunk.words < MIN_WORDS)
    order = fair_order(usable)
    total = sum(chunk.words for chunk in order)
    cards = _wanted(options.cards, total, WORDS_A_CARD, 5, MOST_CARDS)
    questions = _wanted(options.questions, total, WORDS_A_QUESTION, 3, MOST_QUESTIONS)
    first = min(len(order), math.ceil(max(cards, questions) * SURPLUS)) if cards + questions else 0
    asked_words = sum(chunk.words for chunk in order[:first]) or 1

    def ask(chunk: Chunk, *, share: float) -> Asked:
        return Asked(chunk=chunk, cards=_share(cards, share), questions=_share(questions, share))

    return Plan(
        cards=cards,
        questions=questions,
        asked=tuple(ask(chunk, share=chunk.words / asked_words) for chunk in order[:first]),
        reserve=tuple(ask(chunk, share=chunk.words / asked_words) for chunk in order[first:]),
        too_short=short,
    )


def _wanted(asked: int | None, words: int, words_an_item: int, least: int, most: int) -> int:
    if asked is not None:
        return max(0, asked)
    return min(most, max(least, words // words_an_item)) if words else 0


def _share(wanted: int, share: float) -> int:
    return min(MOST_A_CHUNK, max(1, math.ceil(wanted * SURPLUS * share))) if wanted else 0
