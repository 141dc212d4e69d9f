"""Noun phrases worth hiding, and sentences that say what a thing does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from ingestion_assets.study.lexicon import lexicon
from ingestion_assets.study.text import STOPWORDS

_WEAK: Final = lexicon("weak_terms")
_VAGUE: Final = lexicon("vague")
_PAST: Final = lexicon("past")
_WORD: Final = re.compile(r"[a-zà-öø-ÿ][a-zà-öø-ÿ-]*")
_LEADS: Final = {
    "en": re.compile(r"\b(?P<lead>the|a|an|of|into|through|by|with|from|called|as)\s+(?=[a-z])", re.IGNORECASE),
    "fr": re.compile(
        r"(?:\b(?P<lead>les?|la|une?|des|du|aux?|de)\s+|\b(?P<elided>[ld]['’]))(?=[a-zà-öø-ÿ])", re.IGNORECASE
    ),
}
_FRENCH_ADJECTIVE: Final = re.compile(
    r"(?:ique|iques|aire|aires|elle|elles|el|els|al|ale|ales|aux|ive|ives|if|ifs|euse|euses|eux|ienne|iennes|ien|iens|oise|oises"
    r"|ois|aise|aises|ais|ible|ibles|able|ables|ée|ées|é|és|ante|antes|ant|ants|ente|entes|ent|ents|interne|internes|externe"
    r"|externes|eure|eures|eur|eurs|aine|aines|ain|ains|ile|iles|ote|otes|ane|anes|ure|ures|ine|ines|ide|ides|ène|ènes)$"
)
_INFINITIVE: Final = re.compile(r"(?:er|ir|oir|dre|uire|crire|mettre)$")
_ENGLISH_NO_HEAD: Final = re.compile(r"(?:ly|ed|est|ous|ful|less|able|ible|ive|ical|ular|ary)$")
_ENGLISH_NO_START: Final = frozenset(
    {"basic", "main", "major", "largest", "smallest", "whole", "entire", "single", "certain", "different", "various"}
)
_NOUNS_TOO: Final = frozenset(
    {
        *("acts", "calls", "causes", "changes", "controls", "costs", "covers", "cuts", "deals", "displays"),
        *("drives", "feeds", "focuses", "forces", "forms", "functions", "groups", "guides", "holds", "houses"),
        *("leads", "levels", "limits", "lines", "links", "marks", "means", "measures", "moves", "needs"),
        *("offers", "orders", "parts", "plans", "plays", "processes", "records", "repairs", "results"),
        *("returns", "rules", "runs", "seeks", "sets", "shapes", "shows", "signals", "sorts", "splits"),
        *("stands", "starts", "states", "stems", "stops", "stores", "studies", "supplies", "supports", "tests"),
        *("trades", "transfers", "transports", "traps", "travels", "treats", "turns", "uses", "values"),
        *("works", "yields"),
    }
)
"""Verb forms that are plurals of nouns as well."""
_PLURALS: Final = frozenset(
    {
        "people",
        "children",
        "men",
        "women",
        "bacteria",
        "mitochondria",
        "data",
        "mice",
        "criteria",
        "phenomena",
        "fungi",
        "nuclei",
    }
)
_AFTER_NOUN: Final = frozenset(
    {
        *("of", "under", "from", "by", "for", "and", "or", "are", "were", "is", "was", "have", "had", "that"),
        *("which", "who", "with"),
    }
)


@cache
def acting(language: str) -> dict[str, str]:
    """Verb forms in small letters → how the verb goes with `What` or `Qu'est-ce qui`."""
    forms: dict[str, str] = {}
    for verb in lexicon("verbs", language):
        if language == "en":
            third = _third(verb)
            forms[verb] = forms[third] = third
        else:
            forms[verb] = verb
            if verb.endswith("e"):
                forms[f"{verb}nt"] = verb
    if language == "fr":
        forms |= {
            "contiennent": "contient",
            "permettent": "permet",
            "comprennent": "comprend",
            "produisent": "produit",
            "détruisent": "détruit",
            "réduisent": "réduit",
            "conduisent": "conduit",
            "fournissent": "fournit",
            "convertissent": "convertit",
            "établissent": "établit",
            "reçoivent": "reçoit",
            "transmettent": "transmet",
            "émettent": "émet",
            "servent": "sert",
            "maintiennent": "maintient",
            "soutiennent": "soutient",
            "proviennent": "provient",
            "réagissent": "réagit",
            "agissent": "agit",
            "réunissent": "réunit",
        }
    return forms


def _third(verb: str) -> str:
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "z", "go")) else f"{verb}s"


def noun_phrases(text: str, language: str) -> Iterator[tuple[int, int]]:
    """Where whole noun phrases of one to three words stand behind an article or a preposition."""
    for match in _LEADS[language].finditer(text):
        end = _end(text, match.end(), language)
        if end is not None:
            yield match.end(), end


def _end(text: str, start: int, language: str) -> int | None:
    """Where the phrase ends: at a comma or a word of no content; None when that cannot be told."""
    at = start
    found: list[tuple[str, int]] = []
    while (match := _WORD.match(text, at)) is not None:
        word = match.group()
        after = text[match.end() : match.end() + 1]
        if word in STOPWORDS[language] or (found and _is_verb(word, found[-1][0], language)):
            break
        if after in {"'", "’"}:
            break
        found.append((word, match.end()))
        if after != " " or len(found) > 3:
            break
        at = match.end() + 1
    if not found or len(found) > 3:
        return None
    if re.match(r" [A-ZÀ-ÖØ-Þ0-9]", text[found[-1][1] :]):
        # "the botanist Matthias": the phrase says what the name is.
        return None
    names = [word for word, _ in found]
    return found[-1][1] if _good(names, language) else None


def _is_verb(word: str, before: str, language: str) -> bool:
    """A verb behind a noun. In English a base form is one behind a plural only: "a great deal", "the cells use"."""
    verbs = acting(language)
    if language == "fr" or word not in verbs:
        return word in verbs or (language == "en" and word in _PAST)
    return verbs[word] == word or before.endswith("s")


def _good(names: list[str], language: str) -> bool:
    if any(name in _WEAK for name in names) or len(names[0]) < 4 or (len(names) == 1 and names[0] in _VAGUE):
        return False
    if language == "en":
        head = names[-1]
        if names[0] in _ENGLISH_NO_START:
            return False
        if len(names) == 1 and head.endswith("ing"):
            return False
        return len(head) >= 4 and not any(name.endswith("ly") for name in names) and not _ENGLISH_NO_HEAD.search(head)
    if len(names) == 1 and _INFINITIVE.search(names[0]):
        return False
    return len(names) <= 2 and (len(names) == 1 or _FRENCH_ADJECTIVE.search(names[1]) is not None)


_ARTICLE: Final = {
    "en": re.compile(r"(?:The|An?)\s+"),
    "fr": re.compile(r"(?:Les?|La|Une?|Des)\s+|L['’]\s?"),
}
_TOKEN: Final = re.compile(r"[\wÀ-ÖØ-öø-ÿ][\w’'-]*")
_BRACKET: Final = re.compile(r"\s+\([^()]{2,40}\)")
_INSIDE: Final = {"en": frozenset({"of", "and"}), "fr": frozenset({"de", "du", "des", "la", "à", "et"})}
_VERB: Final = {
    "en": re.compile(r"(?P<fixed>(?:can|may|must|will)\s+[a-z]+|(?:is|was)\s+[a-z]+ed|has)\b|(?P<verb>[a-z]+)\b"),
    "fr": re.compile(
        r"(?P<fixed>(?:peut|doit)\s+[a-zà-ÿ]+|(?:a|est|fut|était)\s+[a-zà-ÿ]+(?:é|ée|it|ite|ise|is|u|ue)\b(?!\s+(?:que|qu))"
        r"|(?:se\s+|s['’])[a-zà-öø-ÿ]+)\b|(?P<verb>[a-zà-öø-ÿ]+)\b"
    ),
}
_PARTICIPLE: Final = re.compile(r"(?P<before>(?:est|fut|était|a été|peut être|doit être) )(?P<participle>[a-zà-öø-ÿ]+)")
_SPACE: Final = re.compile(r"\s+")
LEAST_REST: Final = 15
"""Characters of a predicate behind its verb."""
MOST_WORDS: Final = 5
"""Of a subject. Longer ones are clauses."""


@dataclass(frozen=True, slots=True)
class Doing:
    """A sentence as subject and predicate."""

    article: str
    start: int
    end: int
    """Of the subject without its article."""
    predicate: str
    """As it follows `What` or `Qu'est-ce qui`, without the full stop."""


def what_does(text: str, language: str) -> Doing | None:
    """Subject and predicate, when the sentence says what a thing does."""
    opening = _ARTICLE[language].match(text)
    article = opening.group().strip() if opening else ""
    start = at = opening.end() if opening else 0
    for count in range(MOST_WORDS):
        token = _TOKEN.match(text, at)
        if token is None or not _may_stand_in_subject(token.group().lower(), language, first=count == 0):
            return None
        bracket = _BRACKET.match(text, token.end())
        gap = _SPACE.match(text, bracket.end() if bracket else token.end())
        found = _VERB[language].match(text, gap.end()) if gap else None
        if gap is None or found is None:
            return None
        predicate = _predicate(found, language)
        if predicate is not None and token.group().lower() not in _INSIDE[language]:
            rest = text[found.end() :].strip().rstrip(".")
            if not _acts(found.group("verb"), predicate, token.group().lower(), rest, language):
                return None
            if _is_long_enough(rest, language):
                whole = f"{predicate} {rest}" if language == "en" else _agreeing(f"{predicate} {rest}", article)
                return Doing(article, start, token.end(), whole) if whole is not None else None
        if bracket is not None:
            return None
        at = gap.end()
    return None


def _may_stand_in_subject(word: str, language: str, *, first: bool) -> bool:
    if word in STOPWORDS[language]:
        return not first and word in _INSIDE[language]
    # "la présence d'une commande": the subject goes on behind its article.
    parts = re.split(r"['’]", word)
    return len(parts) == 1 or parts[-1] not in STOPWORDS[language]


def _acts(verb: str | None, predicate: str, before: str, rest: str, language: str) -> bool:
    """It is a verb, and goes with `What`: no noun that looks like one, no plural that the rest refers to."""
    following = _TOKEN.match(rest)
    if following is not None and verb in _NOUNS_TOO and _after_noun(following.group()):
        return False
    if language == "en" and verb not in (None, predicate) and not (before.endswith("s") or before in _PLURALS):
        # "The slave trade offered": base forms are verbs behind plurals only.
        return False
    return verb in (None, predicate) or re.search(r"\b(?:their|leurs?)\b", rest) is None


def _is_long_enough(rest: str, language: str) -> bool:
    following = _TOKEN.match(rest)
    return following is not None and following.group() not in acting(language) and len(rest) >= LEAST_REST


def _after_noun(word: str) -> bool:
    return word in _AFTER_NOUN or word.endswith("ed") or word in _PAST


def _predicate(found: re.Match[str], language: str) -> str | None:
    fixed = found.group("fixed")
    return " ".join(fixed.split()) if fixed else acting(language).get(found.group("verb"))


def _agreeing(predicate: str, article: str) -> str | None:
    """A French predicate as it agrees with `Qu'est-ce qui`: masculine singular. None when that form is not known."""
    match = _PARTICIPLE.match(predicate)
    if match is None or article.lower() in ("le", "un"):
        return predicate
    participle = match.group("participle")
    for ending, masculine in (
        ("ées", "é"),
        ("ée", "é"),
        ("és", "é"),
        ("ies", "i"),
        ("ie", "i"),
        ("ues", "u"),
        ("ue", "u"),
    ):
        if participle.endswith(ending):
            return f"{match.group('before')}{participle.removesuffix(ending)}{masculine}{predicate[match.end() :]}"
    # "faite", "prises": the masculine has letters of its own. With an elided article the gender is not known.
    return None if participle.endswith(("te", "se", "tes", "ses")) or article[:1] in "dD" else predicate
