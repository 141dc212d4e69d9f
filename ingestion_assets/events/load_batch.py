"""The records of one transaction: prepared once, however often the transaction is tried, and halved when it is refused.

Belongs here: what a batch holds, its rows, and what a refusal of the database means. When it is stored is `loading`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from ingestion_assets.events.admission import rejected_payload
from ingestion_assets.events.copy_rows import event_row
from ingestion_assets.events.model import Event, RejectedRecord, RejectReason, Unread
from ingestion_assets.events.serialising import event_json, payload_json
from resources.redaction import holds_credentials, mask_credentials, mask_credentials_in

_AS_WRITTEN: Mapping[str, Any] = MappingProxyType({})
"""The payload of an event in a batch whose text is there already."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected record and its payload as JSON that PostgreSQL accepts."""

    record: RejectedRecord
    payload: str


@dataclass(slots=True)
class Batch:
    """Records of one transaction; `keys` and `events` are numbered alike."""

    keys: list[tuple[int, str, bytes, date | None]] = field(default_factory=list)
    events: dict[int, tuple[Event, bytes | None]] = field(default_factory=dict)
    """By ordinal; with the payload as JSON, where it was written before."""
    rejected: list[Rejected] = field(default_factory=list)
    size: int = 0
    """Bytes of all payloads."""

    def __len__(self) -> int:
        return len(self.keys) + len(self.rejected)

    def add(self, event: Event, content_hash: bytes, size: int, week: date | None, written: bytes | None) -> None:
        """Put an event in that may be stored; `written` is its payload as JSON, where its reader wrote it."""
        ordinal = len(self.keys)
        self.keys.append((ordinal, mask_credentials(event.source_id), content_hash, week))
        if written is not None:
            # The text says it all. Now its memory is still in the processor's caches; when the batch is stored it is not.
            event.payload = _AS_WRITTEN
        self.events[ordinal] = event, written
        self.size += size

    def reject(self, record: RejectedRecord) -> None:
        """Put a record in that is kept with its reason."""
        payload = rejected_payload(record.payload)
        self.rejected.append(Rejected(record, payload))
        self.size += len(payload)

    def halves(self) -> tuple[Batch, Batch]:
        """The batch as two, neither of them empty where it has more than one record."""
        keys, rejected = len(self.keys) // 2, len(self.rejected) // 2
        if not keys and self.keys:  # one event and some rejected records
            keys, rejected = len(self.keys), 0
        return (
            self._part(range(keys), self.rejected[:rejected]),
            self._part(range(keys, len(self.keys)), self.rejected[rejected:]),
        )

    def row(self, ordinal: int) -> bytes:
        """The row of `stage_rows`. Raises one of `refusals()` for what cannot be written."""
        _, source_id, content_hash, _ = self.keys[ordinal]
        event, written = self.events[ordinal]
        described, payload = _json(event, written)
        plain = source_id, content_hash, event.start, event.status
        row = event_row(*plain, event.title, described, payload)
        if holds_credentials(row):  # asked once for all columns: nearly every record has none
            row = event_row(
                *plain, mask_credentials(event.title), mask_credentials_in(described), mask_credentials_in(payload)
            )
        return row

    def _part(self, ordinals: range, rejected: list[Rejected]) -> Batch:
        part = Batch(rejected=rejected)
        for new, old in enumerate(ordinals):
            _, source_id, content_hash, week = self.keys[old]
            part.keys.append((new, source_id, content_hash, week))
            part.events[new] = self.events[old]
        return part


class _NoJsonError(ValueError):
    """A field of an event is no JSON: half a surrogate pair in its description, for example."""


def _json(event: Event, written: bytes | None) -> tuple[bytes, bytes]:
    try:
        return event_json(event), written or payload_json(event.payload)
    except TypeError as error:  # orjson's error is no class of its own, and any other TypeError would be our bug
        raise _NoJsonError(str(error)) from error


def refusals() -> tuple[type[Exception], ...]:
    """What it looks like when a value cannot be stored, whoever says so: the server, the driver or the encoder."""
    import psycopg

    errors = psycopg.errors
    return psycopg.DataError, errors.ProgramLimitExceeded, errors.CheckViolation, UnicodeEncodeError, _NoJsonError


def reason_of(error: Exception) -> RejectReason:
    """Why a record is rejected that met one of `refusals()`."""
    from psycopg.errors import CharacterNotInRepertoire, UntranslatableCharacter

    text = (CharacterNotInRepertoire, UntranslatableCharacter, UnicodeEncodeError, _NoJsonError)
    return RejectReason.UNSTORABLE_TEXT if isinstance(error, text) or "NUL" in str(error) else RejectReason.UNPARSABLE


def first_line(error: Exception) -> str:
    """What an error says, without the values that PostgreSQL adds below."""
    return (str(error).splitlines() or [type(error).__name__])[0][:500]


def stored_id(record: Event | RejectedRecord | Unread) -> str | None:
    """The id under which a record would be known; None where it can be no parameter: what cannot was never stored."""
    source_id = record.source_id
    if not source_id or "\x00" in source_id or any("\ud800" <= char <= "\udfff" for char in source_id):
        return None
    return mask_credentials(source_id)
