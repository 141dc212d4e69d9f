"""The one text of a document that every offset and every quote refers to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ingestion_assets.study.extraction.furniture import without_furniture

VERSION: Final = "3"
"""Part of the extractor's name: a change here changes offsets."""
_BREAKS: Final = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# NUL is refused by PostgreSQL; other controls, bidi overrides and lone surrogates are no text.
_UNWANTED: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_BLANKS: Final = re.compile(r"\n{3,}")
# Only from the start of a run: tried from each of its characters, a long one costs its square.
_TRAILING: Final = re.compile(r"(?<![ \t])[ \t]+\n")
PAGE_BREAK: Final = "\n\n"


@dataclass(frozen=True, slots=True)
class CanonicalText:
    """Text and where its pages begin; `page_starts` is empty when there are no pages."""

    text: str
    page_starts: tuple[int, ...]


def canonical(pages: Sequence[str], *, paged: bool) -> CanonicalText:
    """Join cleaned pages, without the heads and footers that repeat on them."""
    cleaned = [_clean(page) for page in pages]
    if paged:
        cleaned = [_clean(page) for page in without_furniture(cleaned)]
    starts: list[int] = []
    at = 0
    for page in cleaned:
        starts.append(at)
        at += len(page) + len(PAGE_BREAK)
    return CanonicalText(PAGE_BREAK.join(cleaned), tuple(starts) if paged else ())


def _clean(text: str) -> str:
    # Composed: an accent that is a character of its own ends a word in the middle ("isole" + accent + "s" + ".").
    text = unicodedata.normalize("NFC", _UNWANTED.sub("", _BREAKS.sub("\n", text)))
    return _BLANKS.sub("\n\n", _TRAILING.sub("\n", text)).strip()
