"""Checks of items against each other: duplicates, conflicts, one passage asked about too often, the key's place."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from ingestion_assets.study.model import DropReason, Evidence, Question
from ingestion_assets.study.text import fold, folded

NEAR: Final = 0.8
"""Share of common letter trigrams from which two fronts are one. Only with the same answer."""
MOST_FOR_ONE_SPAN: Final = 3
MOST_LONGEST: Final = 0.4
"""Share of questions with the longest option as their key from which a collection gives its keys away."""


def front_form(front: str) -> str:
    """What two fronts are compared by: letters and digits."""
    return fold(front).alphanumeric().text


class Duplicates:
    """D1: items seen so far. Ask before adding; what is refused is not added."""

    def __init__(self) -> None:
        self._exact: set[tuple[str, str]] = set()
        self._fronts: dict[str, list[tuple[str, Evidence]]] = defaultdict(list)
        self._by_answer: dict[str, list[frozenset[str]]] = defaultdict(list)

    def refuse(self, front: str, answer: str, evidence: Evidence) -> DropReason | None:
        """Why the item is one too many, or None: then it is remembered."""
        asked, answered = front_form(front), folded(answer)
        if (asked, answered) in self._exact:
            return DropReason.DUPLICATE
        for _, known in self._fronts[asked]:
            # Columns of a table share their headings: the same question from elsewhere is kept, from here it is a conflict.
            if known.document_id == evidence.document_id and known.start < evidence.end and evidence.start < known.end:
                return DropReason.CONFLICT
        grams = trigrams(asked)
        if any(jaccard(grams, other) >= NEAR for other in self._by_answer[answered]):
            return DropReason.NEAR_DUPLICATE
        self._exact.add((asked, answered))
        self._fronts[asked].append((answered, evidence))
        self._by_answer[answered].append(grams)
        return None


class Overuse:
    """D2: how many items rest on one passage."""

    def __init__(self, most: int = MOST_FOR_ONE_SPAN) -> None:
        self._most = most
        self._used: dict[tuple[str, int, int], int] = defaultdict(int)

    def refuse(self, evidence: Evidence) -> DropReason | None:
        """`EVIDENCE_OVERUSED`, or None: then the use is counted."""
        span = (evidence.document_id, evidence.start, evidence.end)
        if self._used[span] >= self._most:
            return DropReason.EVIDENCE_OVERUSED
        self._used[span] += 1
        return None


def trigrams(form: str) -> frozenset[str]:
    """Letter trigrams of a compared form."""
    return frozenset(form[at : at + 3] for at in range(max(1, len(form) - 2)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Common share of two sets."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def shuffled(options: Sequence[str], key: int, seed: str) -> tuple[tuple[str, ...], int]:
    """Q9: options in an order drawn from the item's id, never from the model, and where the key went."""
    order = list(range(len(options)))
    random.Random(seed).shuffle(order)  # noqa: S311 - a position, not a secret
    return tuple(options[place] for place in order), order.index(key)


def longest_key_share(questions: Sequence[Question]) -> float | None:
    """Q4 over a collection: share of four-option questions whose key is longer than every other option.

    A quarter is chance; above `MOST_LONGEST` a reader can win by choosing the longest. None without such questions.
    """
    asked = [question for question in questions if len(question.options) == 4]
    longest = [
        question
        for question in asked
        if len(question.answer) > max(len(option) for at, option in enumerate(question.options) if at != question.key)
    ]
    return round(len(longest) / len(asked), 4) if asked else None
