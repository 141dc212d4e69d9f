"""What of an event is shown to a tagger, and the hash that says whether it has been seen before.

Title, description, venue, categories and audience; not the date, so the same show next week costs nothing. The text
is cleaned here, before the hash, so that a change of invisible characters, spacing or links asks no question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

import orjson

TITLE_CHARS = 200
DESCRIPTION_CHARS = 500
"""About 125 tokens: what an event is stands in its first sentences; the rest is biography and ticket rules."""
VENUE_CHARS = 120
MAX_LABELS = 12
LABEL_CHARS = 60

_LINK = re.compile(r"(?:https?://|www\.)\S+|\b[\w.+-]+@[\w-]+\.[\w.-]+", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
# Invisible and bidirectional marks, private use, half surrogates, unassigned: they can hide or reorder text.
_DROPPED = frozenset({"Cf", "Co", "Cs", "Cn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TagInput:
    """One event as a tagger sees it. Build it with `tag_input`, which cleans and trims."""

    event_id: str
    title: str
    description: str
    venue: str
    categories: tuple[str, ...]
    audience: tuple[str, ...]

    @property
    def input_hash(self) -> str:
        """BLAKE2b-128, hexadecimal, of everything but the id: equal texts have equal hashes on every machine."""
        shown = [self.title, self.description, self.venue, self.categories, self.audience]
        return blake2b(orjson.dumps(shown), digest_size=16).hexdigest()


def tag_input(
    *,
    event_id: str,
    title: str,
    description: str | None = None,
    venue_name: str | None = None,
    categories: Iterable[str] = (),
    audience: Iterable[str] = (),
) -> TagInput:
    """Clean and trim an event's text. Categories and audience are sorted: their order carries no meaning."""
    return TagInput(
        event_id=event_id,
        title=clean(title, TITLE_CHARS),
        description=clean(description or "", DESCRIPTION_CHARS),
        venue=clean(venue_name or "", VENUE_CHARS),
        categories=_labels(categories),
        audience=_labels(audience),
    )


def _labels(values: Iterable[str]) -> tuple[str, ...]:
    cleaned = {clean(value, LABEL_CHARS) for value in values}
    return tuple(islice(sorted(cleaned - {""}), MAX_LABELS))


def clean(text: str, limit: int) -> str:
    """Composed, on one line, without links, addresses or invisible characters, at most `limit` characters long.

    Cut at a word where one ends near the limit; the cut is marked with an ellipsis.
    """
    # Far more than is kept, far less than a hostile record holds: the steps below cost in proportion.
    composed = unicodedata.normalize("NFC", text[: limit * 20])
    visible = "".join(_shown(char) for char in composed)
    flat = _SPACE.sub(" ", _LINK.sub(" ", visible)).strip()
    if len(flat) <= limit:
        return flat
    cut = flat[: limit - 1]
    head, space, _ = cut.rpartition(" ")
    return (head if space and len(head) > limit * 0.8 else cut).rstrip() + "…"


def _shown(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Cc":
        return " "
    return "" if kind in _DROPPED else char
