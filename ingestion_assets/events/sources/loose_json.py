"""JSON as people paste it into pages: comments, raw line breaks in strings, commas too many, several values in a row.

Belongs here: text to values. Strict JSON costs one call of a fast parser; only what that refuses is mended.
"""

from __future__ import annotations

import html
import json
import re

from ingestion_assets.events.model import Json

# Possessive quantifiers: each pattern is linear in the text, whatever the text is.
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_COMMENT = re.compile(rf"({_STRING})|/\*.*?\*/|//[^\n]*+", re.DOTALL)
_COMMA = re.compile(rf"({_STRING})|,(?=\s*+[}}\]])", re.DOTALL)
_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|(.))', re.DOTALL)
_WRAPPING = re.compile(r"^\s*+(?://\s*+)?(?:<!--|<!\[CDATA\[)|(?://\s*+)?(?:-->|\]\]>)\s*+$")
_BETWEEN = re.compile(r"[\s,;]*+")


def loose_values(text: str) -> list[Json]:
    """The JSON values in `text`, one after the other.

    Raises ValueError when it cannot be read even with good will, RecursionError when it is nested too deeply.
    """
    import orjson

    try:
        return [orjson.loads(text)]
    except orjson.JSONDecodeError:
        return _mended(text)


def _mended(text: str) -> list[Json]:
    text = text.lstrip("\ufeff")
    while (bare := _WRAPPING.sub("", text)) != text:
        text = bare
    if "&quot;" in text and '"' not in text:
        text = html.unescape(text)
    text = _COMMENT.sub(lambda match: match[1] or " ", text)
    text = _COMMA.sub(lambda match: match[1] or "", text)
    text = _ESCAPE.sub(lambda match: match[0] if match[1] else match[2], text)
    decoder = json.JSONDecoder(strict=False, parse_constant=lambda _: None, parse_int=_integer)
    values: list[Json] = []
    position = _after_gap(text, 0)
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        values.append(value)
        position = _after_gap(text, position)
    if not values:
        raise ValueError("no JSON value")
    return values


def _after_gap(text: str, position: int) -> int:
    gap = _BETWEEN.match(text, position)
    return gap.end() if gap else position


def _integer(digits: str) -> int | float:
    # int() refuses more than 4,300 digits; nothing in an event needs more than a float holds.
    return int(digits) if len(digits) <= 40 else float(digits)
