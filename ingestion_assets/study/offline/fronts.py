"""How a fact is asked for, in French and English."""

from __future__ import annotations

import re
from typing import Final

from ingestion_assets.study.offline.context import DocumentContext, is_person
from ingestion_assets.study.offline.facts import Fact
from ingestion_assets.study.offline.names import NameKind

_VOWEL: Final = re.compile(r"^[aeiouéèêàâîôûyhœ]", re.IGNORECASE)
_MEANS: Final = ("means", "denotes", "describes", "designates", "refers to", "refer to")
_PAST: Final = ("was", "were")


def definition_front(fact: Fact, context: DocumentContext) -> str:
    """What is it?"""
    term = fact.answer if fact.start > 0 or fact.is_entry else lowered(fact.answer, context)
    if fact.name is NameKind.PERSON:
        return _who(fact, context.language)
    return _english(fact, term, context) if context.language == "en" else _french(fact, term, context)


def _who(fact: Fact, language: str) -> str:
    if language == "fr":
        return f"Qui est {fact.answer} ?" if fact.verb == "est" else f"Qui était {fact.answer} ?"
    return f"Who {'was' if fact.verb in _PAST else 'is'} {fact.answer}?"


def _english(fact: Fact, term: str, context: DocumentContext) -> str:
    if fact.verb in _MEANS or (not fact.verb and not context.names.is_capital(term.split(maxsplit=1)[0])):
        return f"What does “{term}” mean?"
    verb = "is" if not fact.verb else fact.verb if fact.verb in _PAST else ("are" if fact.plural else "is")
    lead = f"{fact.lead} " if fact.lead in ("a", "an", "the") else ""
    return f"What {verb} {lead}{term}?"


def _french(fact: Fact, term: str, context: DocumentContext) -> str:
    lead = fact.lead.replace("’", "'")
    if not fact.verb:
        return f"Que signifie « {term} » ?"
    if fact.plural:
        return f"Que sont {lead + ' ' if lead in ('les', 'des') else ''}{term} ?"
    if lead in ("le", "la"):
        return f"Qu’est-ce que {lead} {term} ?"
    if lead.startswith("l'"):
        return f"Qu’est-ce que l’{term} ?"
    if lead in ("un", "une"):
        return f"Qu’est-ce qu’{lead} {term} ?"
    if context.names.is_capital(term.split(maxsplit=1)[0]):
        return f"Qu’est-ce qu’{term} ?" if _VOWEL.match(term) else f"Qu’est-ce que {term} ?"
    return f"Que signifie « {term} » ?"


def doing_front(fact: Fact, language: str) -> str:
    """What, or who, does it?"""
    person = is_person(fact)
    if language == "en":
        return f"{'Who' if person else 'What'} {fact.meaning}?"
    return f"{'Qui' if person else 'Qu’est-ce qui'} {fact.meaning} ?"


def lowered(term: str, context: DocumentContext) -> str:
    """Without the capital that the start of a sentence gave it; acronyms and names keep theirs."""
    first = term.split(maxsplit=1)[0]
    if len(first) < 2 or not first[1:].islower() or context.names.is_capital(first):
        return term
    return term[0].lower() + term[1:]
