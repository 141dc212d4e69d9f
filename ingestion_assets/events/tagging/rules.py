"""Tags without a network: what the words of an event say, and which word said it.

Deterministic, bilingual and explainable. Each term found adds to the score of the values it stands for: most in the
title and in the categories that the source gave, less further down the description. The rules are the offline answer
of `tag_enrichments`, and what takes over when every provider's quota is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from ingestion_assets.events.tagging.model import EventTags, TagAnswer, TagBatch
from ingestion_assets.events.tagging.taxonomy import AXES, Audience, EventType
from ingestion_assets.events.tagging.text import TagInput
from ingestion_assets.events.tagging.vocabulary import Match, fold, plain, vocabulary

RULES_VERSION = "1"
"""Stands for the model in the key of stored answers (`rules-1`)."""

_TITLE, _CATEGORY, _AUDIENCE, _VENUE = 3.0, 3.5, 3.0, 0.75
_OPENING, _REST = 1.2, 0.6
_OPENING_WORDS = 25
"""A description says what the event is in its first sentence; further on it talks about artists and tickets."""
_HEAD, _OPENS = 1.6, 1.25
"""French puts the kind of thing first (`Atelier de poterie`), English last (`Pottery workshop`), though a title of either
may open with it (`Workshop: pottery`)."""
_THRESHOLD = {"type": 0.6, "genres": 1.1, "ambiance": 1.1, "audience": 1.1}
_KEEP = {"genres": 3, "ambiance": 2, "audience": 3}

_AGES = (
    # 6-12 ans, 6 à 12 ans, ages 6 to 12, 6-12 years
    re.compile(r"\b(?:ages?|aged|de)?\s*(\d{1,2})\s*(?:-|–|a|to|et)\s*(\d{1,2})\s*(?:ans|years?|yrs?|y\.?o)\b"),
    re.compile(r"\bage[sd]?\s*(\d{1,2})\s*(?:-|–|to)\s*(\d{1,2})\b"),
)
_MINIMUM_AGE = re.compile(
    r"\b(\d{1,2})\s*(?:\+|(?:ans|years?)\s*(?:et\s*(?:plus|\+)|and\s*(?:over|up|older)|old and (?:over|up)|\+))"
    r"|\b(\d{1,2})\s*and\s*(?:over|up|older)\b"
    r"|\b(?:ages?|aged)\s*(\d{1,2})\s*(?:\+|and\s*(?:over|up))"
    r"|\b(?:des|a partir de)\s*(\d{1,2})\s*ans\b"
)
_MONTHS = re.compile(r"\b\d{1,2}\s*(?:-|–|a|to)\s*\d{1,2}\s*(?:mois|months?)\b")


@dataclass(frozen=True, slots=True)
class Firing:
    """Why a value was considered: the term as the vocabulary has it, where it stood and what it added."""

    axis: str
    value: str
    term: str
    language: str
    field: str
    score: float


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """Tags with their reasons. `fired` holds what led to the values that were kept; a default has no reason."""

    tags: EventTags
    fired: tuple[Firing, ...]

    def explanation(self) -> list[dict[str, str | float]]:
        """The reasons as plain values, for a JSON column."""
        return [asdict(firing) for firing in self.fired]


def tag_by_rules(item: TagInput) -> RuleAnswer:
    """Tag one event by its words. The same text always gives the same answer."""
    fired = list(_firings(item))
    chosen: dict[str, list[str]] = {}
    for axis, keep in _KEEP.items():
        totals = _totals(fired, axis)
        order = list(AXES[axis])
        ranked = sorted(totals, key=lambda value: (-totals[value], order.index(AXES[axis](value))))
        chosen[axis] = [value for value in ranked if totals[value] >= _THRESHOLD[axis]][:keep]
    kind = _best_type(fired) or _type_by_genre(chosen["genres"])
    chosen["type"] = [kind]
    chosen["audience"] = _audience(chosen["audience"])
    tags = EventTags.model_validate(
        {"type": kind, "genres": chosen["genres"], "ambiance": chosen["ambiance"], "audience": chosen["audience"]}
    )
    return RuleAnswer(tags, tuple(firing for firing in fired if firing.value in chosen[firing.axis]))


def answer_by_rules(inputs: Iterable[TagInput]) -> TagBatch:
    """The rules' answer in the shape of a model's: the offline side of a request for several events."""
    answers = (TagAnswer(event_id=item.event_id, **dict(tag_by_rules(item).tags)) for item in inputs)
    return TagBatch(answers=tuple(answers))


def _audience(values: list[str]) -> list[str]:
    """`everyone` is what is left when nothing narrower is said; families may be named beside it."""
    narrower = [value for value in values if value not in {Audience.EVERYONE, Audience.FAMILIES}]
    if narrower and Audience.EVERYONE in values:
        return [value for value in values if value != Audience.EVERYONE]
    return values or [Audience.EVERYONE]


def _best_type(fired: list[Firing]) -> str | None:
    totals = _totals(fired, "type")
    order = list(EventType)
    best = min(totals, key=lambda value: (-totals[value], order.index(EventType(value))), default=None)
    return best if best is not None and totals[best] >= _THRESHOLD["type"] else None


def _type_by_genre(genres: list[str]) -> str:
    known = vocabulary().type_by_genre
    return next((known[genre] for genre in genres if genre in known), EventType.OTHER)


def _totals(fired: list[Firing], axis: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    for firing in fired:
        if firing.axis == axis:
            totals[firing.value] = totals.get(firing.value, 0.0) + firing.score
    return totals


def _firings(item: TagInput) -> Iterator[Firing]:
    title, description = fold(item.title), fold(item.description)
    categories = [fold(category) for category in item.categories]
    audience = [fold(audience) for audience in item.audience]
    for axis, lexicon in vocabulary().by_axis.items():
        seen: set[tuple[str, str, str]] = set()
        for match in lexicon.matches(title):
            yield from _each(match, "title", _TITLE, seen, length=len(title) if axis == "type" else None)
        for words in categories:
            for match in lexicon.matches(words):
                yield from _each(match, "categories", _CATEGORY, seen)
        if axis == "audience":
            for words in audience:
                for match in lexicon.matches(words):
                    yield from _each(match, "audience", _AUDIENCE, seen)
        for match in lexicon.matches(description):
            weight = _OPENING if match.position < _OPENING_WORDS else _REST
            yield from _each(match, "description", weight, seen)
        for match in vocabulary().venues[axis].matches(fold(item.venue)):
            yield from _each(match, "venue", _VENUE, seen)
    yield from _ages(item)


def _each(
    match: Match, field: str, weight: float, seen: set[tuple[str, str, str]], *, length: int | None = None
) -> Iterator[Firing]:
    """One firing for each value that a match stands for. `length`: words of the title, where its order says more."""
    for term in match.terms:
        # A word that both languages have is one reason, not two.
        key = (field, term.value, " ".join(fold(term.text)))
        if key not in seen:
            seen.add(key)
            place = 1.0 if length is None else _head(match, length, term.language)
            yield Firing(term.axis, term.value, term.text, term.language, field, round(weight * term.weight * place, 3))


def _head(match: Match, length: int, language: str) -> float:
    first, last = match.position == 0, match.position + match.length == length
    if (first and language == "fr") or (last and language == "en"):
        return _HEAD
    return _OPENS if first else 1.0


def _ages(item: TagInput) -> Iterator[Firing]:
    """Ages written as numbers. Read from the text as it stands: folding would lose the dashes and plus signs."""
    for field, weight, text in (
        ("title", _TITLE, item.title),
        ("categories", _CATEGORY, " ; ".join(item.categories)),
        ("audience", _AUDIENCE, " ; ".join(item.audience)),
        ("description", _OPENING, item.description),
    ):
        flat = plain(text)
        found: dict[str, str] = {}
        for pattern in _AGES:
            for span in pattern.finditer(flat):
                low, high = int(span[1]), int(span[2])
                found |= dict.fromkeys(_groups(low, high), span[0].strip())
        for span in _MINIMUM_AGE.finditer(flat):
            low = int(next(group for group in span.groups() if group))
            found |= dict.fromkeys(_groups_from(low), span[0].strip())
        for span in _MONTHS.finditer(flat):
            found[Audience.TODDLERS] = span[0].strip()
        for value, written in found.items():
            yield Firing("audience", value, written, "", field, weight)


def _groups(low: int, high: int) -> list[Audience]:
    if low > high or high > 25:
        return []
    spans = ((Audience.TODDLERS, 0, 5), (Audience.CHILDREN, 6, 12), (Audience.TEENS, 13, 17), (Audience.ADULTS, 18, 99))
    # An age group that is only touched at its edge ("3 to 6", "12 to 17") is not whom the event is for.
    return [group for group, first, last in spans if min(high, last) - max(low, first) >= (1 if high > low else 0)]


def _groups_from(low: int) -> list[Audience]:
    if low >= 50:
        return [Audience.SENIORS]
    if low >= 18:
        return [Audience.ADULTS]
    if low >= 14:
        return [Audience.TEENS, Audience.ADULTS]
    return [Audience.EVERYONE] if low >= 7 else [Audience.FAMILIES]
