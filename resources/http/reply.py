"""An answer as callers see it, and how its bytes become text or JSON.

Belongs here: reading a body that has arrived. Fetching, inflating and limiting it do not (`body.py`, `wire.py`).
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resources.http.errors import BodyError, NestingError

REPLACEMENT = "\ufffd"
_SURROGATE = re.compile("[\ud800-\udfff]")
# Python calls these text encodings too, but no server means them, and some cost more than linear time.
_NOT_CHARSETS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined", "mbcs", "oem"}
)


class Headers(Mapping[str, str]):
    """Header fields, names without regard to case; repeated fields are joined by a comma (RFC 9110 §5.3)."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, str] = {}
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            key = name.lower()
            self._fields[key] = f"{self._fields[key]}, {value}" if key in self._fields else value

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __repr__(self) -> str:
        return f"Headers({', '.join(self._fields)})"


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Text out of bytes. `repaired` is the number of characters that could not be read (U+FFFD in `text`)."""

    text: str
    encoding: str
    repaired: int


def decode_text(body: bytes, charset_header: str | None = None) -> DecodedText:
    """Bytes as text: UTF-8 if they are valid UTF-8, else the charset the header names, else Windows-1252.

    A byte-order mark decides before all else. UTF-8 comes before the header because services that name ISO-8859-1
    by default send UTF-8 far more often than text which is valid UTF-8 by chance. ISO-8859-1 and ASCII are read as
    Windows-1252, as browsers do (WHATWG Encoding Standard). Never raises.
    """
    tries = ["utf-16"] if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else []
    tries.append("utf-8-sig")
    named = _known_charset(charset_header)
    if named is not None:
        tries.append(named)
    for encoding in tries:
        try:
            text = body.decode(encoding)
        except UnicodeError:
            continue
        return DecodedText(text, encoding, text.count(REPLACEMENT))
    text = body.decode("cp1252", errors="replace")
    return DecodedText(text, "cp1252", text.count(REPLACEMENT))


def _known_charset(name: str | None) -> str | None:
    if not name:
        return None
    try:
        info = codecs.lookup(name.strip().strip("\"'"))
    except (LookupError, ValueError):
        return None
    if info.name.replace("_", "-") in _NOT_CHARSETS or not getattr(info, "_is_text_encoding", False):
        return None
    return "cp1252" if info.name in {"iso8859-1", "ascii"} else info.name


class Reply:
    """One complete answer, inflated, its URL redacted.

    A cached body that the service confirmed (304) has status 200 and `from_cache` true.
    """

    __slots__ = ("_json", "body", "from_cache", "headers", "repaired", "status", "url")

    def __init__(
        self,
        *,
        status: int,
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        url: str,
        body: bytes,
        from_cache: bool = False,
    ) -> None:
        self.status = status
        self.headers: Headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.url = url
        self.body = body
        self.from_cache = from_cache
        self.repaired = 0
        """Characters repaired by `text()` or `json()`, once called."""
        self._json: tuple[Any] | None = None

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, url={self.url!r}, bytes={len(self.body)}, from_cache={self.from_cache})"

    @property
    def content_type(self) -> str:
        """Media type in lower case without parameters; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset the Content-Type names."""
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.partition("=")
            if name.strip().lower() == "charset" and value.strip(" \t\"'"):
                return value.strip(" \t\"'")
        return None

    def text(self) -> str:
        """The body as text, see `decode_text`."""
        decoded = decode_text(self.body, self.charset)
        self.repaired = decoded.repaired
        return decoded.text

    def json(self) -> Any:
        """The body as JSON, parsed once. BodyError when it is not JSON.

        What strict parsers refuse in one value only (lone surrogates, NaN, numbers beyond a float, stray bytes that
        are not UTF-8) is repaired and counted in `repaired`, so one bad record does not cost its page: surrogates
        become U+FFFD, non-finite numbers None.
        """
        if self._json is None:
            self._json = (self._parse(),)
        return self._json[0]

    def _parse(self) -> Any:
        import orjson

        body = self.body.removeprefix(codecs.BOM_UTF8)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            reason = str(error)
        value, repaired, fault = _parse_tolerantly(decode_text(body, self.charset))
        if fault is not None:
            raise fault(f"{self.url} did not answer with JSON ({len(self.body)} bytes): {reason}")
        self.repaired = repaired
        return value


def _parse_tolerantly(decoded: DecodedText) -> tuple[Any, int, type[BodyError] | None]:
    """(value, repairs, fault). The fault is returned, so that no exception which holds the body becomes a context."""
    repairs = decoded.repaired

    def number(text: str) -> float | int | None:
        nonlocal repairs
        # As orjson: whole numbers of up to 64 bits, all others as floats. (int() refuses more than 4,300 digits.)
        if len(text) <= 20 and text.lstrip("-").isdigit() and -(2**63) <= int(text) < 2**64:
            return int(text)
        if math.isfinite(value := float(text)):
            return value
        repairs += 1
        return None

    def constant(_: str) -> None:
        nonlocal repairs
        repairs += 1

    try:
        value = json.loads(decoded.text, parse_int=number, parse_float=number, parse_constant=constant)
        if _SURROGATE.search(decoded.text) or "\\ud" in decoded.text.lower():
            value, replaced = _without_surrogates(value)
            repairs += replaced
    except ValueError:
        return None, 0, BodyError
    except RecursionError:
        return None, 0, NestingError
    return value, repairs, None


def _without_surrogates(value: Any) -> tuple[Any, int]:
    if isinstance(value, str):
        return _SURROGATE.subn(REPLACEMENT, value)
    if isinstance(value, list):
        items = [_without_surrogates(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    if isinstance(value, dict):
        total, clean = 0, {}
        for key, item in value.items():
            clean_key, in_key = _without_surrogates(key)
            clean[clean_key], in_item = _without_surrogates(item)
            total += in_key + in_item
        return clean, total
    return value, 0
