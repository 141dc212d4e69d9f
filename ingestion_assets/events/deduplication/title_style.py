"""How a title is written: in which language, and which of its words are names.

Belongs here: letters, capitals and little words. What the words mean belongs to the lexicon.
"""

from __future__ import annotations

import html
import re

from ingestion_assets.events.deduplication.text import bare, fold

_SPOKEN = re.compile(r"[^\W\d_][^\W_]*(?:['’][^\W_]+)*")
_PIECE = re.compile(
    r"\s[-–—|/@+~]+\s|[()\[\]{}:|;!?•·\"«»–—,]|\s(?:avec|with|par|by|feat\.?|ft\.?|w/|présentent?|presents?|vs\.?|contre|at|à)\s",
    re.IGNORECASE,
)
_ARTICLES = frozenset("the les le la l un une a and et & of".split())


def proper_words(title: str) -> set[str]:
    """The words, folded, that are written like names; none where the whole title is in capitals.

    Two kinds: a large word inside a piece that writes others small, and every word of a piece of two and more that are
    all large. English titles write everything large, French ones only names: so this says something about two titles
    together, where each has such words that the other lacks.
    """
    large: set[str] = set()
    for piece in _PIECE.split(html.unescape(title)):
        spoken = [_unelided(word) for word in _SPOKEN.findall(piece)]
        content = [word for word in spoken if word.lower() not in _ARTICLES]
        if not content or piece.isupper():
            continue
        if len(content) > 1 and all(word[0].isupper() for word in content):
            large.update(content)
        elif any(len(word) > 3 and word.islower() for word in content[1:]):
            large.update(word for word in spoken[1:] if word[0].isupper() and not word.isupper())
    return {bare(fold(word)) for word in large}


def _unelided(word: str) -> str:
    return word.replace("’", "'").rpartition("'")[2] if word[1:2] in ("'", "’") else word


_FRENCH = frozenset(
    "le la les un une des du de et à au aux avec pour sur dans chez ou en l d autour par son sa ses qu".split()
)
_ENGLISH = frozenset("the of and with for in at by to from on an its our your w about into a's".split())
_FRENCH_COMMON = frozenset(
    "jour jours soir soiree soirees atelier ateliers cours heure fete spectacle enfants ados adultes famille groupe "
    "partie seance volet niveau journee rencontre rencontres lancement exposition vernissage visite marche foire nuit "
    "nuits conte contes comptines souper stationnement navette forfait hommage tournee projection bibliotheque".split()
)
_ENGLISH_COMMON = frozenset(
    "day days night nights evening workshop workshops class classes hour show kids teens adults family group session "
    "chapter level meeting launch exhibition opening tour market fair story stories storytime dinner parking shuttle "
    "package tribute lecture screening library talk time meet game games beginners introduction made easy".split()
)
"""Words of listings that are of one language for certain; they decide where no little word does."""
_ACCENTS = frozenset("éèêàçôîûùœ")
_LETTERS = re.compile(r"[^\W\d_]+")


def language_of(title: str) -> str:
    title = title.lower()
    found = set(_LETTERS.findall(title))
    french, english = len(found & _FRENCH), len(found & _ENGLISH)
    if french == english:
        plain = {fold(word) for word in found}
        french, english = len(plain & _FRENCH_COMMON), len(plain & _ENGLISH_COMMON)
    if french == english:
        return "fr" if not _ACCENTS.isdisjoint(title) else ""
    return "fr" if french > english else "en"
