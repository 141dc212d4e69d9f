"""Facts in sentences: what a thing is, what it does, and the words of a sentence that are worth hiding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ingestion_assets.study.checks.shared import is_instruction, self_contained
from ingestion_assets.study.lexicon import lexicon
from ingestion_assets.study.offline.names import NameKind, Names, find_names
from ingestion_assets.study.offline.phrases import acting, noun_phrases, what_does
from ingestion_assets.study.offline.standing import ANAPHORA, MAX_CHARS, MIN_CHARS, is_junk, leans, usable
from ingestion_assets.study.sentences import Sentence
from ingestion_assets.study.text import STOPWORDS, content_words, folded, words


class FactKind(StrEnum):
    """What the answer is."""

    DEFINITION = "definition"
    DOING = "doing"
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
    """The hidden part, the defined term, or the subject."""
    start: int
    """Of the answer in the sentence's text."""
    meaning: str = ""
    """Of a definition: what the term is. Of a doing: the predicate."""
    lead: str = ""
    """The word before the answer, folded: what an option has to agree with."""
    plural: bool = False
    verb: str = ""
    """Of a definition: empty in a glossary. Of a number: what makes it another size, such as `%` or `million`."""
    name: NameKind | None = None
    """What the answer names, where it is a name."""
    leans: bool = False
    """The sentence points at something outside it."""

    @property
    def is_entry(self) -> bool:
        """An entry of a glossary: no sentence to take words out of."""
        return self.kind is FactKind.DEFINITION and not self.verb

    def overlaps(self, other: Fact) -> bool:
        """Hides the same part of the same sentence."""
        return self.start < other.start + len(other.answer) and other.start < self.start + len(self.answer)


_WORD: Final = r"[A-Za-zÀ-ÖØ-öø-ÿ0-9][\w’'-]*"
_JOINT: Final = r"(?:of|de|du|des|à|en|and|et)\s+|de\s+la\s+|de\s+l['’]|d['’]"
_TERM: Final = rf"(?:{_WORD})(?:\s+(?:{_JOINT})?{_WORD}){{0,4}}?"
_DEFINITIONS: Final = {
    "en": re.compile(
        rf"^(?:(?P<article>An?|The|Every|Each)\s+)?(?P<term>{_TERM})(?:\s*\([^)]{{1,40}}\))?,?\s+"
        r"(?P<verb>is defined as|are defined as|is called|refers to|refer to|is known as|means|denotes"
        r"|describes|designates|is|are|was|were)\s+(?:(?:also|often|usually|generally|typically|commonly|thus|therefore)\s+)?"
        r"(?P<meaning>(?:an?|the|any|that|those|what|when|how)\s+\S.{12,})$"
    ),
    "fr": re.compile(
        rf"^(?:(?P<article>Les?\s+|La\s+|L['’]\s?|Une?\s+|Des\s+)|(?P<called>On appelle)\s+)?(?P<term>{_TERM})"
        r"(?:\s*\([^)]{1,40}\))?,?\s+(?P<verb>se définit comme|est définie? comme|sont définie?s comme"
        r"|désigne|désignent|signifie|est|sont|était|étaient|fut|consiste en|correspond à|correspondent à)\s+"
        r"(?:(?:au contraire|aussi|également|donc|alors|généralement|souvent|ainsi)\s+)?"
        r"(?P<meaning>(?:une?|le|la|les|l['’]|des?|tout|toute|ce|celui|celle|l['’]ensemble)\s*\S.{12,})$"
    ),
}
_GLOSSARY: Final = re.compile(
    rf"^(?P<term>{_TERM})(?:\s*\([^)]{{1,40}}\))?\s*(?::|\s[–—-]\s)\s*(?P<meaning>[^\W\d_].{{20,}})$"
)
_VAGUE: Final = re.compile(
    r"^(?:an? (?:example|important|good|key|useful|essential|excellent|simple way)"
    r"|one of|part of|the (?:case|reason|result|same|subject|topic|following|first|second|next|last|only|best|most important"
    r"|key|main)\b(?! (?:organelle|organ|layer|unit|source|component))"
    r"|(?:un|une) (?:exemple|bon|bonne|important|véritable|autre|élément (?:clé|essentiel|important))"
    r"|l['’]une? des|le (?:cas|résultat|même|premier|second|suivant|plus important)"
    r"|la (?:même|première|suivante|plus importante)|les (?:mêmes|suivants?|premiers))\b",
    re.IGNORECASE,
)
_MORE: Final = {
    "en": re.compile(
        r", so\b|, and (?:they|he|she|it|[A-Z]\w+ [a-z]+(?:ed|s)) |; "
        r"|,? (?:because|although|though|whereas|but|so that|and therefore|however)\b"
    ),
    "fr": re.compile(
        r", et (?:ils?|elles?|on) |; |,? (?:car|parce qu|puisqu|mais|alors qu|tandis qu|donc|cependant)\b"
    ),
}
_JOINED: Final = {"en": re.compile(r",? and ([a-z]+) "), "fr": re.compile(r",? et ([a-zà-öø-ÿ]+) ")}
_RELATIVE: Final = re.compile(r"\b(?:that|which|who|where|qui|que|dont|où)\b|\bqu['’]")
_ELIDED: Final = re.compile(r"\b([ld]['’])$", re.IGNORECASE)
_YEAR: Final = re.compile(r"(?<![\d.,-])(?:1[0-9]|20)\d{2}(?![\d%]|[.,]\d|-)")
_BEFORE_YEAR: Final = lexicon("before_year")
_NUMBER: Final = re.compile(r"(?<![\w.,-])\d{1,3}(?:(?:[\u00a0\u202f ,]\d{3})+|\d*)(?:[.,]\d+)?(?![\w-]|[.,]\d)")
_NOT_TERMS: Final = lexicon("weak_terms")
_VAGUE_TERMS: Final = lexicon("vague")
_LABELS: Final = lexicon("labels")
_LEAST_CONTENT: Final = 3
"""Words of content in a predicate below which many things could be meant."""


def definition(sentence: Sentence, language: str, names: Names) -> Fact | None:
    """The definition that a sentence is, if it is one."""
    text = sentence.text
    match = _DEFINITIONS[language].match(text) if usable(sentence, language) else None
    verb = match.group("verb") if match else ""
    if match is None:
        match = _GLOSSARY.match(text) if _glossary_line(sentence, language) else None
    if match is None or match.groupdict().get("called"):
        # "On appelle X une chose": the verb would belong to the meaning.
        return None
    term = match.group("term").strip()
    meaning = _one_thing(match.group("meaning").strip().rstrip("."), language)
    if not _good_term(term, language) or _VAGUE.match(meaning) or len(meaning) < 15 or len(words(meaning)) < 4:
        return None
    if not verb and not _good_entry(term, meaning):
        return None
    plural = verb.split(" ")[0] in ("are", "were", "sont", "étaient", "refer", "désignent", "correspondent")
    if not plural and re.match(r"de\s", meaning, re.IGNORECASE):
        # "Le délai est de trois ans": a measure.
        return None
    kind = names.kind(term) if term[0].isupper() and all(word[0].isupper() for word in term.split()) else None
    if verb in ("was", "were", "était", "étaient", "fut") and kind is None and not names.is_capital(term.split()[0]):
        # What something was at some moment of a story is no definition of it.
        return None
    return Fact(
        kind=FactKind.DEFINITION,
        sentence=sentence,
        answer=term,
        start=match.start("term"),
        meaning=meaning,
        lead=folded(match.groupdict().get("article") or "").strip() if verb else "",
        plural=plural,
        verb=verb,
        name=kind if kind is NameKind.PERSON else None,
        leans=leans(text, language),
    )


def _one_thing(meaning: str, language: str) -> str:
    """The meaning up to where the sentence begins to tell something else."""
    if (more := _MORE[language].search(meaning)) is not None and more.start() >= 15:
        meaning = meaning[: more.start()]
    for joined in _JOINED[language].finditer(meaning):
        # "the largest organelle of a cell and houses its DNA": a second verb of the subject.
        word = joined.group(1)
        if _RELATIVE.search(meaning[: joined.start()]):
            # The second verb may belong to the clause.
            return meaning
        if acting(language).get(word) == word and (language == "fr" or word.endswith("s")) and joined.start() >= 15:
            return meaning[: joined.start()]
    return meaning


def doing(sentence: Sentence, language: str, names: Names) -> Fact | None:
    """What a thing or a person does, if the sentence says just that."""
    text = sentence.text
    if not usable(sentence, language):
        return None
    person = _person_first(text, language, names)
    if person is not None:
        end, predicate = person
        if len(content_words(predicate, language)) < _LEAST_CONTENT:
            return None
        return Fact(
            kind=FactKind.DOING,
            sentence=sentence,
            answer=text[:end],
            start=0,
            meaning=_one_thing(predicate, language),
            name=NameKind.PERSON,
            leans=leans(text, language),
        )
    found = what_does(text, language)
    if found is None:
        return None
    term = text[found.start : found.end]
    if not _good_term(term, language) or len(content_words(found.predicate, language)) < _LEAST_CONTENT + 1:
        return None
    if not found.article and (
        language == "fr" or names.kind(term) is not NameKind.OTHER or (" " not in term and names.is_capital(term))
    ):
        # A place, a person, or "American" before its noun: "What" would be wrong. French nouns have their article.
        return None
    return Fact(
        kind=FactKind.DOING,
        sentence=sentence,
        answer=term,
        start=found.start,
        meaning=_one_thing(found.predicate, language),
        lead=folded(found.article),
        plural=_is_plural(term, found.article, language),
        leans=leans(text, language),
    )


def _is_plural(term: str, article: str, language: str) -> bool:
    if language == "fr" and article:
        return article.lower() in ("les", "des")
    head = folded(term).split(" of ")[0].split(" de ")[0]
    return head.endswith("s") and not head.endswith(("ss", "us", "is", "ics"))


def _person_first(text: str, language: str, names: Names) -> tuple[int, str] | None:
    """Where the name of a person ends that a sentence begins with, and what is said of them."""
    start, end = next(find_names(text, language), (1, 0))
    if start != 0 or names.kind(text[:end]) is not NameKind.PERSON:
        return None
    after = text[end:]
    if language == "en":
        verb = re.match(r"\s+(?:(?:first|later|also|then|soon|once|famously|finally)\s+)?([a-z]+)", after)
        acts = verb is not None and (
            verb.group(1).endswith("ed") or verb.group(1) in lexicon("past") or verb.group(1) in ("is", "has", "had")
        )
    else:
        verb = re.match(r"\s+([a-zà-öø-ÿ]+)", after)
        acts = verb is not None and (
            verb.group(1) in ("a", "est", "fut", "était", "devient", "avait")
            or (
                verb.group(1) not in STOPWORDS["fr"]
                and not re.search(r"(?:é|ée|és|ées|né|née|mort|dit)$", verb.group(1))
            )
        )
    return (end, after.strip().rstrip(".")) if acts else None


def _glossary_line(sentence: Sentence, language: str) -> bool:
    text = sentence.text
    return (
        MIN_CHARS <= len(text) <= MAX_CHARS
        and text[0].isupper()
        and (text.endswith(".") or "\n" not in text)
        and text[-1] not in ":?!,"
        and not self_contained(text)
        and not is_instruction(text)
        and not is_junk(text)
        and len(words(text)) >= 6
        and words(text)[0].lower() not in ANAPHORA.get(language, frozenset())
    )


def _good_entry(term: str, meaning: str) -> bool:
    """A glossary's entry, not a label, a running head or a heading with its subtitle."""
    parts = term.lower().split()
    shouted = len(term) > 6 and term.isupper()
    return not (
        shouted
        or parts[0] in _LABELS
        or parts[-1] in _LABELS
        or any(character.isdigit() for character in term)
        or re.search(r"\b(?:page|p\.)\s*\d+|\d$", meaning)
        or len(words(meaning)) < 4
        or re.match(r"\S+(?: \S+){0,3} (?:is|are|was|were|est|sont|était) ", meaning)
        or meaning.count(",") > len(words(meaning)) // 3
        or (meaning[0].isupper() and not re.search(r"[a-zà-ÿ]{3,} [a-zà-ÿ]{2,} ", meaning))
    )


def _good_term(term: str, language: str) -> bool:
    parts = [word.lower() for word in words(term)]
    stop = STOPWORDS[language]
    return (
        bool(parts)
        and parts[0] not in ANAPHORA[language]
        and (parts[0] not in _NOT_TERMS or (len(parts) > 1 and parts[1].isdigit()))
        and parts[0] not in _LABELS
        and parts[0] not in stop
        and parts[-1] not in stop
        and not (len(parts) > 1 and parts[-1] in _NOT_TERMS)
        and not (len(parts) == 1 and parts[0] in _VAGUE_TERMS)
        and not (language == "en" and parts[-1].endswith("ly"))
        and not all(part in stop or part.isdigit() for part in parts)
        and len(term) >= 3
        and any(character.isalpha() for character in term)
        and "'s" not in term.replace("’", "'")
    )


def hidden_parts(sentence: Sentence, language: str, names: Names) -> Iterator[Fact]:
    """Years, numbers, names and phrases of a usable sentence that stand in it once."""
    text = sentence.text
    leaning = leans(text, language)
    taken: list[tuple[int, int]] = []
    for kind, start, end in _places(text, language, names):
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
            verb=_unit(text[end:]) if kind is FactKind.NUMBER else "",
            plural=folded(answer).split()[0].endswith(("s", "x"))
            if language == "fr"
            else folded(answer).endswith("s") and not folded(answer).endswith(("ss", "us", "is")),
            name=names.kind(answer) if kind is FactKind.NAME else None,
            leans=leaning,
        )


def _worth_hiding(name: str, start: int, language: str, names: Names) -> bool:
    """Not an acronym, not the first word of a sentence that is no name, in English not an adjective of nation."""
    if " " in name:
        return True
    unknown = names.kind(name) is NameKind.OTHER
    return (
        sum(character.isupper() for character in re.split(r"[-’']", name)[0]) == 1
        and (start > 0 or names.is_capital(name))
        and not (unknown and language == "en")
    )


def _places(text: str, language: str, names: Names) -> Iterator[tuple[FactKind, int, int]]:
    """Where something could be hidden, the best kind first."""
    for match in _YEAR.finditer(text):
        before = words(text[: match.start()])
        if before and before[-1].lower().replace("’", "'") in _BEFORE_YEAR:
            yield FactKind.YEAR, *match.span()
    for match in _NUMBER.finditer(text):
        if not _counts_nothing(text, match):
            yield FactKind.NUMBER, *match.span()
    for start, end in find_names(text, language):
        if _worth_hiding(text[start:end], start, language, names):
            yield FactKind.NAME, start, end
    for start, end in noun_phrases(text, language):
        yield FactKind.TERM, start, end


def _unit(after: str) -> str:
    found = re.match(r"\s?(%|percent|pour cent|thousand|millions?|billions?|milliards?|mille|trillions?)(?!\w)", after)
    word = found.group(1).rstrip("s") if found else ""
    return "%" if word in ("percent", "pour cent") else word


def _counts_nothing(text: str, number: re.Match[str]) -> bool:
    """A day of a date, the end of a range, a century or the number of a section: nothing worth knowing by heart."""
    before, after = text[: number.start()].rstrip(), text[number.end() :].lstrip()
    word = re.match(r"[\wà-öø-ÿ]+", after)
    return (
        number.group() in ("0", "1")
        or bool(word and word.group().lower() in lexicon("calendar"))
        or bool(re.search(r"(?:\b(?:to|à|and|et|or|ou|from|de|between|entre)|[-–])$", before, re.IGNORECASE))
        or bool(re.match(r"(?:to|à|or|ou|-|–)\b", after))
        or bool(re.search(rf"\b(?:{'|'.join(_MONTHS)})$", before, re.IGNORECASE))
        or bool(
            re.search(
                r"\b(?:chapter|section|page|figure|part|chapitre|partie|article|no|n°|step|étape|version|types?|phase|grade"
                r"|stage|class|level|group|category|war|guerre|niveau|classe|groupe|catégorie|stade)$",
                before,
                re.IGNORECASE,
            )
        )
    )


_MONTHS: Final = (
    *(
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ),
    *(
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ),
)
