"""Text reduced to what two sources would agree on: folded letters, words without elisions, a stem common to cognates.

Belongs here: what holds for any text. What a word means belongs to the lexicon, what a title says to `titles`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

_SPECIAL = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "đ": "d", "ł": "l", "’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'"}
)
_THE_DRINK = re.compile(r"\bthés?\b")
_ELISIONS = frozenset({"l", "d", "qu", "s", "n", "j", "m", "c", "t", "jusqu", "lorsqu", "puisqu"})

# One family a line: the endings that French and English give to the same word, and what stands for all of them.
# Longest first, so that `iques` is tried before `ique`, and that before the plural.
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ic", ("iques", "ique", "icals", "ical", "ics", "ic")),
    ("al", ("ales", "aux", "ale", "als", "al")),
    ("or", ("eurs", "eur", "euses", "euse", "atrices", "atrice", "rices", "ors", "or", "ers", "er")),
    ("ous", ("euses", "eux", "ous")),
    ("iv", ("ives", "ive", "ifs", "if")),
    ("y", ("ies", "ie", "ites", "ite", "ities", "ity", "tes", "ty", "y")),
    ("ism", ("ismes", "isme", "isms", "ism")),
    ("ist", ("istes", "iste", "ists", "ist")),
    ("anc", ("ances", "ance", "ences", "ence", "ancies", "ancy", "ency")),
    ("ary", ("aires", "aire", "aries", "ary", "arian", "arians")),
    ("ory", ("oires", "oire", "ories", "ory")),
    ("og", ("ogues", "ogue", "ogs", "og")),
    ("ian", ("iens", "ien", "iennes", "ienne", "ians", "ian")),
    ("ation", ("ations", "ation")),
    ("ment", ("ements", "ement", "ments", "ment")),
)
_ENDINGS: tuple[tuple[str, str], ...] = tuple(
    sorted(((end, stem) for stem, ends in _FAMILIES for end in ends), key=lambda pair: (-len(pair[0]), pair))
)
_BY_LAST: dict[str, tuple[tuple[str, str], ...]] = {
    last: tuple(pair for pair in _ENDINGS if pair[0][-1] == last) for last in {end[-1] for end, _ in _ENDINGS}
}
_KEPT = 3
"""Letters that must remain before an ending is taken off: shorter words are names more often than cognates."""


def fold(text: str) -> str:
    """Lower case without accents, entities and typographic variants. Twice-escaped entities are unescaped too."""
    if "Ã" in text or "â€" in text:
        text = _as_utf8(text)
    if "&" in text:
        text = html.unescape(text)
        if "&" in text:
            text = html.unescape(text)
    if text.isascii():
        return text.lower().replace("`", "'")
    text = unicodedata.normalize("NFC", text).lower()
    text = _THE_DRINK.sub("tea", text)  # without its accent the French for tea is an English article
    text = unicodedata.normalize("NFKD", text.translate(_SPECIAL))
    return "".join(char for char in text if not unicodedata.combining(char))


def _as_utf8(text: str) -> str:
    """UTF-8 that somebody read as Windows-1252 (`FrÃ¨res`), read again; as it is where it is something else."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode()
        except UnicodeError:
            continue
    return text


_SHARED_ENDINGS = re.compile(r"(?:graphy|logy|nomy|metry|sophy|craty|cracy|ism|ist|tion|ic|saur)$")
_LONG = 7


def is_shared(word: str) -> bool:
    """A stem of learned words (`cryptography`, `dinosaur`): French and English spell them alike, so they translate alike."""
    return len(word) >= _LONG and bool(_SHARED_ENDINGS.search(word))


def bare(word: str) -> str:
    """A folded word without elision and possessive; empty when nothing is left (`l'` alone)."""
    if "'" not in word:
        return word
    parts = word.split("'")
    if len(parts) > 1 and parts[0] in _ELISIONS:
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] in {"s", ""}:
        parts = parts[:-1]
    return "".join(parts)


_TRACKING = re.compile(r"(?:^|&)(?:utm_[^=]*|fbclid|gclid|aff|ref|source|lang|locale)=[^&]*")
_SCHEME = re.compile(r"^[a-z]+://(?:www\.|m\.)?")
_LANGUAGE_PART = re.compile(r"/(?:fr|en|fr-ca|en-ca)(?=/|$)")


def plain_url(url: str) -> str:
    """Host and path without scheme, `www.`, language and tracking; empty for a bare front page, which names no event."""
    text = _SCHEME.sub("", url.strip().lower()).partition("#")[0]
    text, _, query = text.partition("?")
    text = _LANGUAGE_PART.sub("", text).rstrip("/")
    if query:
        query = _TRACKING.sub("", query).strip("&")
    if "/" not in text and not query:
        return ""
    return f"{text}?{query}" if query else text


_WORD = re.compile(r"[^\W_]+(?:['&.][^\W_]+)*")


def words(text: str) -> list[str]:
    """The bare folded words of a text, in order."""
    return [word for word in (bare(found) for found in _WORD.findall(fold(text))) if word]


@lru_cache(maxsize=32_768)
def stem(word: str) -> str:
    """What the French and the English form of a word share: `céramique` and `ceramics` give the same stem.

    Meant for comparison only; it is no language's grammar. Short words and words with digits stay as they are.
    """
    if len(word) < 5 or not word.isalpha():
        return word[:-1] if len(word) == 4 and word.endswith("s") and not word.endswith("ss") else word
    for end, family in _BY_LAST.get(word[-1], ()):
        if word.endswith(end) and len(word) - len(end) >= _KEPT:
            return word[: -len(end)] + family
    if word.endswith("es") or (word.endswith("s") and not word.endswith("ss")):
        word = word.rstrip("s")
    return word.rstrip("e") if len(word) > 4 else word
