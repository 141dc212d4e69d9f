"""A cluster as the row of one event: the fields that survived, where each came from, and their hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

import orjson

from ingestion_assets.events.deduplication.identity import Identity
from ingestion_assets.events.deduplication.records import Record
from ingestion_assets.events.deduplication.survive import Provenance, survive
from ingestion_assets.events.model import Event, EventStatus, Moment, Precision
from ingestion_assets.events.serialising import event_dict


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalEvent:
    """One row of `deduplicated_events`, without what the statement adds."""

    event_id: str
    local_date: date
    start_local: datetime | None
    start_at: datetime | None
    timezone: str
    precision: Precision
    status: EventStatus
    title: str
    venue_name: str | None
    city: str | None
    event: str
    provenance: str
    nb_sources: int
    nb_records: int
    withdrawn: bool
    split_from: str | None

    def row(self) -> tuple[Any, ...]:
        """The values in the order of the staging table."""
        return (
            *(self.event_id, self.local_date, self.start_local, self.start_at, self.timezone),
            *(self.precision.value, self.status.value, self.title, self.venue_name, self.city),
            *(self.event, self.provenance, self.nb_sources, self.nb_records),
            *(self.content_hash(), self.withdrawn, self.split_from),
        )

    def content_hash(self) -> bytes:
        """BLAKE2b-128 of all that readers see; scores and reasons belong to the links."""
        seen = "\x1f".join((self.event, self.provenance, str(self.nb_sources), str(self.nb_records)))
        return blake2b(seen.encode(), digest_size=16).digest()


def canonical_event(members: Sequence[Record], identity: Identity) -> CanonicalEvent:
    """The event that the records of one cluster describe."""
    survivor = survive(members)
    fields = survivor.fields
    start: Moment = fields["start"]
    venue = fields.get("venue")
    status = EventStatus(fields.get("status") or EventStatus.SCHEDULED)
    event = Event(
        source_id=identity.canonical_id,
        title=fields["title"],
        payload={},
        start=start,
        status=status,
        **{name: fields[name] for name in _CARRIED if fields.get(name) not in (None, ())},
    )
    shown = event_dict(event)
    shown["event_id"] = shown.pop("source_id")
    shown["sources"] = [
        {"source": record.source, "source_id": record.source_id, **({"url": record.url} if record.url else {})}
        for record in sorted(members, key=lambda record: record.key)
    ]
    return CanonicalEvent(
        event_id=identity.canonical_id,
        local_date=start.date,
        start_local=start.local,
        start_at=start.utc,
        timezone=start.zone,
        precision=start.precision,
        status=status,
        title=event.title,
        venue_name=venue.name if venue else None,
        city=venue.city if venue else None,
        event=_sorted_json(shown),
        provenance=_sorted_json({name: _origin(origin) for name, origin in survivor.provenance.items()}),
        nb_sources=len({record.source for record in members}),
        nb_records=len(members),
        withdrawn=bool(fields["withdrawn"]),
        split_from=identity.split_from,
    )


_CARRIED = (
    "end",
    "description",
    "venue",
    "online",
    "url",
    "image_url",
    "price",
    "organizer",
    "performers",
    "categories",
    "audience",
    "language",
    "series_id",
)


def _origin(field: Provenance) -> dict[str, Any]:
    # `dataclasses.asdict` copies deeply, which is a tenth of writing a crowded week.
    return {"source": field.source, "source_id": field.source_id, "rule": field.rule, "rivals": field.rivals}


def _sorted_json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
