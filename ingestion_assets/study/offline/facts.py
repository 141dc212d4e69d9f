"""Facts in sentences: definitions, and the words of a sentence that are worth hiding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ingestion_assets.study.checks.shared import is_instruction, self_contained
from ingestion_assets.study.lexicon import lexicon
from ingestion_assets.study.sentences import Sentence
from ingestion_assets.study.text import STOPWORDS, folded, words


class FactKind(StrEnum):
    """What the answer is."""

    DEFINITION = "definition"
    YEAR = "year"
    NUMBER = "number"
    NAME = "name"
    TERM = "term"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that a sentence says."""

    kind: FactKind
    sentence: Sentence
    answer: str
    """The hidden part, or the defined term."""
    start: int
    """Of the hidden part in the sentence's text."""
    meaning: str = ""
    """Of a definition: what the term is."""
    lead: str = ""
    """The word before the hidden part, folded: what an option has to agree with."""
    plural: bool = False
    verb: str = ""


MIN_CHARS: Final = 35
MAX_CHARS: Final = 280
_WORD: Final = r"[A-Za-zÀ-ÖØ-öø-ÿ0-9][\w’'-]*"
_JOINT: Final = r"(?:of|de|du|des|à|en|and|et)\s+|de\s+la\s+|de\s+l['’]|d['’]"
_TERM: Final = rf"(?:{_WORD})(?:\s+(?:{_JOINT})?{_WORD}){{0,3}}?"
_DEFINITIONS: Final = {
    "en": re.compile(
        rf"^(?:(?:An?|The|Every|Each)\s+)?(?P<term>{_TERM})(?:\s*\([^)]{{1,40}}\))?,?\s+"
        r"(?P<verb>is defined as|are defined as|is called|refers to|refer to|is known as|means|denotes"
        r"|describes|designates|"
        r"is|are)\s+(?P<meaning>(?:an?|the|any|one|that|those|what|when|how)\s+\S.{12,})$"
    ),
    "fr": re.compile(
        rf"^(?P<article>Les?\s+|La\s+|L['’]\s?|Une?\s+|Des\s+|On appelle\s+(?:une?\s+|la\s+|le\s+|les\s+"
        rf"|l['’])?)?(?P<term>{_TERM})"
        r"(?:\s*\([^)]{1,40}\))?,?\s+(?P<verb>se définit comme|est définie? comme|sont définie?s comme"
        r"|désigne|désignent|signifie|"
        r"est|sont|consiste en|correspond à|correspondent à)\s+(?P<meaning>(?:une?|le|la|les|l['’]|des"
        r"|tout|toute|ce|celui|celle|"
        r"l['’]ensemble)\s*\S.{12,})$"
    ),
}
_GLOSSARY: Final = re.compile(rf"^(?P<term>{_TERM})\s*(?::|\s[–—-]\s)\s*(?P<meaning>[^\W\d_].{{20,}})$")
_ANAPHORA: Final = {name: lexicon("anaphora", name) for name in ("en", "fr")}
_ELIDED: Final = re.compile(r"\b([ld]['’])$", re.IGNORECASE)
_YEAR: Final = re.compile(r"(?<![\d.,-])(?:1[0-9]|20)\d{2}(?![\d%]|[.,]\d|-)")
_BEFORE_YEAR: Final = lexicon("before_year")
_NUMBER: Final = re.compile(r"(?<![\w.,-])\d{1,3}(?:(?:[\u00a0\u202f ,]\d{3})+|\d*)(?:[.,]\d+)?(?![\w-]|[.,]\d)")
_NAME: Final = re.compile(
    r"(?<![.!?:«“\"(])(?<=\s)(?P<name>[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ]+(?:[-’'][A-ZÀ-ÖØ-Þa-z][\w]+)*(?:\s+"
    r"(?:de\s+|du\s+|of\s+|van\s+|von\s+)?"
    r"[A-ZÀ-ÖØ-Þ][\w’'-]+){0,3})"
)
_DETERMINED: Final = {
    "en": re.compile(
        r"\b(?P<lead>the|a|an|of|into|through|by|with|from|called"
        r"|as)\s+(?P<term>[a-zà-öø-ÿ][a-zà-öø-ÿ-]{4,})(?=[\s,.;:)])",
        re.IGNORECASE,
    ),
    "fr": re.compile(
        r"(?:\b(?P<lead>les?|la|une?|des|du|aux?|de|par|en)\s+"
        r"|\b(?P<elided>[ld]['’]))(?P<term>[a-zà-öø-ÿ][a-zà-öø-ÿ-]{4,})(?=[\s,.;:)])",
        re.IGNORECASE,
    ),
}
_CALENDAR: Final = lexicon("calendar")
_NOT_TERMS: Final = lexicon("weak_terms")


def usable(sentence: Sentence, language: str) -> bool:
    """A whole sentence that can be understood without its neighbours."""
    text = sentence.text
    if not MIN_CHARS <= len(text) <= MAX_CHARS or not text.rstrip("\"»”)'’").endswith("."):
        return False
    if not (text[0].isupper() or text[0].isdigit()) or text.count("(") != text.count(")"):
        return False
    found = [word.lower() for word in words(text)]
    if len(found) < 6 or found[0] in _ANAPHORA.get(language, frozenset()):
        return False
    lettered = sum(character.isalpha() or character.isspace() for character in text)
    return (
        lettered >= 0.8 * len(text)
        and not self_contained(text)
        and not is_instruction(text)
        and "http" not in text
        and "{{" not in text
        and "___" not in text
        and "|" not in text
        and "\ufffd" not in text
    )


def definition(sentence: Sentence, language: str) -> Fact | None:
    """The definition that a sentence is, if it is one."""
    text = sentence.text
    pattern = _DEFINITIONS[language]
    match = pattern.match(text) if usable(sentence, language) else None
    verb = match.group("verb") if match else ""
    if match is None:
        match = _GLOSSARY.match(text) if _glossary_line(sentence, language) else None
    if match is None:
        return None
    term = match.group("term").strip()
    if not _good_term(term, language):
        return None
    meaning = match.group("meaning").strip().rstrip(".")
    article = (match.groupdict().get("article") or "").strip() if verb else ""
    lead = folded(text[: match.start("term")]).strip()
    if language == "fr" and article.lower().startswith("on appelle"):
        # "On appelle X une chose": the verb would belong to the meaning.
        return None
    return Fact(
        kind=FactKind.DEFINITION,
        sentence=sentence,
        answer=term,
        start=match.start("term"),
        meaning=meaning,
        lead=lead,
        plural=verb.split(" ")[0] in ("are", "sont", "refer", "désignent", "correspondent"),
        verb=verb,
    )


def _glossary_line(sentence: Sentence, language: str) -> bool:
    text = sentence.text
    return (
        MIN_CHARS <= len(text) <= MAX_CHARS
        and text[0].isupper()
        and (text.endswith(".") or "\n" not in text)
        and not self_contained(text)
        and not is_instruction(text)
        and "http" not in text
        and "{{" not in text
        and len(words(text)) >= 6
        and words(text)[0].lower() not in _ANAPHORA.get(language, frozenset())
    )


def _good_term(term: str, language: str) -> bool:
    parts = [word.lower() for word in words(term)]
    stop = STOPWORDS[language]
    return (
        bool(parts)
        and parts[0] not in _ANAPHORA[language]
        and parts[0] not in _NOT_TERMS
        and parts[-1] not in stop
        and not all(part in stop or part.isdigit() for part in parts)
        and len(term) >= 3
        and any(character.isalpha() for character in term)
    )


def hidden_parts(sentence: Sentence, language: str) -> Iterator[Fact]:
    """Years, numbers, names and terms of a sentence that stand in it once."""
    text = sentence.text
    taken: list[tuple[int, int]] = []
    for kind, start, end in _places(text, language):
        answer = text[start:end]
        if any(start < other_end and other_start < end for other_start, other_end in taken):
            continue
        if len(re.findall(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE)) != 1:
            continue
        taken.append((start, end))
        before = words(text[:start])
        elided = _ELIDED.search(text[:start])
        lead = elided.group(1) if elided else (before[-1] if before else "")
        yield Fact(
            kind=kind,
            sentence=sentence,
            answer=answer,
            start=start,
            lead=lead.lower().replace("’", "'"),
            plural=folded(answer).endswith(("s", "x")),
        )


def _places(text: str, language: str) -> Iterator[tuple[FactKind, int, int]]:
    """Where something could be hidden, the best kind first."""
    for match in _YEAR.finditer(text):
        before = words(text[: match.start()])
        if before and before[-1].lower().replace("’", "'") in _BEFORE_YEAR:
            yield FactKind.YEAR, *match.span()
    for match in _NUMBER.finditer(text):
        yield FactKind.NUMBER, *match.span()
    for start, end in _names(text, language):
        yield FactKind.NAME, start, end
    for match in _DETERMINED[language].finditer(text):
        term = match.group("term").lower()
        adverb = language == "en" and term.endswith("ly")
        if not (adverb or term in STOPWORDS[language] or term in _NOT_TERMS):
            yield FactKind.TERM, *match.span("term")


def _names(text: str, language: str) -> Iterator[tuple[int, int]]:
    for match in _NAME.finditer(text):
        start, end = match.span("name")
        name = match.group("name")
        if name.split()[0].lower() in _CALENDAR:
            continue
        after = re.match(r"\s+([a-zà-öø-ÿ]+)", text[end:])
        if language == "en" and " " not in name and after and after.group(1) not in STOPWORDS["en"]:
            # "the English scientist": an adjective, which many other words would fit.
            continue
        opening = text[:start].strip()
        if opening.isalpha() and opening[0].isupper() and opening.lower() not in STOPWORDS[language]:
            # A name that begins the sentence: its first word has a capital for two reasons.
            start = 0
        yield start, end
