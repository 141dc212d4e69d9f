"""Text whose bytes were read with the wrong eyes: decoding a stream that mixes encodings, and undoing mojibake.

Belongs here: what is wrong with the *characters*. What is wrong with the words, the markup or the JSON belongs to
`text.py`. Every function says whether it repaired something, because repairs are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

REPLACEMENT = "\ufffd"
"""What a careless decoder leaves where it could not read: the letter is gone."""

# How the UTF-8 continuation bytes 80..BF look after somebody read them as Windows-1252 (or latin-1, for the five that
# Windows-1252 does not define).
_TAIL = "\x80-\xbf" + "".join(bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0))
# Only letters and signs of Latin-1, œ/Œ/Ÿ, typographic punctuation, € and ™ are looked for: "à »" with a no-break
# space is three valid bytes of some other script as well, and it is what French looks like.
_MOJIBAKE = re.compile(f"[ÂÃ][{_TAIL}]|Å[\x92\x93\xb8’“]|â[\x80€][{_TAIL}]|â[\x82‚]¬|â[\x84„]¢")
_SUSPECT = re.compile("[ÂÃÅâ]")
_TO_BYTE = {code: code for code in range(0x80, 0x100)} | {
    ord(character): code for code in range(0x80, 0xA0) if (character := bytes([code]).decode("cp1252", "ignore"))
}


def repair_mojibake(text: str) -> str:
    """`text` with UTF-8 that was read as Windows-1252 put right ("CafÃ©" is "Café"); the same object when it was right.

    Twice encoded text is unwound twice. What does not decode stays as it is.
    """
    if text.isascii() or _SUSPECT.search(text) is None:
        return text
    for _ in range(2):
        repaired = _MOJIBAKE.sub(_decoded, text)
        if repaired == text:
            break
        text = repaired
    return text


def decoded_lines(stream: BinaryIO) -> Iterator[tuple[str, bool]]:
    """The lines of `stream` with their line ends, and whether each needed another encoding than UTF-8.

    Line by line, because exports are glued together from parts: a line that is not UTF-8 is read as Windows-1252 and
    its neighbours are not touched. A byte order mark is dropped; after one of UTF-16 the whole stream is read as that.
    """
    first = stream.readline()
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = (first + stream.read()).decode("utf-16", "replace")
        yield from ((line, False) for line in text.splitlines(keepends=True))
        return
    if first.startswith(b"\xef\xbb\xbf"):
        first = first[3:]
    if first:
        yield _decoded_line(first)
    for line in stream:
        yield _decoded_line(line)


def _decoded_line(line: bytes) -> tuple[str, bool]:
    try:
        return line.decode("utf-8"), False
    except UnicodeDecodeError:
        pass
    try:
        return line.decode("cp1252"), True
    except UnicodeDecodeError:
        return line.decode("latin-1"), True


def _decoded(match: re.Match[str]) -> str:
    try:
        return bytes(_TO_BYTE[ord(character)] for character in match[0]).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return match[0]
