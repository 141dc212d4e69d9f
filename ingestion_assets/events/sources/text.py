"""Text from outside made fit to store, compare and show: markup to plain text, cleaning, JSON that PostgreSQL can hold.

Belongs here: what every source needs for its titles, descriptions and payloads. What a field means belongs to the
source. Nothing here fails on any input, except `storable`, which says why a payload cannot be kept.
"""

from __future__ import annotations

import html as html_entities
import math
import re
import unicodedata
from typing import TYPE_CHECKING

from ingestion_assets.events.model import Json, RejectReason

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_HTML_CHARS = 1_000_000
"""Longer markup is cut before it is parsed. The longest real description seen is three orders of magnitude shorter."""

MAX_HTML_TAGS = 10_000
"""Markup with more tags is cut after that many: the parser's time grows with the square of the nesting, and 10,000
nested tags are 0.15 s already (100,000: minutes)."""

MAX_DEPTH = 100
"""Deepest nesting of a stored payload. Real records stay under 15; orjson and PostgreSQL give up further below."""

_MISSING = frozenset({"nan", "NaN", "undefined", "Undefined", "null"})
"""How feeds spell "no value" in a text field. Exact spellings: somebody may well be called Nan."""

# Windows-1252 punctuation that was decoded as latin-1 ends up among the C1 controls; HTML's standard reads it the same.
_CP1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_DROPPED = dict.fromkeys(
    [
        *(code for code in range(0x20) if code not in (0x09, 0x0A, 0x0B, 0x0C, 0x0D)),
        0x7F,
        0xAD,  # soft hyphen
        0x200B,  # zero width space; the joiners 200C and 200D stay, scripts and emoji need them
        *range(0x202A, 0x202F),  # bidirectional overrides: text that shows other than it reads
        *range(0x2060, 0x2070),
        0xFEFF,
        0xFFFE,
        0xFFFF,
    ],
    "",
)
_REPAIRS = str.maketrans({**_CP1252, **_DROPPED})
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n{3,}")

_PARAGRAPHS = frozenset(
    {"blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"}
)
_LINES = frozenset(
    {
        *("address", "article", "aside", "body", "br", "caption", "center", "dd", "details", "div", "dt", "fieldset"),
        *("figcaption", "footer", "form", "header", "hr", "html", "legend", "li", "main", "nav", "option", "section"),
        *("summary", "tbody", "tfoot", "thead", "tr"),
    }
)
_CELLS = frozenset({"td", "th"})
_HIDDEN = frozenset(
    {
        *("head", "iframe", "math", "noscript", "object", "script", "select", "style", "svg", "template", "textarea"),
        "title",
    }
)
_INLINE = (
    *(
        "a",
        "abbr",
        "b",
        "big",
        "cite",
        "code",
        "del",
        "em",
        "font",
        "i",
        "img",
        "ins",
        "kbd",
        "label",
        "mark",
        "q",
        "s",
    ),
    *("samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "video"),
)
_TAG = re.compile(
    rf"<(?:!--|!doctype|/?(?:{'|'.join([*sorted(_PARAGRAPHS | _LINES | _CELLS | _HIDDEN), *_INLINE])})[\s/>])",
    re.IGNORECASE,
)


class UnstorableError(ValueError):
    """A payload that cannot be kept as it is, with the reason code that its rejected record carries."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def clean_text(value: object, *, limit: int | None = None, lines: bool = False) -> str | None:
    """`value` as one line of clean text, or None when it holds none.

    Numbers become text; containers, booleans, NaN and the spellings of a missing value (`nan`, `Undefined`, `null`)
    become None. Normalised to NFC; controls, NUL, lone surrogates and bidirectional overrides removed; every run of
    white space folded into one space. With `lines` the line breaks stay, at most one empty line in a row. A text longer
    than `limit` characters is cut and ends in "…".
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, int) and not isinstance(value, bool):
        text = _digits(value)
    elif isinstance(value, float) and math.isfinite(value):
        text = str(value)
    else:
        return None
    # Everything that is repaired is unprintable, and most texts are composed (NFC) already.
    if not (text.isprintable() and (text.isascii() or unicodedata.is_normalized("NFC", text))):
        text = _repaired(text)
    if lines and ("\n" in text or "\r" in text):
        folded = "\n".join(
            " ".join(line.split()) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        )
        text = _BLANK_LINES.sub("\n\n", folded).strip()
    else:
        text = " ".join(text.split())
    if not text or text in _MISSING:
        return None
    if limit is not None and len(text) > limit:
        text = text[: max(limit - 1, 0)].rstrip() + "…"
    return text


def html_to_text(html: str) -> str:
    """The readable text of a piece of HTML: entities resolved, one line a block, scripts and styles left out.

    Text without any HTML tag is taken as plain text: its own line breaks stay, entities are still resolved, and
    `<https://…>` is no tag. Broken markup is read as a browser reads it. Empty when nothing is left.
    """
    if _TAG.search(html) is None:
        text = html_entities.unescape(html) if "&" in html else html
    else:
        text = _rendered(html[:MAX_HTML_CHARS])
    return clean_text(text, lines=True) or ""


def storable(value: Json) -> Json:
    """`value` such that PostgreSQL's jsonb and orjson can hold it; the same object when nothing had to change.

    Repaired: NUL and lone surrogates are removed from strings and keys, NaN and infinities become null, integers
    beyond 64 bits become strings, keys become strings, tuples become lists. Raises `UnstorableError` for nesting
    deeper than `MAX_DEPTH` (also what refers to itself) and for values that JSON does not have.
    """
    return _storable(value, MAX_DEPTH)


def _repaired(text: str) -> str:
    if _SURROGATE.search(text):
        # Halves of one character that a careless decoder left apart are joined; what has no partner goes.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return unicodedata.normalize("NFC", text.translate(_REPAIRS))


def _storable(value: Json, depth: int) -> Json:
    if isinstance(value, str):
        if value.isascii() and "\x00" not in value:
            return value
        return _storable_text(value) if _UNSTORABLE.search(value) else value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else _digits(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth <= 0:
        raise UnstorableError(RejectReason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return _storable_object(value, depth - 1)
    if isinstance(value, list | tuple):
        items = [_storable(item, depth - 1) for item in value]
        if isinstance(value, list) and all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return items
    raise UnstorableError(RejectReason.INVALID_VALUE, f"JSON has no value of type {type(value).__name__}")


def _storable_object(value: dict[Json, Json], depth: int) -> dict[str, Json]:
    result: dict[str, Json] = {}
    changed = False
    for key, item in value.items():
        name = _storable(key if isinstance(key, str) else str(key), depth)
        kept = _storable(item, depth)
        changed = changed or name is not key or kept is not item
        result[name] = kept
    return result if changed else value


def _storable_text(text: str) -> str:
    return text.replace("\x00", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _digits(value: int) -> str:
    # str() refuses integers beyond 4,300 digits (a guard of Python's own); hexadecimal has no such limit.
    return str(value) if value.bit_length() < 10_000 else hex(value)


def _rendered(markup: str) -> str:
    from selectolax.lexbor import LexborHTMLParser

    # A parser drops NUL and cannot be given lone surrogates.
    root = LexborHTMLParser("<".join(_repaired(markup).split("<", MAX_HTML_TAGS)[:MAX_HTML_TAGS])).body
    if root is None:
        return ""
    parts: list[str] = []
    # An explicit stack: markup nested a hundred thousand deep must not exhaust Python's.
    pending: list[LexborNode | str] = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            parts.append(node)
            continue
        tag = node.tag or ""
        if tag == "-text":
            parts.append(_inline_text(node.text_content or ""))
            continue
        if tag in _HIDDEN or tag.startswith(("_", "-", "!")):
            continue
        edge = "\n\n" if tag in _PARAGRAPHS else "\n" if tag in _LINES else " " if tag in _CELLS else ""
        parts.append("\n- " if tag == "li" else edge)
        if edge and tag not in ("br", "li"):
            pending.append(edge)
        children: list[LexborNode] = []
        child = node.first_child
        while child is not None:
            children.append(child)
            child = child.next
        pending.extend(reversed(children))
    return "".join(parts)


def _inline_text(text: str) -> str:
    """White space of HTML source is a space, whatever its spelling; the ends matter to the neighbours."""
    folded = " ".join(text.split())
    if not folded:
        return " " if text else ""
    return (" " if text[0].isspace() else "") + folded + (" " if text[-1].isspace() else "")
