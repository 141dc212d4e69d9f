"""What may enter the tables: the last check of a record, after its parser and before its batch.

A parser sees to what a record means; this sees to what PostgreSQL can hold. A record that would make the database
refuse its whole batch is rejected here, with its reason, and its neighbours are stored.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ingestion_assets.events.hashing import Canonicaliser
from ingestion_assets.events.model import Event, Moment, RejectedRecord, RejectReason
from ingestion_assets.events.serialising import payload_json
from resources.redaction import mask_credentials

MAX_ID_BYTES = 1000
"""Longest `source_id` in bytes; an index entry of PostgreSQL holds at most about 2,700."""
MAX_PAYLOAD_BYTES = 1024 * 1024
"""Longest payload in bytes. Real records are 3 to 12 KB."""


def admit(event: Event, canonicaliser: Canonicaliser) -> tuple[bytes, int] | RejectedRecord:
    """The content hash of an event and the size of its payload in bytes, or why it cannot be stored."""
    problem = _problem(event)
    if problem is not None:
        return _rejected(event, *problem)
    try:
        canonical = canonicaliser(event.payload)
    except RecursionError:
        return _rejected(event, RejectReason.TOO_DEEP, "the record is nested too deeply")
    except (TypeError, ValueError) as error:
        return _rejected(event, RejectReason.UNSTORABLE_TEXT, f"the record holds what JSON cannot: {error}")
    if len(canonical) > MAX_PAYLOAD_BYTES:
        detail = f"the record is {len(canonical)} bytes long, over {MAX_PAYLOAD_BYTES}"
        return _rejected(event, RejectReason.TOO_LARGE, detail)
    if b"\\" in canonical and b"\\u0000" in canonical and _holds_nul(event.payload):
        return _rejected(event, RejectReason.UNSTORABLE_TEXT, "the record holds a NUL character")
    return canonicaliser.digest(canonical), len(canonical)


def storable_text(value: str | None, limit: int) -> str | None:
    """Text for a diagnostic column: what PostgreSQL cannot hold is replaced, what is too long is cut, keys are masked."""
    if value is None:
        return None
    return mask_credentials(value).replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()[:limit]


def rejected_payload(payload: Any) -> str:
    """The payload of a rejected record as JSON that PostgreSQL accepts; the start of it where it is too large."""
    from ingestion_assets.events.sources.text import storable

    try:
        text = mask_credentials(payload_json(storable(payload)).decode())
    except (RecursionError, TypeError, ValueError):
        shown = reprlib.Repr()  # repr() itself recurses
        shown.maxlevel, shown.maxstring, shown.maxother = 8, 2000, 2000
        text = payload_json({"unstorable": storable_text(shown.repr(payload), 10_000)}).decode()
    return text if len(text) <= MAX_PAYLOAD_BYTES else payload_json({"truncated": text[:10_000]}).decode()


def _problem(event: Event) -> tuple[RejectReason, str] | None:
    if not event.source_id:
        return RejectReason.MISSING_ID, "the record has no id"
    if not event.title:
        return RejectReason.MISSING_TITLE, "the record has no title"
    try:
        size = len(event.source_id.encode())
    except UnicodeEncodeError:
        return RejectReason.UNSTORABLE_TEXT, "the id holds half of a surrogate pair"
    if size > MAX_ID_BYTES:
        return RejectReason.INVALID_VALUE, f"the id is {size} bytes long, over {MAX_ID_BYTES}"
    unknown = None if event.start is None else _no_instant(event.start)
    if unknown is not None:
        return RejectReason.INVALID_START, f"the start is outside the calendar or its zone is unknown: {unknown}"
    return None


@lru_cache(maxsize=4_096)
def _no_instant(start: Moment) -> str | None:
    """Why a start is no instant, None when it is one. Remembered: many events begin together."""
    try:
        _ = start.utc
    except (OverflowError, ValueError, LookupError, OSError) as error:
        return str(error)
    return None


def _rejected(event: Event, reason: RejectReason, detail: str) -> RejectedRecord:
    day = None if event.start is None else event.start.date
    return RejectedRecord(
        reason=reason, detail=detail, payload=event.payload, source_id=event.source_id or None, day=day
    )


def _holds_nul(value: Any) -> bool:
    r"""The bytes `\u0000` in JSON may also stand for a backslash and text; only a real NUL is refused."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(_holds_nul(item) for item in value)
    return False
