"""Names in a document, and what each of them names: a person, a place, or something else.

Decided for the whole document: one `in Paris` makes every `Paris` a place, one `General Horatio Gates` makes `Gates` a
person. Wrong options are of the same kind; where the kind is not known, nothing multiple-choice is asked.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

from ingestion_assets.study.lexicon import lexicon
from ingestion_assets.study.offline.phrases import acting
from ingestion_assets.study.text import STOPWORDS

_CAPITAL: Final = r"[A-ZÀ-ÖØ-Þ]"
_TOKEN: Final = rf"{_CAPITAL}[\wà-öø-ÿ]*(?:[-’']{_CAPITAL}?[\w]+)*"
_INITIAL: Final = rf"{_CAPITAL}\.(?:-{_CAPITAL}\.)?"
_PARTICLE: Final = r"(?:de\s+la|de\s+l['’]|de|du|des|of|of\s+the|van|van\s+der|van\s+den|von|d['’]|el|al|ben|bin)"
NAME: Final = re.compile(
    rf"(?<![\w’'-])(?:{_INITIAL}\s+)*{_TOKEN}(?:\s+(?:{_INITIAL}|(?:{_PARTICLE}\s*)?{_TOKEN}))*(?![\w-])"
)
_CALENDAR: Final = lexicon("calendar")
_TITLES: Final = lexicon("titles")
_NO_PERSON: Final = lexicon("not_persons")
_PAST: Final = lexicon("past")
_ROMAN: Final = re.compile(r"^[IVX]+(?:er|e)?$")
_PLACE_LEADS: Final = {
    "en": frozenset({"in", "at", "near", "across", "throughout"}),
    "fr": frozenset({"à", "en", "vers", "jusqu'à"}),
}
_PLACE_NOUNS: Final = re.compile(
    r"\b(?:city|town|capital|village|port|island|state|province|river|lake|colony|kingdom|region) of(?: the)?$"
    r"|\b(?:ville|capitale|village|île|province|rivière|fleuve|lac|baie|royaume|région|port|vallée|golfe)"
    r" (?:de la |de l'|de |du |d')?$",
    re.IGNORECASE,
)
_PERSON_LEADS: Final = {"en": frozenset({"by", "who"}), "fr": frozenset({"par"})}
_ADJECTIVE: Final = re.compile(
    r"(?:al|ale|ales|aux|ique|iques|aise|aises|ais|ois|oise|oises|ien|ienne|iens|iennes|ain|aine|aines|aire|aires|if|ive|ives|eux"
    r"|euse|euses|elle|elles|el|els|ante|antes|ant|ée|ées|és|é|il|ile|ils|iles|ieur|ieure|iste|istes|able|ible|nelle|publique|publics?|royale?s?)$"
)


class NameKind(StrEnum):
    """What a name names."""

    PERSON = "person"
    PLACE = "place"
    OTHER = "other"


def find_names(text: str, language: str) -> Iterator[tuple[int, int]]:
    """Where whole names stand in a sentence. Half a name, or an adjective of nation, is none."""
    quoted = [match.span() for match in re.finditer(r"[“«\"][^”»\"]{0,200}[”»\"]", text)]
    for match in NAME.finditer(text):
        start, end = match.span()
        if start == 0:
            behind = _behind_opening(text, end, language)
            if behind is None:
                continue
            start = behind
        name = text[start:end]
        tokens = name.split()
        if any(low <= start < high for low, high in quoted):
            continue
        if tokens[0].lower() in _CALENDAR or (len(tokens) == 1 and (len(name) < 3 or name.isupper() or "." in name)):
            continue
        if name.isupper() or _ROMAN.match(tokens[0]):
            continue
        if not _goes_on(text[end:], tokens, language):
            yield start, end


def _behind_opening(text: str, end: int, language: str) -> int | None:
    """Where the name begins that opens a sentence; None when there is only an article."""
    first = text[:end].split(maxsplit=1)[0]
    if first.lower() in STOPWORDS[language] | {"l'", "l’"} or first.lower() in {"l", "d"}:
        rest = text[len(first) : end]
        return len(first) + len(rest) - len(rest.lstrip()) if rest.strip() and rest.strip()[0].isupper() else None
    if re.match(r"^[LD]['’]", first):
        return 2 if text[2:3].isupper() else None
    return 0


def _goes_on(after: str, tokens: list[str], language: str) -> bool:
    """The name has more words than were found: `Filles du roi`, `Assemblée nationale`."""
    follows = re.match(r"\s+([a-zà-öø-ÿ][\w’'-]*)(?:\s+([\w’'-]+))?", after)
    if follows is None:
        return False
    word, second = follows.group(1), follows.group(2) or ""
    if language == "fr":
        if len(tokens) == 1 and word in {"du", "des", "de"} and second[:1].islower():
            return True
        return word not in STOPWORDS["fr"] and _ADJECTIVE.search(word) is not None and not word.endswith("ait")
    # "the English scientist", "Congress party": a name before a noun is an adjective.
    return (
        len(tokens) == 1
        and word not in STOPWORDS["en"]
        and not word.endswith(("ed", "ly"))
        and word not in _PAST
        and not (word.endswith("s") and word in acting("en"))
    )


class Names:
    """What the names of one document name."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._cues: defaultdict[str, Counter[NameKind]] = defaultdict(Counter)
        self._seen: Counter[str] = Counter()
        self._small: set[str] = set()
        self._capital: set[str] = set()
        self._surnames: set[str] = set()

    def read(self, sentences: Iterable[str]) -> None:
        """Learn from all sentences of the document."""
        for text in sentences:
            self._small.update(re.findall(r"(?<![\w’'-])[a-zà-öø-ÿ][\wà-öø-ÿ-]+", text))
            for start, end in find_names(text, self.language):
                name = text[start:end]
                self._seen[name] += 1
                if start > 0:
                    self._capital.update(re.findall(rf"{_CAPITAL}[\w-]+", name))
                cue = self._cue(name, text[:start], text[end:])
                if cue is not None:
                    self._cues[name][cue] += 1
        for name in list(self._seen):
            if " " in name and self.kind(name) is NameKind.PERSON:
                self._surnames.add(name.split()[-1])

    def _cue(self, name: str, before: str, after: str) -> NameKind | None:
        leads = before.lower().replace("’", "'").split()
        lead = leads[-1] if leads else ""
        if lead in _PLACE_LEADS[self.language] or _PLACE_NOUNS.search(before.replace("’", "'")):
            return NameKind.PLACE
        if lead.strip(".,") in _TITLES or lead in _PERSON_LEADS[self.language]:
            return NameKind.PERSON
        if not re.match(r"\s+(?:\(\d{3,4}|who\b|whose\b|qui\b)", after) and before:
            return None
        if re.match(r"\s+\(\d{3,4}|\s+(?:who|whose)\b", after):
            return NameKind.PERSON
        verb = re.match(r"\s+(?:(?:first|later|also|then|soon|once)\s+)?([\wà-öø-ÿ]+)", after)
        if verb is not None and " " in name and self._acts(verb.group(1)):
            return NameKind.PERSON
        return None

    def _acts(self, word: str) -> bool:
        if self.language == "en":
            return word.endswith("ed") or word in _PAST or word in {"is", "was"}
        return word in {"a", "est", "fut", "était"} or (
            word not in STOPWORDS["fr"] and word[0].islower() and not word.endswith(("é", "ée", "és", "ées"))
        )

    def kind(self, name: str) -> NameKind:
        """What `name` names."""
        tokens = name.split()
        low = {token.lower().strip(".,") for token in (tokens[0], tokens[-1])}
        if tokens[0].lower().strip(".") in _TITLES and len(tokens) > 1 and not low & _NO_PERSON:
            return NameKind.PERSON
        cues = self._cues.get(name, Counter())
        if cues[NameKind.PLACE] > cues[NameKind.PERSON]:
            return NameKind.PLACE
        if low & _NO_PERSON or any(re.split(r"[-’']", token)[0].lower() in _NO_PERSON for token in tokens):
            return NameKind.OTHER
        if len(tokens) > 1 and (cues[NameKind.PERSON] or (_ROMAN.match(tokens[-1]) and len(tokens) <= 3)):
            return NameKind.PERSON
        if len(tokens) == 1 and name in self._surnames:
            return NameKind.PERSON
        return NameKind.OTHER

    def is_capital(self, word: str) -> bool:
        """Written with a capital where nothing but the word itself asks for one."""
        return word in self._capital and word.lower() not in self._small
