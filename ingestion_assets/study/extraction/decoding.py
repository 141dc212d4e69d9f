"""Text files to characters: BOM, then strict UTF-8, then a guess that is refused when it is a bad one.

Extraction libraries decode Latin-1 and UTF-16 text to garbage without saying so; a replacement character in a quote is
a quote that nobody wrote.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from ingestion_assets.study.extraction.errors import DocumentError
from ingestion_assets.study.model import DocumentCode

_BOMS: Final = (
    # UTF-32 first: its little-endian mark begins like that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE: Final = 256 * 1024
"""Bytes that the guess looks at; it is quadratic in disguise on long texts."""
_CONTROL: Final = re.compile(r"[\x01-\x08\x0e-\x1f]")
_LIKELY: Final = ("cp1252", "latin_1", "iso8859_15", "mac_roman", "cp850")


def decode(content: bytes) -> str:
    """The characters of a text file. Raises `DocumentError` when no encoding explains the bytes."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return _strictly(content, encoding)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes

    best = from_bytes(content[:_SAMPLE], cp_isolation=list(_LIKELY)).best()
    if best is None:
        raise DocumentError(DocumentCode.CORRUPT, "the text is in no known encoding: save it as UTF-8")
    text = _strictly(content, best.encoding)
    if _CONTROL.search(text):
        raise DocumentError(DocumentCode.CORRUPT, "the file is not text: save it as UTF-8 text or as PDF")
    return text


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise DocumentError(
            DocumentCode.CORRUPT, f"the text begins like {encoding} and breaks off: save it as UTF-8"
        ) from error
