"""Which sentences can be asked about: whole ones, about the subject, that need no neighbour to be understood."""

from __future__ import annotations

import re
from typing import Final

from ingestion_assets.study.checks.shared import is_instruction, self_contained
from ingestion_assets.study.lexicon import lexicon
from ingestion_assets.study.offline.phrases import acting
from ingestion_assets.study.sentences import Sentence
from ingestion_assets.study.text import words

MIN_CHARS: Final = 35
MAX_CHARS: Final = 280
ANAPHORA: Final = {name: lexicon("anaphora", name) for name in ("en", "fr")}
_JUNK: Final = re.compile(
    r"©|\(c\) \d|\bISBN\b|\bISSN\b|\bdoi\b|\ball rights reserved\b|\btous droits réservés\b|\bet al\.|\bcredit:"
    r"|\bcrédit photo"
    r"|https?:|www\.|\S@\S+\.\w|\.{4,}|…\s*\d+$|_{3}|\{\{|\||\ufffd|\{:|\[\w+\]\(|\w{4,}\. [a-zà-ÿ]|\.\.\.|…\)|\(\d\)\.?$"
    r"|\s[,.]\s|[=∑∫√≤≥→]|\\[a-z]+\{",
    re.IGNORECASE,
)
_LEANS: Final = {
    "en": re.compile(
        r"^(?:\w+|\d+) (?:years?|days?|months?|weeks?|centuries|decades?|hours?) (?:later|earlier|after|before)\b"
        r"|^(?:the|that) (?:same|following|next|previous|latter|former|other|second|third|last|first)\b"
        r"|^(?:the|all|both|either|these) (?:two|three|four|five|six)\b"
        r"|^(?:by|since|until|from) (?:then|this|that|these|here|now)\b|^at (?:this|that|the same)\b"
        r"|^in (?:this|that|such|contrast|addition|other|turn|fact|short|summary|conclusion|particular|general)\b"
        r"|^(?:as|like|unlike|given|despite|because of|during|under|within|with|to|on|before|after)"
        r" (?:this|that|these|those)\b"
        r"|^(?:as (?:you|we|already|mentioned|shown|discussed)|before turning|remember|recall|notice|note|imagine|consider"
        r"|suppose"
        r"|think|let['’]?s?|see|look|click|watch|visit|read|explain|describe|compare|discuss|list|identify|name|define|calculate"
        r"|choose|select|complete|fill|write|draw|answer|use|try|be sure|do not|don['’]t)\b"
        r"|\b(?:this|these|those|the latter|the former|the same|the above|aforementioned)\b"
        r"|\bsuch (?!as\b)|\bthe last (?:statement|one|two|three|part|point)\b|\b(?:we|us|our|you|your|I|my)\b|\[\w+\]",
        re.IGNORECASE,
    ),
    "fr": re.compile(
        r"^(?:\w+|\d+) (?:ans?|années?|jours?|mois|semaines?|siècles?|heures?) (?:plus tard|après|avant|auparavant)\b"
        r"|^(?:le|la|les|l['’]|un|une|des) ?(?:même|mêmes|autres?|second|seconde|dernière?s?|suivante?s?|précédente?s?"
        r"|premiers|premières|deux|trois|quatre)\b"
        r"|^(?:à|dès|depuis|pour|par|malgré|avec|sans|dans|sous|selon|lors de|après|avant|grâce à|de)"
        r" (?:ce|cet|cette|ces|cela)\b"
        r"|^(?:par contre|en effet|de plus|de même|au contraire|en revanche|d['’]autre part|d['’]une part|en conclusion"
        r"|en somme"
        r"|en résumé|par conséquent|c['’]est|il y a|d['’]ailleurs|en outre|à l['’]inverse|bref|rappelons|notons|observons)\b"
        r"|^(?:expliquez|décrivez|comparez|nommez|donnez|définissez|calculez|complétez|répondez|écrivez|choisissez|cochez"
        r"|lisez"
        r"|observez|identifiez|citez|relevez|justifiez|indiquez|trouvez|montrez|utilisez|cliquez|explique[rs]?|décri(?:s|re)"
        r"|calcule[rs]?|compare[rs])\b"
        r"|\b(?:cette|cet|ces|ce dernier|cette dernière|ces derniers|ces dernières|celui-ci|celle-ci|ceux-ci|celles-ci|ce)\b"
        r"(?! (?:qui|que|qu|dont|à quoi)\b)|\bd['’]entre (?:eux|elles)\b"
        r"|\b(?:nous|vous|notre|nos|votre|vos|je|mon|mes)\b|\bau contraire\b|\[\w+\]",
        re.IGNORECASE,
    ),
}

_RELATIVE: Final = {
    "en": re.compile(r"\b(?:which|who|that|whose|where)\b[^,;]*"),
    "fr": re.compile(r"\b(?:qui|que|dont|où|auquel|laquelle|lesquels)\b[^,;]*|\bqu['’][^,;]*"),
}
_FINITE: Final = {
    "en": lexicon("past")
    | frozenset(
        {
            *(
                "is",
                "are",
                "was",
                "were",
                "has",
                "have",
                "had",
                "do",
                "does",
                "did",
                "can",
                "could",
                "may",
                "might",
                "will",
            ),
            *("would", "should", "must", "shall", "cannot", "isn't", "aren't", "doesn't", "don't"),
        }
    ),
    "fr": frozenset(
        {
            *(
                "est",
                "sont",
                "a",
                "ont",
                "était",
                "étaient",
                "fut",
                "furent",
                "sera",
                "seront",
                "peut",
                "peuvent",
                "doit",
            ),
            *(
                "doivent",
                "avait",
                "avaient",
                "fait",
                "font",
                "va",
                "vont",
                "faut",
                "devient",
                "deviennent",
                "n'est",
                "n'a",
            ),
            *(
                "c'est",
                "s'est",
                "l'a",
                "n'ont",
                "n'existe",
                "veut",
                "sait",
                "voit",
                "eut",
                "eurent",
                "fit",
                "firent",
                "prit",
            ),
        }
    ),
}
_FINITE_FORM: Final = {
    "en": re.compile(r"ed$"),
    "fr": re.compile(r"(?:[rt]ait|aient|era|eront|ira|iront|dra|dront|èrent|irent|urent)$|^(?:n|s|m|t|j)['’]\w+"),
}
_VERBLESS: Final = {
    "en": re.compile(r"^(?:\w+ing|to \w+)\b|^(?:the |a |an )?\w+ (?:of|for) \w+ing\b", re.IGNORECASE),
    "fr": re.compile(
        r"^[A-ZÀ-Þ]\w+(?:er|ir|oir|dre|tre|ire)\b|\b(?:pour|permettant|afin de|sans)\b|^(?:\S+ ){1,4}(?:qui|que|dont)\b"
        r"|\b(?!(?:dev|dur|pend|av|suiv|moyenn|enf|aut|qu|inst|t)ant\b)\w{3,}ant (?:le|la|les|l['’]|un|une|des|de|d['’])"
        r"|\bà \w+(?:er|ir|oir|dre|tre|ire)\b|^[^,]{3,60} : "
    ),
}
"""What a line without a verb has instead: an infinitive, a participle, a clause about its noun."""


def usable(sentence: Sentence, language: str) -> bool:
    """A whole sentence of the subject matter."""
    text = sentence.text
    if not MIN_CHARS <= len(text) <= MAX_CHARS or not text.rstrip("\"»”)'’").endswith("."):
        return False
    if not (text[0].isupper() or text[0].isdigit()) or text.count("(") != text.count(")"):
        return False
    if text.count("«") != text.count("»") or text.count("“") != text.count("”"):
        return False
    found = [word.lower() for word in words(text)]
    if len(found) < 6 or found[0] in ANAPHORA.get(language, frozenset()):
        return False
    lettered = sum(character.isalpha() or character.isspace() for character in text)
    shouted = sum(1 for word in found if word.isalpha()) and sum(
        1 for word in words(text) if len(word) > 3 and word.isupper()
    )
    return (
        lettered >= 0.8 * len(text)
        and shouted <= len(found) // 4
        and not _JUNK.search(text)
        and not is_fragment(text, language)
        and not self_contained(text)
        and not is_instruction(text)
    )


def leans(text: str, language: str) -> bool:
    """Points at something outside the sentence, or speaks to its reader: asked about only where there is nothing better."""
    pattern = _LEANS.get(language)
    return pattern is not None and pattern.search(text) is not None


def is_fragment(text: str, language: str) -> bool:
    """A bullet with a full stop: no verb of its own, and words that show that none is missing by chance."""
    clause = _RELATIVE[language].sub(" ", text)
    found = {word.lower() for word in words(clause)}
    if not found.isdisjoint(_FINITE[language]) or not found.isdisjoint(acting(language)):
        return False
    if any(_FINITE_FORM[language].search(word) for word in found):
        return False
    return _VERBLESS[language].search(text) is not None


def is_junk(text: str) -> bool:
    """Imprint, addresses, rules of dots, markup: no subject matter."""
    return _JUNK.search(text) is not None
