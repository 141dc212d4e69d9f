"""Folding text for comparison, with the way back to the original offsets.

A quote is copied by a model with its white space collapsed and its dashes and quotation marks changed. Folding makes both
sides equal where they mean the same characters; it never makes two words equal that differ in a letter or a digit.
Measured on 280 quotes and as many corrupted twins: folded substring 100 % and 0, fuzzy matching at 90 let 80 % through.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ingestion_assets.study.lexicon import lexicon

_QUOTES: Final = dict.fromkeys("‘’‚‛′`´ʼ", "'") | dict.fromkeys("“”„‟″«»", '"')
_DASHES: Final = dict.fromkeys("‐‑‒–—―−﹣－", "-")
_DROPPED: Final = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
_HYPHENS: Final = frozenset("-\u2010\u00ad")
_WORD: Final = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_NUMBER: Final = re.compile(r"(?:\d{1,3}(?:[\u00a0\u202f ]\d{3})+(?!\d)|\d+)(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded text; character i came from `original[starts[i]:ends[i]]`."""

    text: str
    starts: array[int]
    ends: array[int]

    def alphanumeric(self) -> Folded:
        """The letters and digits alone."""
        kept = [index for index, character in enumerate(self.text) if character.isalnum()]
        return Folded(
            "".join(self.text[index] for index in kept),
            array("l", (self.starts[index] for index in kept)),
            array("l", (self.ends[index] for index in kept)),
        )


@lru_cache(maxsize=4096)
def _fold_cluster(cluster: str) -> str:
    folded = unicodedata.normalize("NFKC", cluster)
    folded = "".join(_QUOTES.get(character) or _DASHES.get(character) or character for character in folded)
    return "".join(character for character in folded.casefold() if character not in _DROPPED)


def fold(text: str) -> Folded:
    """NFKC, casefold, plain quotes and dashes, one space for any white space, words joined that a line end had cut."""
    pieces: list[str] = []
    starts = array("l")
    ends = array("l")
    at = 0
    length = len(text)
    while at < length:
        character = text[at]
        if character.isspace():
            end = at + 1
            while end < length and text[end].isspace():
                end += 1
            folded = " "
        elif character in _HYPHENS and (cut := _cut_word(text, at)) is not None:
            at = cut
            continue
        else:
            end = at + 1
            while end < length and unicodedata.combining(text[end]):
                end += 1
            folded = _fold_cluster(text[at:end])
        for piece in folded:
            pieces.append(piece)
            starts.append(at)
            ends.append(end)
        at = end
    return Folded("".join(pieces), starts, ends)


def _cut_word(text: str, hyphen: int) -> int | None:
    """Where the word goes on when `hyphen` cuts it at the end of a line."""
    if hyphen == 0 or not text[hyphen - 1].isalpha():
        return None
    at = hyphen + 1
    broken = False
    while at < len(text) and text[at].isspace():
        broken = broken or text[at] == "\n"
        at += 1
    return at if broken and at < len(text) and text[at].islower() else None


def folded(text: str) -> str:
    """Folded text alone, trimmed."""
    return fold(text).text.strip()


def squeeze(text: str) -> str:
    """One line: white space collapsed, words joined that a line end had cut."""
    joined = re.sub(r"(?<=[^\W\d_])[-\u2010\u00ad]\s*\n\s*(?=[^\W\d_A-Z])", "", text)
    return " ".join(joined.replace("\u00ad", "").split())


def words(text: str) -> list[str]:
    """Words and numbers as written."""
    return _WORD.findall(text)


def numbers(text: str) -> list[str]:
    """Numbers by value: `1 234,50`, `1,234.5` and `1234.5` are equal, `1.5` and `15` are not."""
    return [_value(match.group()) for match in _NUMBER.finditer(text)]


def _value(written: str) -> str:
    plain = re.sub(r"[\u00a0\u202f ]", "", written)
    grouped = re.sub(r"[.,](?=\d{3}(?:[.,]|$))", "", plain) if re.search(r"\d[.,]\d{3}(?:[.,]|$)", plain) else plain
    whole, _, fraction = grouped.replace(",", ".").partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


STOPWORDS: Final = {name: lexicon("stopwords", name) for name in ("en", "fr")}
"""Words that say nothing about the subject."""


def content_words(text: str, language: str | None = None) -> list[str]:
    """Folded words that carry meaning: no stopwords, no single letters."""
    stop = STOPWORDS.get(language or "", STOPWORDS["en"] | STOPWORDS["fr"])
    found = (re.sub(r"^(?:[ldjnmtsc]|qu)'", "", word) for word in words(folded(text)))
    return [word for word in found if word not in stop and (len(word) > 1 or word.isdigit())]
